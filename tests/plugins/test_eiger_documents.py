"""The simulated Eiger: its files and documents, without a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, MissingFramesError, SeriesError, ServiceError
from gbx_beamline.frames import EIGER_MIMETYPE, EigerFile, EigerHeader, EigerWriter, open_series
from gbx_beamline.frames.node_frames import JoinedFiles
from gbx_beamline.records import Geometry
from gbx_bluesky.consolidator import EigerConsolidator
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_tiled.adapter import EigerAdapter

SHAPE = (12, 17)
GEOMETRY = Geometry(
    shape=SHAPE, beam_center_x=4.5, beam_center_y=-2.0, distance=10.08, wavelength=1.2848e-10, pixel_size_x=75e-6
)

Documents = list[tuple[str, Any]]


def movie(frames: int) -> NDArray[np.uint16]:
    return np.random.default_rng(3).poisson(4.0, (frames, *SHAPE)).astype(np.uint16)


def make_eiger(folder: Path, feed: Any, *, frames: int, triggers: int = 1, **others: Any) -> SimulatedEiger:
    eiger = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=4, **others)
    cam: Any = eiger.cam
    cam.num_images.put(frames)
    cam.num_triggers.put(triggers)
    cam.acquire_period.put(0.25)
    return eiger


def run(eiger: SimulatedEiger, num: int) -> Documents:
    documents: Documents = []
    RunEngine(call_returns_result=False)(bp.count([eiger], num=num), lambda *pair: documents.append(pair))
    return documents


def masters_of(documents: Documents, key: str = "eiger4m_single_image") -> list[Path]:
    return [
        Path(urlparse(doc["uri"]).path)
        for name, doc in documents
        if name == "stream_resource" and doc["data_key"] == key
    ]


@pytest.mark.parametrize("per_series", [1, 3])
def test_files_and_documents_tell_every_frame_once_and_in_order(tmp_path: Path, per_series: int) -> None:
    counts = movie(30)
    mask = np.zeros(SHAPE, dtype=np.uint32)
    mask[2, 3:6] = 1
    documents = run(make_eiger(tmp_path, ReplayFeed(counts, pixel_mask=mask), frames=10, triggers=per_series), 3)
    for name, document in documents:
        schema_validators[DocumentNames[name]].validate(document)
    masters = masters_of(documents)
    assert len(masters) == 3 // per_series
    expected = counts.copy()
    expected[:, mask != 0] = np.iinfo(np.uint16).max
    files = [EigerFile(path) for path in masters]
    np.testing.assert_array_equal(np.concatenate([file.read(0, file.shape[0]) for file in files]), expected)
    assert len(files[0].data_files) == -(-10 * per_series // 4)
    series = open_series(masters[0])
    assert series.frame_time == 0.25
    assert series.geometry == GEOMETRY.with_changes(flip_y=True)
    np.testing.assert_array_equal(series.mask, mask == 0)
    spans = [doc["indices"] for name, doc in documents if name == "stream_datum"]
    assert spans == [{"start": n, "stop": n + 1} for n in range(3) for _ in ("image", "pixel_mask")]


def test_the_descriptor_speaks_chx(tmp_path: Path) -> None:
    documents = run(make_eiger(tmp_path, ReplayFeed(movie(6)), frames=6), 1)
    descriptor = next(doc for name, doc in documents if name == "descriptor")
    image = descriptor["data_keys"]["eiger4m_single_image"]
    assert (image["shape"], image["dtype_numpy"], image["external"]) == ([6, *SHAPE], "<u2", "STREAM:")
    said = descriptor["configuration"]["eiger4m_single"]["data"]
    assert said["eiger4m_single_beam_center_x"] == 4.5
    assert said["eiger4m_single_beam_center_y"] == -2.0
    assert said["eiger4m_single_wavelength"] == pytest.approx(1.2848)
    assert said["eiger4m_single_det_distance"] == 10.08
    assert said["eiger4m_single_cam_acquire_period"] == 0.25
    assert said["eiger4m_single_cam_acquire_time"] == 0.25
    assert said["eiger4m_single_cam_num_images"] == 6
    assert said["eiger4m_single_photon_energy"] == pytest.approx(9650.1, abs=0.1)
    assert said["eiger4m_single_threshold_energy"] == pytest.approx(4825.05, abs=0.1)
    # Not measured is not told.
    assert "eiger4m_single_y_pixel_size" not in said


class GatedFeed:
    """A feed that waits for leave, to look at the detector in between."""

    shape = SHAPE
    dtype = np.dtype(np.uint16)
    pixel_mask = None
    truth = None

    def __init__(self) -> None:
        self.gate = threading.Event()

    def frames(self, count: int) -> Iterator[NDArray[np.uint16]]:
        for frame in movie(count):
            assert self.gate.wait(30)
            yield frame


def test_a_trigger_returns_at_once_and_ends_when_the_frames_are_written(tmp_path: Path) -> None:
    feed = GatedFeed()
    eiger = make_eiger(tmp_path, feed, frames=5)
    eiger.stage()
    status = eiger.trigger()
    assert not status.done
    with pytest.raises(ServiceError, match="busy"):
        eiger.trigger()
    feed.gate.set()
    status.wait(30)
    (master,) = tmp_path.glob("*_master.h5")
    np.testing.assert_array_equal(EigerFile(master).read(0, 5), movie(5))
    eiger.unstage()


def test_the_master_exists_before_the_run_ends(tmp_path: Path) -> None:
    there: list[bool] = []

    def look(name: str, doc: Any) -> None:
        if name == "stop":
            there.append(len(list(tmp_path.glob("*_master.h5"))) == 1)

    RunEngine()(bp.count([make_eiger(tmp_path, ReplayFeed(movie(8)), frames=4, triggers=2)], num=2), look)
    assert there == [True]


def test_an_exhausted_feed_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(FailedStatus) as failure:
        run(make_eiger(tmp_path, ReplayFeed(movie(7)), frames=5, triggers=2), 2)
    assert isinstance(failure.value.__cause__, SeriesError)
    # Like an aborted acquisition: the master promises ten frames, five are there.
    (master,) = tmp_path.glob("*_master.h5")
    file = EigerFile(master)
    assert file.present.tolist() == [True] * 5 + [False] * 5
    with pytest.raises(MissingFramesError):
        file.read(0, 10)


def test_stopping_ends_a_slow_trigger_and_keeps_what_was_taken(tmp_path: Path) -> None:
    eiger = make_eiger(tmp_path, ReplayFeed(movie(9)), frames=9, acceleration=1e-4)
    eiger.stage()
    status = eiger.trigger()
    eiger.unstage()
    with pytest.raises(ServiceError, match="stopped after 0 of 9 frames"):
        status.wait(30)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="not staged"):
        make_eiger(tmp_path, ReplayFeed(movie(2)), frames=2).trigger()
    with pytest.raises(InputError, match="acceleration"):
        SimulatedEiger(directory=tmp_path, feed=ReplayFeed(movie(2)), acceleration=0.0)


def resource(uri: str, **parameters: Any) -> Any:
    return {"uid": "r", "data_key": "det_image", "mimetype": EIGER_MIMETYPE, "uri": uri, "parameters": parameters}


def test_legacy_documents_without_their_files_are_refused_with_the_path(tmp_path: Path) -> None:
    document = resource(f"file://localhost{tmp_path}/gone", spec="AD_EIGER2", seq_id=7)
    with pytest.raises(SeriesError, match=r"gone_7_master\.h5"):
        EigerConsolidator(document, {"data_keys": {"det_image": {"shape": [5, *SHAPE]}}})  # pyright: ignore


def write_masters(folder: Path, mask: NDArray[np.uint32] | None) -> list[Path]:
    """Two masters of five frames each."""
    header = EigerHeader(frame_time=0.1, count_time=0.09, nimages=5, ntrigger=1)
    for number in (7, 8):
        with EigerWriter(folder, f"old_{number}", header=header, frames_per_file=5, pixel_mask=mask) as eiger:
            eiger.append(movie(5))
    return [folder / f"old_{number}_master.h5" for number in (7, 8)]


@pytest.mark.parametrize("masked", [True, False])
def test_the_mask_of_a_legacy_master_is_served_also_where_it_masks_nothing(tmp_path: Path, masked: bool) -> None:
    mask = np.zeros(SHAPE, dtype=np.uint32)
    mask[2, 3:6] = 1
    write_masters(tmp_path, mask if masked else None)
    document = resource(f"file://localhost{tmp_path}/old", spec="AD_EIGER2", seq_id=7, dataset="pixel_mask")
    consolidator = EigerConsolidator(document, {"data_keys": {}})  # pyright: ignore[reportArgumentType]
    source = consolidator.get_data_source()
    adapter = EigerAdapter.from_catalog(source, SimpleNamespace(metadata_={}, specs=[]), **source.parameters)
    np.testing.assert_array_equal(adapter.read(), mask if masked else np.zeros_like(mask))


def test_notes_of_every_master_travel_with_the_facts(tmp_path: Path) -> None:
    first, second = write_masters(tmp_path, None)
    with h5py.File(second, "r+") as file:
        file["entry/instrument/detector/detectorSpecific/nimages"][...] = 3  # pyright: ignore[reportIndexIssue]
    files = JoinedFiles([EigerFile(path) for path in (first, second)])
    assert "the header promises 3 frames, the data files hold 5; all 5 are used" in files.notes
    descriptor: Any = {"data_keys": {}}
    prefix = f"file://localhost{tmp_path}/old"
    consolidator = EigerConsolidator(resource(prefix, spec="AD_EIGER2", seq_id=7), descriptor)
    consolidator.get_data_source()
    consolidator.update_from_stream_resource(resource(prefix, spec="AD_EIGER2", seq_id=8))
    header = consolidator.get_data_source().parameters["header"]
    assert tuple(header["notes"]) == files.lasting_notes == files.notes
    assert header["nimages"] == 5


def test_chunks_are_several_frames_but_bounded(tmp_path: Path) -> None:
    descriptor: Any = {"data_keys": {"det_image": {"shape": [250, 2167, 2070], "dtype_numpy": "<u4"}}}
    consolidator = EigerConsolidator(resource(f"file://localhost{tmp_path}/a_master.h5"), descriptor)
    datum: Any = {"indices": {"start": 0, "stop": 2}}
    patch = consolidator.consume_stream_datum(datum)
    assert (patch.offset, patch.shape) == ((0, 0, 0), (500, 2167, 2070))
    structure = consolidator.structure()
    assert structure.shape == (500, 2167, 2070)
    assert sum(structure.chunks[0]) == 500
    assert max(structure.chunks[0]) * 2167 * 2070 * 4 <= 16 * 1024**2 + 2167 * 2070 * 4
