"""Frames behind an array client with one or more event axes: what is asked for, and what is looked at."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.node_frames import ABSENT_HEADER, NodeFrames, absent_on_server


class ServedArray:
    """An array sliced as through a client; counts what is sent, and refuses frames that are absent."""

    def __init__(self, array: NDArray[Any], absent: tuple[int, int] = (0, 0)) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.absent = absent
        self.sent: list[int] = []
        """Frames in each answer."""
        self._numbers = np.arange(np.prod(array.shape[:-2])).reshape(array.shape[:-2])

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        touched = self._numbers[selection[:-2]]
        self.sent.append(touched.size)
        first, last = self.absent
        if ((touched >= first) & (touched < last)).any():
            told = json.dumps({"absent": [self.absent], "missing": ["b.h5"], "notes": ["b.h5 absent"]})
            request = httpx.Request("GET", "http://localhost/array")
            answer = httpx.Response(424, headers={ABSENT_HEADER: told}, request=request)
            raise httpx.HTTPStatusError("424", request=request, response=answer)
        return self.array[selection]


def served(leading: tuple[int, ...], **others: Any) -> ServedArray:
    array = np.random.default_rng(4).poisson(3.0, (*leading, 5, 7)).astype(np.uint16)
    return ServedArray(array, **others)


LEADING = [(60,), (3, 20), (60, 1), (1, 60), (2, 5, 6)]


@pytest.mark.parametrize("leading", LEADING, ids=str)
def test_reads_are_those_of_one_series_and_fetch_only_what_is_asked_for(leading: tuple[int, ...]) -> None:
    image = served(leading)
    flat = image.array.reshape(60, 5, 7)
    frames = NodeFrames(image, "events")
    assert frames.shape == flat.shape
    for start, stop in [(0, 60), (7, 8), (3, 3), (18, 43), (20, 40), (59, 60), (0, 19)]:
        image.sent.clear()
        part = frames.read(start, stop, (slice(1, 4), slice(2, 7)))
        np.testing.assert_array_equal(part, flat[start:stop, 1:4, 2:7])
        assert part.dtype == np.uint16
        assert sum(image.sent) == stop - start
    image.sent.clear()
    frames.read(0, 60)
    assert image.sent == [60]


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("size", [1, 4, 7, 25])
def test_an_absent_file_is_found_wherever_it_lies(leading: tuple[int, ...], size: int) -> None:
    for first in range(0, 60 - size + 1):
        frames = NodeFrames(served(leading, absent=(first, first + size)), "events")
        found = absent_on_server(frames, size, "events")
        assert np.flatnonzero(~found.present).tolist() == list(range(first, first + size))
        assert (found.missing, found.notes) == (("b.h5",), ("b.h5 absent",))


@pytest.mark.parametrize("leading", [(4000,), (40, 100), (4000, 1), (2, 2000)], ids=str)
def test_looking_for_absent_files_touches_few_frames(leading: tuple[int, ...]) -> None:
    image = ServedArray(np.ones((*leading, 1, 1), np.uint8))
    found = absent_on_server(NodeFrames(image, "events"), None, "events")
    assert found.present.all()
    assert found.notes is None
    assert sum(image.sent) <= 2 * 64


def test_a_node_without_frames_yet_says_so() -> None:
    with pytest.raises(SeriesError, match="no frames yet"):
        absent_on_server(NodeFrames(served((0, 20)), "events"), 5, "events")
