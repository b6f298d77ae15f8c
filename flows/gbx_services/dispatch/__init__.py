"""From the queue to Prefect, and back with what the catalog says."""

from gbx_services.dispatch.catalogs import KeptCatalog
from gbx_services.dispatch.dispatcher import Dispatcher, Observer
from gbx_services.dispatch.flow_runs import FlowRuns, FlowState, PrefectFlowRuns

__all__ = ["Dispatcher", "FlowRuns", "FlowState", "KeptCatalog", "Observer", "PrefectFlowRuns"]
