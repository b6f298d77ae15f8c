"""Runs in the peers' environment and times their two-time functions: JSON lines in, JSON lines out.

A request is ``{"peer": name, "counts": file, "reference": file or null}``. The answer holds ``wall`` and
``processor`` (seconds), ``memory`` (bytes held at worst beyond the input, null where the system does not say) and,
with a reference map, ``difference``: the largest relative difference off the diagonal. Each peer is called as its
users call it, from counts in memory, in the type that it likes best; making that type is not timed. This file knows
nothing of GBX and imports nothing of it.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]
Map = NDArray[Any]

ESRF_LOCAL: dict[str, Any] = {"dask_cluster_type": None}
"""In this process: a dask cluster costs seconds to start."""
MANY_PIXELS = 5_000
"""From here on xpcs-correlator's dense kernel is faster in 4 x 4 chunks, of which it skips those below the diagonal."""
MANY_EVENTS = 5_000_000
"""The same for its kernel on events of frames."""


class Peer(NamedTuple):
    """One way to compute a two-time map."""

    prepare: Callable[[Counts], Any]
    """Counts (N, P) into what the peer likes; not timed."""
    correlate: Callable[[Any], Map]
    """The peer's own function; the upper triangle (N, N) of what it returns is read."""


def pychx(data_pixel: Counts) -> Map:
    """``auto_two_Arrayc`` on the pixel array that ``Get_Pixel_Arrayc`` makes (float64)."""
    from pyCHX.chx_correlationc import auto_two_Arrayc

    rois = np.ones((1, data_pixel.shape[1]), dtype=np.int32)
    return auto_two_Arrayc(data_pixel, rois)[:, :, 0]


def boost_corr(counts: Any) -> Map:
    """What ``solve_twotime`` does after reading: cache, averages, smoothing by static bins, map and its g2."""
    from boost_corr import TwotimeCorrelator

    frames, pixels = counts.shape
    whole = [slice(0, pixels)]
    qinfo = {"dq_idx": [1], "dq_slc": whole, "sq_idx": [1], "sq_slc": whole}
    correlator = TwotimeCorrelator(qinfo, frame_num=frames, det_size=(1, pixels), method="normal", device="cpu")
    correlator.process(counts)
    correlator.post_processing(smooth_method="sqmap")
    found = list(correlator.get_twotime_generator())
    return found[0]["correlation_map/c2_00001"]


def esrf_dense(frames: Counts) -> Map:
    """``correlator_dense_chunked``, in as many chunks as were fastest (1, 2, 4 and 8 tried)."""
    import xpcscorr

    mask = np.ones(frames.shape[1:], dtype=bool)
    extra = {**ESRF_LOCAL, "chunks_N": 4 if frames.shape[-1] >= MANY_PIXELS else 1}
    return xpcscorr.correlator_dense_chunked(frames, mask, ttcf_format="t1,t2", extra_options=extra).ttcf[0]


def esrf_sparse_pixel(events: tuple[Counts, Counts, Counts, tuple[int, int, int]]) -> Map:
    """``correlator_sparse_pixel_chunked`` on events sorted by pixel, all at once, without its g2."""
    import xpcscorr

    *arrays, shape = events
    extra = {**ESRF_LOCAL, "chunks_N": 0, "calculate_full_g2": False}
    mask = np.ones(shape[1:], dtype=bool)
    run = xpcscorr.correlator_sparse_pixel_chunked
    return run(*arrays, shape, mask, ttcf_format="t1,t2", extra_options=extra).ttcf[0]


def esrf_sparse_frame(events: tuple[Counts, Counts, Counts, tuple[int, int, int]]) -> Map:
    """``correlator_sparse_frame_chunked`` on events sorted by frame, in as many chunks as were fastest (1, 4, 10)."""
    import xpcscorr

    *arrays, shape = events
    extra = {**ESRF_LOCAL, "chunks_N": 4 if len(arrays[0]) >= MANY_EVENTS else 1}
    mask = np.ones(shape[1:], dtype=bool)
    run = xpcscorr.correlator_sparse_frame_chunked
    return run(*arrays, shape, mask, ttcf_format="t1,t2", extra_options=extra).ttcf[0]


def as_tensor(counts: Counts) -> Any:
    """Float32, which boost_corr's cache holds."""
    import torch

    return torch.from_numpy(counts.astype(np.float32))


def as_frames(counts: Counts) -> Counts:
    """(N, 1, P) photon counts as a detector stores them."""
    return counts[:, None, :]


def by_pixel(counts: Counts) -> tuple[Counts, Counts, Counts, tuple[int, int, int]]:
    """Events of each pixel in time order: intensity, frame, first event of each pixel."""
    turned = np.ascontiguousarray(counts.T)
    pixel, frame = np.nonzero(turned)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(pixel, minlength=len(turned)))])
    return turned[pixel, frame], frame.astype(np.int32), pointer, (len(counts), 1, len(turned))


def by_frame(counts: Counts) -> tuple[Counts, Counts, Counts, tuple[int, int, int]]:
    """Events of each frame in order of pixels: intensity, pixel, first event of each frame."""
    frame, pixel = np.nonzero(counts)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(frame, minlength=len(counts)))])
    return counts[frame, pixel], pixel.astype(np.int32), pointer, (len(counts), 1, counts.shape[1])


PEERS = {
    "pyCHX": Peer(lambda counts: counts.astype(np.float64), pychx),
    "pyCHX float32": Peer(lambda counts: counts.astype(np.float32), pychx),
    "boost_corr": Peer(as_tensor, boost_corr),
    "ESRF dense": Peer(as_frames, esrf_dense),
    "ESRF sparse, pixels": Peer(by_pixel, esrf_sparse_pixel),
    "ESRF sparse, frames": Peer(by_frame, esrf_sparse_frame),
}


def timed(name: str, counts: Counts, reference: Path | None) -> dict[str, Any]:
    """What one run took, and how far its map is from a reference."""
    peer = PEERS[name]
    ready = peer.prepare(counts)
    gc.collect()
    before = forget_peak()
    wall, processor = time.perf_counter(), time.process_time()
    found = peer.correlate(ready)
    answer: dict[str, Any] = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    answer["memory"] = None if before is None else resident("VmHWM") - before
    if reference is not None:
        answer["difference"] = difference(found, np.load(reference))
    return answer


def forget_peak() -> int | None:
    """Start the high-water mark of resident memory anew; bytes resident now, None where that is impossible."""
    try:
        # What earlier runs freed would otherwise count as held, and be used again without being seen.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")
    except (OSError, AttributeError):
        return None


def resident(what: str) -> int:
    """Bytes of a line of /proc/self/status: VmRSS (now) or VmHWM (at worst)."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def difference(found: Map, reference: Map) -> float:
    """Largest relative difference above the diagonal, where both are numbers."""
    upper = np.triu_indices(len(reference), 1)
    theirs, ours = found[upper].astype(np.float64), reference[upper].astype(np.float64)
    both = np.isfinite(theirs) & np.isfinite(ours) & (ours != 0)
    return float(np.max(np.abs(theirs[both] / ours[both] - 1.0), initial=0.0))


def about() -> dict[str, Any]:
    """Versions, and the threads that the peers really have."""
    import torch
    from threadpoolctl import threadpool_info

    torch.set_num_threads(1)
    names = ("pychx", "scikit-beam", "boost-corr", "xpcs-correlator", "numpy", "numba", "torch")
    pools = [
        f"{pool['internal_api']} {pool.get('architecture') or ''} {pool['num_threads']}" for pool in threadpool_info()
    ]
    return {
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in names},
        "pools": sorted({" ".join(pool.split()) for pool in pools}),
        "torch_threads": torch.get_num_threads(),
    }


def warm_up() -> dict[str, str]:
    """Import and compile everything; which peers do not run, and why."""
    counts = np.random.default_rng(0).poisson(1.0, (64, 96)).astype(np.uint8)
    failed: dict[str, str] = {}
    for name in PEERS:
        try:
            timed(name, counts, None)
        except Exception as error:  # noqa: BLE001 - any peer may lack anything; the table says so
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def main() -> None:
    """Answer requests until the input ends."""
    # The peers print while they work: what they say goes to stderr, the answers to the real output.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    failed = warm_up()
    answers.write(json.dumps(about() | {"failed": failed}) + "\n")
    held: tuple[str, Counts | None] = ("", None)
    for line in sys.stdin:
        request = json.loads(line)
        if request["counts"] != held[0]:
            held = (request["counts"], np.load(request["counts"]))
        reference = request.get("reference")
        try:
            assert held[1] is not None
            answer = timed(request["peer"], held[1], Path(reference) if reference else None)
        except Exception as error:  # noqa: BLE001 - the run goes on without this number
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
