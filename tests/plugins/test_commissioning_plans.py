"""Plans of the commissioning suite: what runs say of themselves, and what is refused before anything moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from ophyd import Signal

from gbx_beamline.commissioning.injection import Binned, Scrambled, Shift
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames import open_series
from gbx_bluesky import commissioning_feeds
from gbx_bluesky.commissioning import colloid, injected, sample_scan, static_reference
from gbx_bluesky.commissioning_feeds import BehindAttenuators, InjectedFeed
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature

SHAPE, FRAMES = (40, 40), 6
Q = np.full(SHAPE, 5e7)


@pytest.fixture
def movie() -> Any:
    return np.random.default_rng(0).poisson(3.0, (4 * FRAMES, *SHAPE)).astype(np.uint16)


@pytest.fixture
def eiger(tmp_path: Path, movie: Any) -> Any:
    return SimulatedEiger(directory=tmp_path, feed=ReplayFeed(movie))


def starts_of(plan: Any) -> list[dict[str, Any]]:
    starts: list[dict[str, Any]] = []
    RunEngine()(plan, {"start": [lambda _name, doc: starts.append(doc)]})
    return starts


def test_a_reference_is_taken_at_each_transmission_and_marked(eiger: Any) -> None:
    attenuators = Signal(name="attenuators", value=1.0)
    plan = static_reference(eiger, campaign="c", frames=FRAMES, frame_time=2.0, attenuators=attenuators)
    first, second = starts_of(plan)
    assert (first["transmission"], second["transmission"], attenuators.get()) == (1.0, 0.1, 0.1)
    assert first["reference"] == second["reference"] == "static"
    assert second["commissioning"] == {
        "suite": "gbx",
        "campaign": "c",
        "trial": "static_reference",
        "part": "transmission 0.1",
        "expected": {},
    }


def test_a_colloid_carries_the_d_that_it_must_have(eiger: Any) -> None:
    plan = colloid(
        eiger,
        campaign="c",
        radius=100e-9,
        viscosity=0.89e-3,
        liquid_temperature=298.15,
        relative_error=0.1,
        frames=FRAMES,
        frame_time=0.1,
        transmissions=[0.3],
    )
    (start,) = starts_of(plan)
    expected = start["commissioning"]["expected"]
    assert expected["diffusivity"] == pytest.approx(2.454e-12, rel=1e-3)
    assert (expected["relative_error"], start["transmission"]) == (0.1, 0.3)
    assert "reference" not in start


def test_impossible_arguments_are_refused_before_anything_moves(eiger: Any) -> None:
    def asked(**given: Any) -> Any:
        return list(static_reference(eiger, **{"campaign": "c", "frames": 4, "frame_time": 1.0, **given}))

    with pytest.raises(InputError, match=r"2 transmissions and no device that sets them; needed: attenuators"):
        asked()
    with pytest.raises(InputError, match=r"transmissions \[10.0\]; needed: fractions"):
        asked(transmissions=[10.0])
    with pytest.raises(InputError, match="no name of a campaign"):
        asked(transmissions=[1.0], campaign=" ")
    with pytest.raises(InputError, match="radius -1"):
        list(colloid(eiger, campaign="c", radius=-1, viscosity=1, liquid_temperature=300, frames=4, frame_time=1.0))
    with pytest.raises(InputError, match="a detector in front of ReplayFeed"):
        list(injected(eiger, campaign="c", trial="shift", part="x", expected={}, source={"uid": "u"}))


def test_photons_follow_the_attenuators(tmp_path: Path) -> None:
    attenuators = Signal(name="attenuators", value=1.0)
    table = RelaxationTable({300.0: Relaxation(rate=0.1, q_reference=5e7)})
    seen: list[int] = []

    def sample(transmission: float, run: int) -> SpeckleFeed:
        return SpeckleFeed(Q, table, modes=2, mean_counts=8.0 * transmission, seed=run)

    feed = BehindAttenuators(sample, attenuators, watcher=seen.append)
    detector: Any = SimulatedEiger(directory=tmp_path, feed=feed)
    stage: Any = SampleTemperature(temperature=300.0)
    plan = static_reference(
        detector, campaign="c", frames=FRAMES, frame_time=1.0, attenuators=attenuators, temperature=stage,
        transmissions=[1.0, 0.25],
    )  # fmt: skip
    starts = starts_of(plan)
    assert [start["truth"]["seed"] for start in starts] == [0, 1], "another spot for each run"
    totals = [open_series(master).read(0, FRAMES).mean() for master in sorted_by_time(tmp_path)]
    assert totals == pytest.approx([8.0, 2.0], rel=0.15)
    assert seen == [*range(1, FRAMES + 1)] * 2


def sorted_by_time(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_master.h5"), key=lambda path: path.stat().st_mtime_ns)


def test_recorded_frames_are_taken_again_with_a_fault(tmp_path: Path, eiger: Any, movie: Any) -> None:
    (source,) = starts_of(
        sample_scan(eiger, campaign="c", sample="Si", frames=FRAMES, frame_time=2.0, md={"temperature": 421.0})
    )
    series = open_series(sorted_by_time(tmp_path)[0])
    feed = InjectedFeed(series, Binned())
    assert (feed.length, feed.frame_time, feed.dtype) == (FRAMES // 2, 4.0, np.dtype(np.uint32))
    detector: Any = SimulatedEiger(directory=tmp_path / "again", feed=feed, geometry=series.geometry)
    (start,) = starts_of(
        injected(detector, campaign="c", trial="rebinned", part="sample", expected={"of": "x"}, source=dict(source))
    )
    assert (start["sample"], start["temperature"], start["acquire period"]) == ("Si [rebinned]", 421.0, 4.0)
    assert start["commissioning"]["source"] == source["uid"]
    taken = open_series(sorted_by_time(tmp_path / "again")[0])
    assert (taken.read(0, FRAMES // 2) == movie[:FRAMES].reshape(-1, 2, *SHAPE).sum(axis=1)).all()


def test_masked_pixels_stay_masked(tmp_path: Path) -> None:
    counts = np.full((4, *SHAPE), 3, dtype=np.uint16)
    mask = np.ones(SHAPE, dtype=bool)
    mask[10:12] = False
    feed = InjectedFeed(open_series(counts, frame_time=1.0, mask=mask), Shift(start=2, rows=1))
    assert (feed.pixel_mask == np.where(mask, 0, 1)).all()
    frames = list(feed.frames(4))
    assert (frames[3][12:] == 3).all(), "what came from under the gap keeps its own counts"
    with pytest.raises(SeriesError, match="5 frames asked for; needed: at most 4"):
        feed.frames(5)


def test_a_scan_that_does_not_fit_is_read_frame_by_frame_or_refused(
    monkeypatch: pytest.MonkeyPatch, movie: Any
) -> None:
    series = open_series(movie, frame_time=1.0)
    whole = list(InjectedFeed(series, Shift(start=1, columns=1)).frames(FRAMES))
    monkeypatch.setattr(commissioning_feeds, "LARGEST", 1000)
    assert (np.stack(list(InjectedFeed(series, Shift(start=1, columns=1)).frames(FRAMES))) == np.stack(whole)).all()
    with pytest.raises(InputError, match=r"GiB; needed: at most .* because every frame is needed"):
        InjectedFeed(series, Scrambled())
    with pytest.raises(SeriesError, match="unsigned counts"):
        InjectedFeed(open_series(movie.astype(np.float32), frame_time=1.0), Binned())
