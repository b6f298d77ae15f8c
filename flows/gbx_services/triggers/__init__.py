"""Who reports that a run has ended. Triggers are speed; the sweep is the guarantee."""

from gbx_services.triggers.protocol import Accept, Trigger
from gbx_services.triggers.run_engine import SpoolTrigger

__all__ = ["Accept", "SpoolTrigger", "Trigger"]
