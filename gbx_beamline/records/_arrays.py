"""Names for arrays and parts of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]
Region = tuple[slice, slice]
"""Rows and columns of a rectangular part of the detector."""
