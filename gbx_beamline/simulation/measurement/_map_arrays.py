"""numpy and torch behind one face, as far as fast maps need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.simulation.measurement._seeds import Purpose, stream

JITTERS = 1e-4, 1e-3, 1e-2
"""Added to a diagonal of about 1 until single precision finds a matrix positive: what does not move has rank one.
The first of them shows nowhere."""

Array = Any
"""A numpy array or a torch tensor: what both understand is used with either."""


class Arrays(Protocol):
    """Where maps are computed, in single precision."""

    xp: Any
    """numpy or torch: the functions that both have under one name."""
    block: int
    """Numbers that a step works on at once."""

    def array(self, values: NDArray[Any]) -> Array:
        """The values as float32."""
        ...

    def normals(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Array:
        """(S, *shape) standard normal numbers."""
        ...

    def root(self, matrices: Array) -> Array:
        """(..., n, n) lower triangular L with ``L L^T`` the positive semi-definite matrices, up to rounding."""
        ...

    def numpy(self, values: Array) -> NDArray[np.float32]:
        """Back to numpy."""
        ...


class NumpyArrays:
    """numpy. A scan's numbers follow from its own seed, however scans are put together."""

    xp: Any = np
    block = 24 * 64 * 64

    def array(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The values as float32."""
        return np.ascontiguousarray(values, dtype=np.float32)

    def normals(self, seeds: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(S, *shape) standard normal numbers."""
        out = np.empty((len(seeds), *shape), dtype=np.float32)
        for part, seed in zip(out, seeds, strict=True):
            stream(seed, Purpose.MAPS).standard_normal(dtype=np.float32, out=part)
        return out

    def root(self, matrices: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., n, n) Cholesky factors."""
        one = np.eye(matrices.shape[-1], dtype=np.float32)
        for jitter in JITTERS:
            try:
                return np.linalg.cholesky(matrices + np.float32(jitter) * one)
            except np.linalg.LinAlgError:
                continue
        raise _not_positive()

    def numpy(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same."""
        return values


class TorchArrays:
    """torch, on any of its devices. All scans share one stream.

    Args:
        device: as torch names it.
        seeds: of all scans, in their order; what the stream follows from.

    Raises:
        DependencyError: torch is absent.
        InputError: no such device.
    """

    def __init__(self, device: str, seeds: Sequence[int]) -> None:
        try:
            import torch
        except ModuleNotFoundError as error:
            raise DependencyError(
                "torch is not installed",
                needed="torch, for maps made by it",
                action='install gbx-beamline[learning], or leave engine at "numpy"',
            ) from error
        self.xp: Any = torch
        try:
            self._device = torch.device(device)
            torch.empty(0, device=self._device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"device {device!r}: {str(error).splitlines()[0]}",
                needed='a device that torch has here, such as "cpu" or "cuda"',
                action="choose another",
            ) from error
        entropy = np.random.SeedSequence(list(seeds), spawn_key=(int(Purpose.MAPS),)).generate_state(1, np.uint64)
        self._generator = torch.Generator(device=self._device).manual_seed(int(entropy[0] >> np.uint64(1)))
        self.block = NumpyArrays.block if self._device.type == "cpu" else 64 * NumpyArrays.block

    def array(self, values: NDArray[Any]) -> Array:
        """The values as float32."""
        return self.xp.asarray(np.ascontiguousarray(values, dtype=np.float32), device=self._device)

    def normals(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Array:
        """(S, *shape) standard normal numbers."""
        return self.xp.randn((len(seeds), *shape), generator=self._generator, device=self._device)

    def root(self, matrices: Array) -> Array:
        """(..., n, n) Cholesky factors."""
        one = self.xp.eye(matrices.shape[-1], device=self._device)
        for jitter in JITTERS:
            factors, failed = self.xp.linalg.cholesky_ex(matrices + jitter * one)
            if not failed.any():
                return factors
        raise _not_positive()

    def numpy(self, values: Array) -> NDArray[np.float32]:
        """On the host."""
        return values.cpu().numpy()


def _not_positive() -> InputError:
    return InputError(
        "a correlation that is not positive semi-definite",
        needed="finite amplitudes, rates and traces",
        action="check the draw of the grain boundary",
    )
