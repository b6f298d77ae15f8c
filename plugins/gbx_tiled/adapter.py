"""Eiger masters behind Tiled: only the frames, rows and columns asked for are read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from tiled.adapters.core import Adapter
from tiled.ndslice import NDBlock, NDSlice
from tiled.structures.array import ArrayStructure
from tiled.structures.core import Spec, StructureFamily
from tiled.structures.data_source import DataSource
from tiled.utils import path_from_uri

from gbx_beamline.errors import GbxError, MissingFramesError, SeriesError
from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.frames.node_frames import ABSENT_HEADER, JoinedFiles
from gbx_beamline.frames.quarantine import examine
from gbx_tiled.configuration import ROOTS_VARIABLE

FAILED_DEPENDENCY = 424
"""HTTP status for files that are absent or not what was registered. Tiled's client shows the words of an answer
below 500, except those of 410, and does not retry it."""


class EigerAdapter(Adapter[ArrayStructure]):
    """Frames (N, y, x) of one or more masters in order, or their pixel mask (y, x).

    Nothing is opened before the first read, so that a series with missing files can be registered and looked at.

    Args:
        masters: Paths of the masters, in acquisition order.
        structure: What was registered.
        roots: Folders below which the masters, and what they lead to, must lie.
        dataset: "images" or "pixel_mask".
        masked: False for the mask of a master that masks nothing: all zeros.
    """

    structure_family = StructureFamily.array

    def __init__(
        self,
        masters: Sequence[Path],
        structure: ArrayStructure,
        *,
        roots: Sequence[Path],
        dataset: str = "images",
        masked: bool = True,
        metadata: dict[str, Any] | None = None,
        specs: list[Spec] | None = None,
    ) -> None:
        super().__init__(structure, metadata=metadata, specs=specs)
        self._masters = tuple(masters)
        self._roots = roots
        self._dataset = dataset
        self._masked = masked

    @classmethod
    def from_catalog(
        cls,
        data_source: DataSource[ArrayStructure],
        node: Any,
        /,
        *,
        dataset: str = "images",
        masked: bool = True,
        **_parameters: Any,
    ) -> EigerAdapter:
        """Tiled's way to make the adapter of a registered node; further parameters are for readers, not for us."""
        assets = [asset for asset in data_source.assets if asset.parameter == "data_uris"]
        assets.sort(key=lambda asset: asset.num or 0)
        try:
            masters = [path_from_uri(asset.data_uri) for asset in assets]
        except ValueError as error:
            raise HTTPException(FAILED_DEPENDENCY, f"no address of a file is registered: {error}") from error
        roots = _roots(masters)
        structure = data_source.structure
        assert structure is not None
        return cls(
            masters, structure, roots=roots, dataset=dataset, masked=masked, metadata=node.metadata_, specs=node.specs
        )

    def read(self, slice: NDSlice = NDSlice(...)) -> NDArray[Any]:  # noqa: A002, B008 (Tiled passes it by this name)
        """The part that ``slice`` selects.

        Raises:
            HTTPException: 424 with the reason when files are missing or hold something else than was registered.
        """
        shape = tuple(self.structure().shape)
        selection = tuple(NDSlice(*slice).expand_for_shape(shape)) if slice else (np.s_[:],) * len(shape)
        try:
            return self._read_mask(selection) if self._dataset == "pixel_mask" else self._read_frames(selection)
        except GbxError as error:
            raise HTTPException(FAILED_DEPENDENCY, f"{type(error).__name__}: {error}") from error

    def read_block(self, block: NDBlock, slice: NDSlice = NDSlice(...)) -> NDArray[Any]:  # noqa: A002, B008
        """One chunk, or the part of it that ``slice`` selects."""
        whole = self.read(block.slice_from_chunks(self.structure().chunks))
        return whole[tuple(slice)] if slice else whole

    def _read_mask(self, selection: tuple[Any, ...]) -> NDArray[Any]:
        examine(self._masters[:1], self._roots)
        mask = EigerFile(self._masters[0], roots=self._roots).pixel_mask()
        if mask is None and not self._masked:
            mask = np.zeros(self.structure().shape, dtype=self.structure().data_type.to_numpy_dtype())
        if mask is None:
            raise SeriesError(
                f"{self._masters[0].name} holds no pixel mask",
                needed="the mask that was registered",
                action="give a mask to open_series()",
            )
        self._check(mask.shape, mask.dtype)
        return mask[selection]

    def _read_frames(self, selection: tuple[Any, ...]) -> NDArray[Any]:
        examine(self._masters, self._roots)
        source = JoinedFiles([EigerFile(path, roots=self._roots) for path in self._masters])
        self._check(source.shape, source.dtype)
        axes = [_Axis(item, size) for item, size in zip(selection, self.structure().shape, strict=True)]
        frames, rows, columns = axes
        try:
            stack = _read_picked(source, frames.indices, (rows.bounds, columns.bounds))
        except MissingFramesError as error:
            told = _absent(source, self.structure().shape[0])
            raise HTTPException(FAILED_DEPENDENCY, str(error), headers={ABSENT_HEADER: told}) from error
        stack = stack[:, rows.within][:, :, columns.within]
        return stack[tuple(0 if axis.single else np.s_[:] for axis in axes)]

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        registered = tuple(self.structure().shape)
        declared = self.structure().data_type.to_numpy_dtype()
        # During a run the file may already hold more frames than have been registered.
        if shape[-2:] != registered[-2:] or shape[0] < registered[0] or dtype != declared:
            raise SeriesError(
                f"{self._masters[0].name} holds {dtype} of shape {shape}, "
                f"registered was {declared} of shape {registered}",
                needed="the files that were registered",
                action="restore them, or register the series anew",
            )


class _Axis:
    """One axis of a selection: contiguous bounds to read, and what to pick within them."""

    def __init__(self, item: Any, size: int) -> None:
        self.single = isinstance(item, int)
        self.indices = range(size)[item : item + 1] if isinstance(item, int) else range(size)[item]
        low = min(self.indices, default=0)
        self.bounds = slice(low, max(self.indices, default=-1) + 1)
        # Indices and not a slice: a reversed slice that ends at the low bound would wrap around.
        self.within: Any = np.s_[:] if self.indices.step == 1 else np.asarray(self.indices, dtype=np.intp) - low


def _roots(masters: Sequence[Path]) -> tuple[Path, ...]:
    """The server's folders for detector files; without any, those of the masters themselves.

    Tiled looks only at how a path is written: dots and symbolic links in it lead wherever they like.
    """
    named = os.environ.get(ROOTS_VARIABLE, "")
    return tuple(Path(part) for part in named.split(os.pathsep) if part) or tuple(path.parent for path in masters)


def _read_picked(source: JoinedFiles, indices: range, region: tuple[slice, slice]) -> NDArray[Any]:
    """Frames ``indices`` in that order: (len(indices), rows, columns)."""
    if indices.step == 1:
        return source.read(indices.start, max(indices.start, indices.stop), region)
    height, width = (part.stop - part.start for part in region)
    out = np.empty((len(indices), height, width), dtype=source.dtype)
    for place, index in enumerate(indices):
        out[place] = source.read(index, index + 1, region)[0]
    return out


def _absent(source: JoinedFiles, frames: int) -> str:
    """Ranges of absent frames among the registered ones, names of absent files, and all notes, as ASCII JSON."""
    absent = ~source.present[:frames]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(np.int8)))
    told = {"absent": edges.reshape(-1, 2).tolist(), "missing": source.missing, "notes": source.notes}
    return json.dumps(told)
