"""What is still to be analysed, on local disk: it outlives every process, and each scan is in it once."""

from gbx_services.spool.backoff import Backoff
from gbx_services.spool.job import UNSELECTED, Job, Pause, State
from gbx_services.spool.store import Spool

__all__ = ["UNSELECTED", "Backoff", "Job", "Pause", "Spool", "State"]
