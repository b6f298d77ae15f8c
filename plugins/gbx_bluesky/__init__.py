"""What plugs into a RunEngine or a queue server: detector, sample stage, side traces, plans, the way to the catalog."""
