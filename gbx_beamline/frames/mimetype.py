"""The name under which Eiger masters travel through Bluesky documents and Tiled."""

from __future__ import annotations

EIGER_MIMETYPE = "application/x-hdf5;type=eiger-master"
"""Ours, because the stock HDF5 type reads one data file per trigger only. Used by the Bluesky consolidator
(in the RunEngine process) and by the Tiled adapter (in the server)."""
