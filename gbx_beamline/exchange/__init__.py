"""Results in the formats that others read, and results of others.

``whole_record`` takes a record from the catalog; ``export`` writes it as NeXus NXxpcs (readable by pyXpcsViewer
too), as CSV tables or as a result file of pyCHX; ``read_result`` takes two-time maps out of the HDF5 files of pyCHX and
of NXxpcs. Momentum transfer is in 1/Angstrom in all of these formats.
"""

from __future__ import annotations

from gbx_beamline.exchange._collecting import whole_record
from gbx_beamline.exchange._export import FORMATS, export
from gbx_beamline.exchange._reading import ForeignResult, read_result, result_format
from gbx_beamline.exchange._record import WholeRecord

__all__ = ["FORMATS", "ForeignResult", "WholeRecord", "export", "read_result", "result_format", "whole_record"]
