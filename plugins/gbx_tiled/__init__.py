"""What plugs into Tiled: the Eiger adapter, the embedded server and the bridge to databroker."""
