"""The order in which a live record is written and read, against a server that makes the worst of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_catalog import Node

from gbx_beamline.catalog import Catalog, LiveSink, end_live, live_key, load_live, load_newer
from gbx_beamline.catalog.live import LIVE
from gbx_beamline.errors import CatalogError, RunNotFoundError, SchemaError
from gbx_beamline.records import Geometry, LiveShare, LiveState, ScanInfo

UID = "0c5a9f4e-0000-4000-8000-0000000000b1"


@pytest.fixture
def catalog() -> Catalog:
    root: Any = Node()
    return Catalog("http://tiled.example", root, root, root)


def pointer(catalog: Catalog) -> Any:
    return catalog.processed[LIVE, UID]


def state(number: int, *, tags: tuple[str, ...] = ()) -> LiveState:
    share = LiveShare(
        s_noneq=0.5,
        s_noneq_norm=0.7,
        drift_rms_over_contrast=float("nan"),
        status="ok",
        s_noneq_corrected=float("nan"),
        low=float("nan"),
        high=float("nan"),
        drift_rms_over_contrast_corrected=0.1,
        corrected_status="undetermined: too few valid cells off the diagonal",
        cell=2.0,
        window=8.0,
    )
    return LiveState(
        scan=ScanInfo(run_uid=UID, sample="gold", access_tags=tags, truth={"seed": 3}),
        rule="default",
        revision=0,
        state="running",
        changed=100.0 + number,
        frames=number,
        expected=90,
        frame_time=0.5,
        names=("inner",),
        q_par=np.array([4.5e8]),
        q_z=np.array([np.nan]),
        pixels=np.array([10]),
        contrast=np.array([0.1]),
        shares=(share,),
        shares_frames=number,
        flags=("one",),
        two_time=np.full((1, 3, 3), number, dtype=np.float32),
        frame_means=np.full((1, 4), float(number)),
        image=np.full((2, 5, 6), number, dtype=np.float32),
        image_pixels=4,
        image_frame=number - 1,
        geometry=Geometry(shape=(20, 24), distance=10.0),
    )


def same(one: LiveState, other: LiveState) -> bool:
    return repr(one) == repr(other)  # NaN is not equal to itself


def test_a_state_comes_back_whole_and_its_nodes_bear_the_run_s_tags(catalog: Catalog) -> None:
    assert LiveSink(UID).publish(catalog, state(7, tags=("proposal_1",))) == 1
    back = load_live(catalog, UID)
    assert back.revision == 1
    assert same(back, LiveState(**{**vars(state(7, tags=("proposal_1",))), "revision": 1}))
    assert back.total_counts.tolist() == [70.0] * 4
    node = pointer(catalog)
    (folder,) = node.children.values()
    assert {tuple(one.tags) for one in (node, folder, *folder.children.values())} == {("proposal_1",)}
    assert node.metadata["q_z"] == [None], "JSON has no NaN"


def overtaken(catalog: Catalog, sink: LiveSink, revisions: int) -> None:
    """While the newest arrays are read, so many further revisions are published, once."""
    news = iter(range(2, 2 + revisions))
    for folder in pointer(catalog).children.values():
        for array in folder.children.values():
            array.before_reading = lambda: [sink.publish(catalog, state(number)) for number in news]


def test_two_folders_stay_and_no_more(catalog: Catalog) -> None:
    sink = LiveSink(UID)
    for number in range(1, 28):
        assert sink.publish(catalog, state(number)) == number
        assert len(list(pointer(catalog))) <= 2
    assert set(pointer(catalog)) == {"r000017", "r000025"}
    assert len(list(pointer(catalog)["r000017"])) == 8


def test_a_state_without_an_image_is_whole_too(catalog: Catalog) -> None:
    bare = LiveState(**{**vars(state(3)), "image": np.empty((2, 0, 0), dtype=np.float32)})
    LiveSink(UID).publish(catalog, bare)
    assert same(load_live(catalog, UID), LiveState(**{**vars(bare), "revision": 1}))
    assert load_newer(catalog, UID, than=0) is not None
    assert load_newer(catalog, UID, than=1) is None


@pytest.mark.parametrize("revisions", [1, 8, 15])
def test_a_reader_that_is_overtaken_a_little_has_the_older_revision_whole(catalog: Catalog, revisions: int) -> None:
    sink = LiveSink(UID)
    sink.publish(catalog, state(1))
    overtaken(catalog, sink, revisions)
    assert same(load_live(catalog, UID), LiveState(**{**vars(state(1)), "revision": 1}))


def test_a_reader_that_is_left_behind_begins_again(catalog: Catalog) -> None:
    sink = LiveSink(UID)
    sink.publish(catalog, state(1))
    overtaken(catalog, sink, 16)
    seen = load_live(catalog, UID)
    assert (seen.revision, seen.two_time.max(), seen.frame_means.min()) == (17, 17, 17), "never the zeros"


def test_a_reader_that_is_always_overtaken_says_so(catalog: Catalog) -> None:
    sink, number = LiveSink(UID), 0

    def overtake() -> None:
        nonlocal number
        for _ in range(17):
            number += 1
            sink.publish(catalog, state(number))

    sink.publish(catalog, state(1))
    pointer(catalog).hand_down(overtake)
    with pytest.raises(CatalogError, match=r"was revised 20 times while it was being read; .* serve\.live\.period_s"):
        load_live(catalog, UID)


def test_a_revision_that_could_not_be_written_leaves_the_one_before_and_no_rubbish(catalog: Catalog) -> None:
    sink = LiveSink(UID)
    sink.publish(catalog, state(1))
    pointer(catalog)["r000001"].fail_on = "000002"
    with pytest.raises(CatalogError, match="no Tiled server answers"):
        sink.publish(catalog, state(2))
    assert load_live(catalog, UID).two_time.max() == 1
    assert sink.publish(catalog, state(3)) == 3
    assert load_live(catalog, UID).two_time.max() == 3
    assert set(pointer(catalog)) == {"r000001", "r000003"}


def test_a_record_that_ends_while_it_is_read_is_read_as_ended(catalog: Catalog) -> None:
    LiveSink(UID).publish(catalog, state(1))
    for node in pointer(catalog)["r000001"].children.values():
        node.before_reading = lambda: end_live(catalog, live_key(UID), state="ended", record="final")
    seen = load_live(catalog, UID)
    assert (seen.state, seen.record, seen.two_time.size, seen.frames) == ("ended", "final", 0, 1)
    assert list(pointer(catalog)) == []


def test_what_is_not_there_or_of_another_version_is_said(catalog: Catalog) -> None:
    with pytest.raises(RunNotFoundError, match=r"no live record .* serve\.live\.enabled"):
        load_live(catalog, UID)
    end_live(catalog, live_key(UID), state="ended")  # nothing to end
    LiveSink(UID).publish(catalog, state(1))
    pointer(catalog).metadata["live_version"] = 99
    with pytest.raises(SchemaError, match="has version 99; needed: version 2"):
        load_live(catalog, UID)
    assert live_key(UID, "gold") == f"{UID}.gold"
