"""Prefect flows around the science of ``gbx_beamline``."""
