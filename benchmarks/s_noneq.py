"""Acceptance of the noise-corrected S_noneq on frozen seeds: ``python benchmarks/s_noneq.py``.

For every case: how often the 95 % interval holds the truth, its median half-width over the scatter of the values, how
often the answer is "undetermined", and what the bare ratio (Eq. 3 as printed) says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from s_noneq_cases import MODES, acceptance


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="scans per case")
    options = parser.parse_args()
    print(f"{options.seeds} scans of 128 frames per case, contrast 1/{MODES}, speckles of 2 pixels")
    print("dynamics    pixels  counts   truth    mean      sd  covered  half-width/sd  undetermined  bare (median)")
    for (kind, pixels, mean), found in acceptance(options.seeds).items():
        known = found.undetermined < 1.0
        numbers = (
            f"{np.nanmean(found.value):7.4f} {np.nanstd(found.value):7.4f} {found.coverage:8.3f}"
            f" {found.width_over_scatter:14.2f}"
            if known
            else f"{'':39}"
        )
        print(
            f"{kind:11} {pixels:6d} {mean:7g} {found.truth:7.4f} {numbers} {found.undetermined:13.3f}"
            f" {np.nanmedian(found.bare):14.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
