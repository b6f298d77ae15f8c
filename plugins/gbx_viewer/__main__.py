"""``python -m gbx_viewer``: as `gbx view`, for whoever starts it beside something else."""

from __future__ import annotations

from gbx_viewer.command import view

view(prog_name="gbx view")
