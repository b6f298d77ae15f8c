"""Live analysis: scans are followed while they run, and what is known so far is a record in the catalog."""

from gbx_services.live.roots import data_roots
from gbx_services.live.service import LiveService

__all__ = ["LiveService", "data_roots"]
