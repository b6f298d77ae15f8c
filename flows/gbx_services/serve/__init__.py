"""``gbx serve``: every scan is analysed by itself, and what breaks costs a delay."""

from gbx_services.serve.service import run_service

__all__ = ["run_service"]
