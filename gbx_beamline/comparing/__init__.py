"""Scans side by side: is it the sample, the beam or the instrument?

``compare`` looks at scans of one sample under different beam, ``floor_beside`` at a scan and a static reference. Both
take what is measured already and subtract nothing.
"""

from __future__ import annotations

from gbx_beamline.comparing._beam import dose_rate_unknown
from gbx_beamline.comparing._comparison import compare, compare_facts
from gbx_beamline.comparing._curves import Curves, curves_of
from gbx_beamline.comparing._instrument import Loss, floor_beside, loss_of_contrast, why_not_beside
from gbx_beamline.comparing._refusals import in_one_geometry

__all__ = [
    "Curves",
    "Loss",
    "compare",
    "compare_facts",
    "curves_of",
    "dose_rate_unknown",
    "floor_beside",
    "in_one_geometry",
    "loss_of_contrast",
    "why_not_beside",
]
