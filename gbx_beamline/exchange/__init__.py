"""Results in the formats that others read, and results of others.

``whole_record`` takes a record from the catalog; ``export`` writes it as NeXus NXxpcs (readable by pyXpcsViewer
too), as CSV tables or as a result file of pyCHX; ``read_result`` takes two-time maps out of the HDF5 files of pyCHX and
of NXxpcs. Momentum transfer is in 1/Angstrom in all of these formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.exchange._collecting import whole_record as whole_record
    from gbx_beamline.exchange._export import export as export
    from gbx_beamline.exchange._formats import FORMATS as FORMATS
    from gbx_beamline.exchange._reading import ForeignResult as ForeignResult
    from gbx_beamline.exchange._reading import read_result as read_result
    from gbx_beamline.exchange._reading import result_format as result_format
    from gbx_beamline.exchange._record import WholeRecord as WholeRecord

_HOMES = {
    "FORMATS": "_formats",
    "ForeignResult": "_reading",
    "WholeRecord": "_record",
    "export": "_export",
    "read_result": "_reading",
    "result_format": "_reading",
    "whole_record": "_collecting",
}

__all__ = ["FORMATS", "ForeignResult", "WholeRecord", "export", "read_result", "result_format", "whole_record"]

__getattr__, __dir__ = lazily(__name__, _HOMES)
