"""The machines behind the products: int8 matrix units through torch, and BLAS; which of them work here.

Photon counts are small integers, and the int8 matrix units of a processor or GPU (``torch._int_mm``, int8 x int8 ->
int32) are exact on them. Where torch is absent, or its product fails the self-test against 64-bit integers (it has
been silently wrong on processors without VNNI: pytorch #136746), float32 or float64 BLAS does the same over blocks
of pixels that are short enough for every partial sum to be a whole number the type can hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.threads import thread_count, torch_threads
from gbx_beamline.errors import InputError

Engine = Literal["cuda-int8", "int8", "float32", "float64"]
Counts = NDArray[np.uint8]
Integers = NDArray[np.int32] | NDArray[np.int64]
"""int32 where no sum of the product can exceed it, else int64."""

LARGEST = 127
"""Largest count in a row that is to be multiplied as int8."""
INT32_PIXELS = (2**31 - 1) // LARGEST**2
"""133,144: pixels whose products of counts up to 127 always fit into an int32 sum."""
FLOAT_PIXELS = 4096
"""Pixels that the float engines convert at a time: 40 MB for 2,500 frames."""
_WHOLE = {"float32": 2**24, "float64": 2**53}
"""Up to these, every whole number has its own float."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Which engines this process can use, and why it cannot use the others."""

    engines: tuple[Engine, ...]
    """Best first."""
    notes: tuple[str, ...]
    """One sentence for every engine that is out of use."""


def engines() -> tuple[Engine, ...]:
    """Usable engines, best first; tested once per process against 64-bit integers."""
    return probe_engines().engines


@lru_cache(maxsize=1)
def probe_engines() -> Probe:
    """Find out, once per process, which engines work here."""
    usable: list[Engine] = ["float32", "float64"]
    try:
        import torch
    except ImportError:
        return Probe(engines=tuple(usable), notes=("int8: torch is not installed",))
    notes: list[str] = []
    if fault := _fault("cpu"):
        notes.append(f"int8: {fault}")
    elif (slow := _seconds("int8")) > (blas := _seconds("float32")):
        # Without int8 instructions torch runs a plain loop.
        notes.append(f"int8: {slow / blas:.1f} times as slow as float32 on this processor")
    else:
        usable.insert(0, "int8")
    if torch.cuda.is_available():
        if fault := _fault("cuda"):
            notes.append(f"cuda-int8: {fault}")
        else:
            usable.insert(0, "cuda-int8")
    return Probe(engines=tuple(usable), notes=tuple(notes))


def _fault(device: str) -> str:
    """What is wrong with the int8 product on this device; empty = nothing."""
    rng = np.random.default_rng(136746)
    # Odd shapes, a strided view, and the largest counts throughout: pairs of products overflow 16 bits there.
    for m, n, pixels, low in ((1, 3, 5, 0), (37, 23, 301, 0), (65, 130, 1031, 0), (33, 47, 4099, LARGEST)):
        a, b = (rng.integers(low, LARGEST + 1, (rows, pixels + 3), dtype=np.uint8)[:, 3:] for rows in (m, n))
        try:
            got = _on_device(a, b, device)
        except (RuntimeError, NotImplementedError, KeyError) as error:
            return f"torch._int_mm failed on {device}: {str(error).splitlines()[0]}"
        wrong = int((got != a.astype(np.int64) @ b.T.astype(np.int64)).sum())
        if wrong:
            return f"torch._int_mm gave {wrong} of {m * n} wrong products on {device} ({m} x {n}, {pixels} pixels)"
    return ""


def _seconds(engine: Engine) -> float:
    """Best of three small products, 67 million multiplications.

    On the threads that either may have: BLAS takes its own, and beside them one thread of int8 would look slow.
    """
    rows = np.ones((256, 1024), dtype=np.uint8)
    return min(seconds(engine, rows, threads=thread_count()) for _ in range(3))


def seconds(engine: Engine, rows: Counts, *, threads: int | None = None) -> float:
    """s that this engine takes to multiply rows (N, P) with themselves, both triangles."""
    out = np.empty((len(rows), len(rows)), dtype=np.int32)
    # What others do on a shared machine must not count against an engine; the host's time says nothing of a GPU's.
    clock = time.perf_counter if engine == "cuda-int8" else time.thread_time
    start = clock()
    multiply(rows, rows, engine, 1, threads, out)
    return max(clock() - start, 1e-9)


def multiply(
    a: Counts,
    b: Counts,
    engine: Engine,
    largest_product: int,
    threads: int | None,
    out: NDArray[Any],
    pixel_block: int | None = None,
) -> None:
    """Exact products of (m, P) and (n, P) into ``out`` (m, n), over blocks of pixels where one sum could not hold them.

    ``out`` is contiguous int32 or int64, wide enough for the sums; ``largest_product`` is that of single counts;
    ``pixel_block`` makes the blocks shorter.
    """
    pixels = a.shape[1]
    if engine in ("int8", "cuda-int8"):
        step = INT32_PIXELS
    else:
        step = max(1, min(FLOAT_PIXELS, _WHOLE[engine] // max(1, largest_product)))
    step = min(step, pixel_block or step)
    if not (a.size and b.size):
        out[...] = 0
        return
    with torch_threads(threads if engine == "int8" else None):
        for start in range(0, pixels, step):
            part = slice(start, start + step)
            if start == 0:
                _product(a[:, part], b[:, part], engine, out)
            else:
                out += _product(a[:, part], b[:, part], engine, None)


def _product(a: Counts, b: Counts, engine: Engine, out: NDArray[Any] | None) -> NDArray[Any]:
    """Product of one block of pixels, in whatever type it comes; written to ``out`` where given."""
    if engine == "int8":
        import torch

        into = None if out is None or out.dtype != np.int32 else torch.from_numpy(out)
        if a.shape[1] == 1:
            # torch 2.13 on a CPU misreads the strides of a single column and returns nonsense.
            a, b = (np.hstack([each, np.zeros_like(each)]) for each in (a, b))
        found = _int_mm(_as_torch(a), _as_torch(b).t(), out=into).numpy()
        if into is not None:
            return found
    elif engine == "cuda-int8":
        found = _on_device(a, b, "cuda")
    else:
        found = a.astype(engine) @ b.astype(engine).T
    if out is not None:
        np.copyto(out, found, casting="unsafe")
        return out
    return found.astype(np.int64)


class _Alias:
    """The same memory without numpy's read-only mark, at which torch would warn; nobody writes to it."""

    def __init__(self, rows: Counts) -> None:
        self.rows = rows
        interface = rows.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _as_torch(rows: Counts) -> Any:
    """The rows as an int8 tensor, without a copy."""
    import torch

    if len(rows) == 1:
        # numpy calls a single row contiguous whatever its stride is, and torch believes the stride.
        rows = np.ascontiguousarray(rows).reshape(-1).reshape(1, -1)
    return torch.from_numpy((rows if rows.flags.writeable else np.asarray(_Alias(rows))).view(np.int8))


def _padded(rows: Counts, device: str, extra: int = 0) -> Any:
    """The rows on the device, in the shapes that CUDA takes: multiples of 8, and more than 16 rows."""
    import torch

    count, pixels = rows.shape
    tensor = torch.zeros((_up(max(count + extra, 24)), _up(pixels)), dtype=torch.int8, device=device)
    tensor[:count, :pixels] = _as_torch(rows).to(device)
    return tensor


def _up(number: int) -> int:
    return -(-number // 8) * 8


def _int_mm(a: Any, b: Any, out: Any = None) -> Any:
    import torch

    # Not in torch's public list, so looked up by name. Its bfloat16 relative would lose a tenth of the contrast.
    product = vars(torch)["_int_mm"]
    return product(a, b) if out is None else product(a, b, out=out)


def _on_device(a: Counts, b: Counts, device: str) -> NDArray[np.int32]:

    if device == "cpu":
        return _int_mm(_as_torch(a), _as_torch(b).t()).numpy()
    return _int_mm(_padded(a, device), _padded(b, device).t()).cpu().numpy()[: len(a), : len(b)]


def device_blocks(rows: Counts, height: int, device: str, dtype: np.dtype[Any]) -> Iterator[tuple[int, int, Integers]]:
    """As ``symmetric_products``, with the rows brought to the device once."""

    # Rows of zeros behind the last one: every block may then be as high as the device wants it.
    parts = [
        _padded(rows[:, start : start + INT32_PIXELS], device, extra=24)
        for start in range(0, max(1, rows.shape[1]), INT32_PIXELS)
    ]
    for i0 in range(0, len(rows), height):
        i1 = min(i0 + height, len(rows))
        high, wide = _up(max(i1 - i0, 24)), _up(i1)
        total = None
        for part in parts:
            found = _int_mm(part[i0 : i0 + high], part[:wide].t())
            total = found if len(parts) == 1 else found.long() if total is None else total + found
        block = cast("Any", total)[: i1 - i0, :i1].cpu().numpy()
        yield i0, i1, np.ascontiguousarray(block, dtype=dtype)


def usable(engine: Engine | None, size: int = 0) -> Engine:
    """The engine asked for, if it works here; for None the best one whose memory takes rows of this many bytes.

    Raises:
        InputError: an engine that does not work here, with the reason.
    """
    found = probe_engines()
    if engine is None:
        return found.engines[1] if found.engines[0] == "cuda-int8" and size > _free_bytes() / 2 else found.engines[0]
    if engine not in found.engines:
        raise InputError(
            f"engine {engine!r} is not usable here ({'; '.join(found.notes) or 'no such device'})",
            needed=" or ".join(found.engines),
            action="leave the choice to the cost model",
        )
    return engine


def _free_bytes() -> int:
    """Bytes that are free on the GPU."""
    import torch

    return torch.cuda.mem_get_info()[0]
