"""Two-time and one-time correlation of photon counts, and decay fits.

The conventions are those of the field (baseline 1, each frame's own ROI mean in the denominator);
they are spelt out where they are computed: ``_two_time.py``, ``_one_time.py`` and ``_fit.py``.
"""

from __future__ import annotations

from gbx_beamline.correlation._fit import fit_decay
from gbx_beamline.correlation._one_time import one_time
from gbx_beamline.correlation._two_time import two_time

__all__ = ["fit_decay", "one_time", "two_time"]
