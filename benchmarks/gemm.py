"""This machine's own rate of matrix products, and how much of it our two-time correlation reaches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.rounds import Measured, Way, clocked, interleave
from benchmarks.table import Table

FRAMES = 2_500
PIXELS = (500, 5_000, 50_000)
_INT8, _TORCH32, _NUMPY32, _NUMPY64, _HALF64 = (
    "int8, torch._int_mm",
    "float32, torch",
    "float32, numpy",
    "float64, numpy",
    "float64, numpy a @ a.T",
)


def run(ours: Mapping[tuple[int, float], Measured], *, quick: bool) -> Table:
    """Rates of (N, P) x (P, N), one thread.

    Args:
        ours: Time of ``two_time`` by pixels and mean counts, where it was measured.
        quick: Two rounds, and nothing beyond 5,000 pixels.
    """
    rows: list[tuple[str, ...]] = []
    for pixels in PIXELS[: 2 if quick else 3]:
        measured = interleave(products(pixels), 2 if quick else 3, say=f"matrix products, {pixels} pixels")
        full = 2.0 * FRAMES**2 * pixels
        int8 = measured[_INT8]
        for name, seconds in measured.items():
            done = full / 2 if name == _HALF64 else full
            rate = f"{done / min(seconds.seconds) / 1e9:.0f}"
            rows.append((f"{pixels}", name, str(seconds), rate, "", ""))
        for (size, mean), seconds in ours.items():
            if size == pixels:
                rate = full / seconds.median
                share = rate * min(int8.seconds) / full
                name = f"two_time, {mean:g} counts"
                rows.append((f"{pixels}", name, str(seconds), f"{rate / 1e9:.0f}", f"{share:.2f}", f"{share / 2:.2f}"))
    return Table(
        title=f"Matrix products of {FRAMES} frames, one thread",
        columns=("pixels", "what", "seconds", "1e9 operations/s", "of int8, full", "of int8, half"),
        rows=tuple(rows),
        notes=(
            (
                "Operations are 2 N² P (a multiplication and an addition each) for a full product; 'a @ a.T' is "
                "symmetric and computes half of them, which is what its rate counts."
            ),
            (
                "two_time: its whole time, checks and normalisation included. 'of int8, full' credits it with 2 N² P "
                "operations, so it can pass 1 where symmetric or sparse work is done once; 'half' credits it with "
                "N² P, what the symmetric map needs. Both against the fastest round of torch._int_mm at that size."
            ),
            amx_note(),
        ),
    )


def products(pixels: int) -> dict[str, Way]:
    """One product of each kind at this size."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 20, (FRAMES, pixels), dtype=np.int8)
    single, double = small.astype(np.float32), small.astype(np.float64)
    int8, float32 = torch.from_numpy(small), torch.from_numpy(single)
    # A second array: with its own transpose numpy would compute half the matrix.
    other32, other64 = single.copy(), double.copy()
    ways: dict[str, Callable[[], object]] = {
        _INT8: partial(torch._int_mm, int8, int8.T),  # pyright: ignore[reportPrivateImportUsage]
        _TORCH32: partial(torch.matmul, float32, float32.T),
        _NUMPY32: partial(np.matmul, single, other32.T),
        _NUMPY64: partial(np.matmul, double, other64.T),
        _HALF64: partial(np.matmul, double, double.T),
    }
    return {name: clocked(way) for name, way in ways.items()}


def instruction_sets() -> dict[str, bool]:
    """Which int8 instructions this processor has; empty where the system does not say."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    flags = re.search(r"^flags\s*:(.*)$", told, re.MULTILINE)
    present = set(flags.group(1).split()) if flags else set()
    return {name: name in present for name in ("amx_int8", "avx512_vnni", "avx_vnni", "avx2")}


def amx_note() -> str:
    """What the reader must know of this processor beside the aims."""
    found = instruction_sets()
    if not found:
        return "This system does not say which int8 instructions the processor has."
    said = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in found.items())
    if found["amx_int8"]:
        return f"int8 instructions: {said}."
    return f"int8 instructions: {said}. The aims assume AMX, which this processor lacks."
