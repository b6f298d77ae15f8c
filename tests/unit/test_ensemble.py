"""Ensembles: the same bits whoever computes them, resumed without recomputation, never mixed, readable by anybody."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

from gbx_beamline import nonequilibrium
from gbx_beamline.config import Config, SimulationConfig, load_config, parse_config
from gbx_beamline.errors import ConfigError, DependencyError, InputError, ServiceError
from gbx_beamline.simulation import GrainBoundary, PaperEnsemble, ensemble
from gbx_beamline.simulation.ensemble import Simulated, simulate_ensemble
from gbx_beamline.simulation.measurement import EFFECTS

PAPER = SimulationConfig(mode="paper", members=7, size=16, batch=3)
MEASURED = parse_config(
    {
        "simulation": {
            "members": 6,
            "size": 16,
            "batch": 4,
            "measurement": {"frames": 64, "q_par": [0.04, 0.045], "scans_per_sample": 2},
        }
    }
).simulation
BOTH = pytest.mark.parametrize("settings", [PAPER, MEASURED], ids=["paper", "measurement"])


class Stop(Exception):  # noqa: N818 - no error: what stands for an interruption
    """Raised where a test ends a simulation."""


def simulate(settings: SimulationConfig, path: Path, *, workers: int = 1, **options: Any) -> Simulated:
    """In this process, unless told otherwise."""
    return simulate_ensemble(settings, path, workers=workers, **options)


def stop_at(stored: int) -> Callable[[int, int], None]:
    def progress(done: int, _members: int) -> None:
        if done >= stored:
            raise Stop

    return progress


def maps_in(path: Path) -> np.ndarray[Any, Any]:
    found: Any = zarr.open_array(path / "maps.zarr" / "maps", mode="r")
    return found[:]


def rows_in(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path / "parameters.parquet")


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit; NaN equals NaN."""
    np.testing.assert_array_equal(maps_in(one).view(np.uint32), maps_in(other).view(np.uint32))
    pd.testing.assert_frame_equal(rows_in(one), rows_in(other), check_exact=True)


def everything(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Members that were computed, batch after batch."""
    seen: list[range] = []
    computed = ensemble.simulate_batch

    def counted(settings: SimulationConfig, members: range) -> Any:
        seen.append(members)
        return computed(settings, members)

    monkeypatch.setattr(ensemble, "simulate_batch", counted)
    return seen


# --- what is in the folder


@pytest.mark.filterwarnings("ignore::gbx_beamline.simulation.StabilityWarning")
def test_zarr_and_pandas_alone_read_the_papers_ensemble(tmp_path: Path) -> None:
    done = simulate(PAPER, tmp_path / "out")
    assert (done.members, done.computed) == (7, 7)
    maps, rows = maps_in(done.path), rows_in(done.path)
    assert (maps.shape, maps.dtype) == ((7, 16, 16), np.float32)
    assert rows["member"].tolist() == list(range(7))
    paper = PaperEnsemble(members=7, size=16)
    for name, values in paper.parameters().items():
        np.testing.assert_array_equal(rows[name], values)
    np.testing.assert_array_equal(maps, np.concatenate(list(paper.maps())))
    for g2, s_noneq, norm in zip(maps, rows["s_noneq"], rows["s_noneq_norm"], strict=True):
        assert s_noneq == nonequilibrium(g2).s_noneq
        assert norm == pytest.approx(np.sqrt(s_noneq))


def test_a_row_holds_all_of_a_members_truth(tmp_path: Path) -> None:
    simulate(MEASURED, tmp_path / "out")
    maps, rows = maps_in(tmp_path / "out"), rows_in(tmp_path / "out")
    assert maps.shape == (6, 2, 16, 16)
    assert np.isnan(np.einsum("mqtt->mqt", maps)).all(), "the diagonal holds shot noise"
    assert rows["sample"].tolist() == [0, 0, 1, 1, 2, 2]
    for _, sample in rows.groupby("sample"):
        assert sample["gb_fraction"].nunique() == 1
        assert sample["static_fraction_1"].nunique() == 1
        assert sample["temperature"].is_monotonic_increasing
        assert sample["diffusivity"].is_monotonic_increasing, "Arrhenius"
        assert sample["gamma"].is_monotonic_decreasing
    assert rows["seed"].tolist() == [
        int(np.random.SeedSequence((42, member)).generate_state(1, np.uint64)[0]) for member in range(6)
    ]
    np.testing.assert_allclose(rows[["q_1", "q_2"]], [[4e8, 4.5e8]] * 6, rtol=1e-12)
    for name, effect in EFFECTS.items():
        for column in (f"{name}_1", f"{name}_2") if effect.per_roi else (name,):
            assert rows[column].between(*effect.allowed).all()
    row = rows.iloc[3]
    boundary = {name: row[name] for name in GrainBoundary.__dataclass_fields__ if name in rows}
    assert GrainBoundary(**boundary, q=(row["q_1"], row["q_2"])).gamma == row["gamma"]


@BOTH
def test_every_column_says_its_unit_and_so_does_the_description(settings: SimulationConfig, tmp_path: Path) -> None:
    simulate(settings, tmp_path)
    schema = pq.read_schema(tmp_path / "parameters.parquet")
    told = json.loads((tmp_path / "ensemble.json").read_text())
    assert list(told["parameters"]["columns"]) == schema.names
    for field in schema:
        assert field.metadata[b"description"]
        assert field.metadata[b"unit"].decode() == told["parameters"]["columns"][field.name]["unit"]
    assert schema.field("diffusivity").metadata[b"unit"] == b"m^2/s"
    assert told["settings"]["mode"] == settings.mode
    assert told["settings_hash"] == settings.hash
    assert told["maps"]["shape"] == list(maps_in(tmp_path).shape)
    assert set(told["made_with"]) == {"gbx-beamline", "numpy", "scipy"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "batches",
        "ensemble.json",
        "maps.zarr",
        "parameters.parquet",
    ]


def test_one_member_is_read_without_the_others_of_its_file(tmp_path: Path) -> None:
    simulate(PAPER, tmp_path)
    maps: Any = zarr.open_array(tmp_path / "maps.zarr" / "maps", mode="r")
    assert (maps.shards, maps.chunks) == ((3, 16, 16), (1, 16, 16))
    assert maps.metadata.dimension_names == ("member", "time_1", "time_2")
    assert len(list((tmp_path / "maps.zarr" / "maps" / "c").rglob("*/0/0"))) == 3, "one file per batch"


def test_notes_tell_of_members_near_the_euler_limit(tmp_path: Path) -> None:
    simulate(PAPER.with_choices(members=200, size=3, batch=200), tmp_path)
    (note,) = json.loads((tmp_path / "ensemble.json").read_text())["notes"]
    assert "close to the Euler limit" in note


# --- the same bits


@BOTH
def test_batches_and_order_change_no_bit(settings: SimulationConfig, tmp_path: Path) -> None:
    simulate(settings, tmp_path / "a")
    simulate(settings.with_choices(batch=1), tmp_path / "b")
    simulate(settings.with_choices(batch=100), tmp_path / "c")
    assert_same(tmp_path / "a", tmp_path / "b")
    assert_same(tmp_path / "a", tmp_path / "c")


@BOTH
def test_two_processes_make_what_one_makes(settings: SimulationConfig, tmp_path: Path) -> None:
    simulate(settings, tmp_path / "one")
    simulate(settings, tmp_path / "two", workers=2)
    assert_same(tmp_path / "one", tmp_path / "two")
    assert not multiprocessing.active_children()


def test_another_seed_makes_another_ensemble(tmp_path: Path) -> None:
    for settings in (PAPER, MEASURED):
        simulate(settings, tmp_path / settings.mode)
        simulate(settings.with_choices(seed=43), tmp_path / f"{settings.mode}43")
        assert (maps_in(tmp_path / settings.mode) != maps_in(tmp_path / f"{settings.mode}43")).any(axis=(-1, -2)).all()


# --- interrupted and gone on with


@BOTH
def test_what_is_whole_is_kept_and_nothing_else(
    settings: SimulationConfig, tmp_path: Path, simulated: list[range]
) -> None:
    simulate(settings, tmp_path / "whole")
    simulated.clear()
    with pytest.raises(Stop):
        simulate(settings, tmp_path / "out", progress=stop_at(settings.batch))
    assert not (tmp_path / "out" / "parameters.parquet").exists(), "not whole"
    assert np.isnan(maps_in(tmp_path / "out")[settings.batch :]).all(), "what is not there is no number"
    assert simulated == [range(settings.batch)]
    told: list[tuple[int, int]] = []
    done = simulate(settings, tmp_path / "out", progress=lambda *seen: told.append(seen))
    assert simulated[1].start == settings.batch, "the first batch was kept"
    assert done.computed == settings.members - settings.batch
    assert told[0] == (settings.batch, settings.members)
    assert told[-1] == (settings.members, settings.members)
    assert_same(tmp_path / "whole", tmp_path / "out")

    before, simulated[:] = everything(tmp_path / "out"), []
    assert simulate(settings, tmp_path / "out").computed == 0
    assert simulated == []
    assert everything(tmp_path / "out") == before


@pytest.mark.parametrize("harm", ["marker", "chunk", "cut"])
def test_a_batch_that_is_half_there_is_made_again(harm: str, tmp_path: Path, simulated: list[range]) -> None:
    simulate(PAPER, tmp_path / "whole")
    simulate(PAPER, tmp_path / "out")
    simulated.clear()
    marker = tmp_path / "out" / "batches" / "000001.parquet"
    chunk = tmp_path / "out" / "maps.zarr" / "maps" / "c" / "1" / "0" / "0"
    if harm == "marker":
        marker.unlink()
    elif harm == "chunk":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes()[:100])
    # What a killed writer leaves under other names.
    (chunk.parent / "0.1234.partial").write_bytes(b"half")
    (marker.parent / ".1234.partial").write_bytes(b"half")
    simulate(PAPER, tmp_path / "out")
    assert simulated == [range(3, 6)]
    assert_same(tmp_path / "whole", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_an_end_between_maps_and_marker_leaves_no_batch(
    tmp_path: Path, simulated: list[range], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_file: Path, _write: Any) -> None:
        raise Stop

    (tmp_path / "out").mkdir()
    with pytest.raises(Stop):
        simulate(PAPER, tmp_path / "out", progress=stop_at(3))
    with monkeypatch.context() as patch:
        patch.setattr("gbx_beamline.simulation._ensemble_folder.write_whole", interrupted)
        with pytest.raises(Stop):
            simulate(PAPER, tmp_path / "out")
    assert np.isfinite(maps_in(tmp_path / "out")[3:6, 0, 1]).all(), "the maps of the second batch had been written"
    simulate(PAPER, tmp_path / "out")
    assert simulated == [range(3), range(3, 6), range(3, 6), range(6, 7)]


def test_a_killed_worker_is_named_and_costs_one_more_run(tmp_path: Path) -> None:
    simulate(PAPER, tmp_path / "whole")

    def killing(done: int, _members: int) -> None:
        if done:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    many = PAPER.with_choices(batch=1)
    with pytest.raises(ServiceError, match=r"killed, or out of memory.* run the same command again"):
        simulate(many, tmp_path / "out", workers=2, progress=killing)
    assert not multiprocessing.active_children()
    assert 1 <= simulate(many, tmp_path / "out").computed < 7
    assert_same(tmp_path / "whole", tmp_path / "out")


# --- refused


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"seed": 43}, "seed is 42 there and 43 here"),
        ({"size": 20}, "size is 16 there and 20 here"),
        ({"members": 8}, "members is 7 there and 8 here"),
        ({"mode": "measurement"}, 'mode is "paper" there and "measurement" here'),
        ({"paper": {"noise": "independent"}}, 'paper.noise is "fixed" there and "independent" here'),
    ],
)
def test_other_settings_are_never_mixed_in(choices: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        simulate(PAPER, tmp_path, progress=stop_at(3))
    before = everything(tmp_path)
    with pytest.raises(InputError) as refused:
        simulate(PAPER.with_choices(**choices), tmp_path)
    assert said in str(refused.value)
    assert "choose another folder" in str(refused.value)
    assert everything(tmp_path) == before


def test_other_versions_are_not_mixed_in_but_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, progress in (("begun", stop_at(3)), ("whole", None)):
        try:
            simulate(PAPER, tmp_path / name, progress=progress)
        except Stop:
            assert name == "begun"
    monkeypatch.setattr(ensemble, "made_with", lambda: {"gbx-beamline": "9.9", "numpy": np.__version__})
    with pytest.raises(InputError, match=r'gbx-beamline is ".*" there and "9.9" here'):
        simulate(PAPER, tmp_path / "begun")
    assert simulate(PAPER, tmp_path / "whole").computed == 0


def test_folders_of_other_people_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("done")
    with pytest.raises(InputError, match=r"thesis.tex and no ensemble.json; .*choose another folder"):
        simulate(PAPER, tmp_path)
    (tmp_path / "thesis.tex").rename(tmp_path / "ensemble.json")
    with pytest.raises(InputError, match=r"ensemble.json does not describe an ensemble"):
        simulate(PAPER, tmp_path)
    (tmp_path / "ensemble.json").write_text('{"format": "gbx-ensemble", "format_version": 99}')
    with pytest.raises(InputError, match="gbx-ensemble 99; needed: gbx-ensemble 1"):
        simulate(PAPER, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ensemble.json"]


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"a folder that this user may write; .*choose another folder"):
            simulate(PAPER, place)


def test_two_writers_do_not_share_a_folder(tmp_path: Path) -> None:
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is writing"):
            simulate(PAPER, tmp_path)
    finally:
        os.close(holder)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(PAPER, tmp_path / "whole")
    replace, left = Path.replace, 12

    def filling(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", filling)
        with pytest.raises(InputError) as refused:
            simulate(PAPER.with_choices(batch=1), tmp_path / "out")
    assert "No space left on device; needed: room for the maps; make room and run the same command" in str(
        refused.value
    )
    assert 0 < simulate(PAPER.with_choices(batch=1), tmp_path / "out").computed < 7
    assert_same(tmp_path / "whole", tmp_path / "out")


def test_too_little_room_is_seen_before_the_work(
    tmp_path: Path, simulated: list[range], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(InputError, match=r"0.00 GB free in .*make room"):
        simulate(PAPER, tmp_path)
    assert simulated == []


@pytest.mark.parametrize("package", ["zarr", "pyarrow", "threadpoolctl"])
def test_absent_packages_are_named_before_the_work(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"'{package}' is not installed.*gbx-beamline\[ensembles\]"):
        simulate(PAPER, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dask_is_asked_for_only_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DependencyError, match=r"'distributed' is not installed.* or leave --dask out"):
        simulate_ensemble(PAPER, tmp_path, dask="tcp://127.0.0.1:1")
    assert simulate(PAPER, tmp_path).computed == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (PAPER.with_choices(size=1251), "1251"),
        (MEASURED.with_choices(size=65), "size = 65 cells of 64 frames; needed: at most 64"),
        (MEASURED.with_choices(measurement={"without": ["gravity"]}), "effect 'gravity'; needed: one of contrast, "),
    ],
)
def test_impossible_settings_are_refused_before_any_work(
    settings: SimulationConfig, said: str, tmp_path: Path, simulated: list[range]
) -> None:
    with pytest.raises(InputError) as refused:
        simulate(settings, tmp_path / "out")
    assert said in str(refused.value)
    assert simulated == []
    assert not (tmp_path / "out").exists()


def test_workers_are_counted_or_a_clusters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 workers; needed: 1 or more"):
        simulate(PAPER, tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="a cluster has its own workers"):
        simulate(PAPER, tmp_path / "out", workers=2, dask="tcp://127.0.0.1:1")


# --- configuration


def test_the_shipped_file_states_the_defaults(repository: Path) -> None:
    assert load_config(repository / "configs" / "simulation.yaml").simulation == Config().simulation


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"members": 0}, "simulation.members"),
        ({"seed": -1}, "simulation.seed"),
        ({"mode": "perfect"}, "simulation.mode"),
        ({"measurement": {"q_par": [4.5e8]}}, "it looks like 1/m: write 0.045"),
        ({"measurement": {"q_par": []}}, "simulation.measurement.q_par"),
        ({"measurement": {"temperature_k": [500, 300]}}, "the smaller number 300 must come before"),
        ({"paper": {"frames": 3}}, "unknown key 'simulation.paper.frames'"),
    ],
)
def test_impossible_configurations_are_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config({"simulation": content})
    assert said in str(refused.value)


def test_choices_are_checked_like_a_file() -> None:
    with pytest.raises(ConfigError, match="members: Input should be greater than or equal to 1"):
        PAPER.with_choices(members=0)
    assert PAPER.with_choices(members=None) == PAPER


def test_the_hash_follows_what_changes_numbers() -> None:
    assert PAPER.with_choices(batch=1).hash == PAPER.hash
    assert PAPER.with_choices(measurement={"frames": 9}).hash == PAPER.hash, "of no meaning in this mode"
    changed: Iterator[SimulationConfig] = (
        PAPER.with_choices(**choice) for choice in ({"seed": 1}, {"members": 8}, {"paper": {"method": "exact"}})
    )
    assert PAPER.hash not in {settings.hash for settings in changed}
