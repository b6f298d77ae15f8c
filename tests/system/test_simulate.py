"""``gbx simulate`` and its flow on real processes: a Dask cluster that loses a worker, Ctrl-C, Tiled and Prefect."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
import zarr
from command_line import Command, as_process, contents, in_process
from flow_runs import Configure
from tiled.client.container import Container

from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import InputError, ServiceError
from gbx_beamline.simulation.ensemble import simulate_ensemble
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

SETTINGS = SimulationConfig(mode="paper", members=24, size=16, batch=2)
SMALL = ["--mode", "paper", "--n", "8", "--size", "16"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ensemble of ``SETTINGS``, made by one process."""
    return simulate_ensemble(SETTINGS, tmp_path_factory.mktemp("whole"), workers=1).path


@pytest.fixture
def gbx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in ``tmp_path``, away from any catalog."""
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_TILED_URI", "TILED_API_KEY", "GBX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


def maps_in(path: Path) -> np.ndarray[Any, Any]:
    found: Any = zarr.open_array(path / "maps.zarr" / "maps", mode="r")
    return found[:]


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit."""
    np.testing.assert_array_equal(maps_in(one).view(np.uint32), maps_in(other).view(np.uint32))
    here, there = (pd.read_parquet(path / "parameters.parquet") for path in (one, other))
    pd.testing.assert_frame_equal(here, there, check_exact=True)


# --- Dask


@contextmanager
def dask_worker(address: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address]
        + ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a scheduler on TCP, with no workers yet."""
    from distributed import LocalCluster

    none: Any = None
    made: Any = LocalCluster(
        n_workers=0, host="127.0.0.1", protocol="tcp://", dashboard_address=none, silence_logs=logging.CRITICAL
    )
    with made as cluster:
        yield cluster.scheduler_address


def test_a_cluster_that_loses_a_worker_midway_makes_the_same_ensemble(
    scheduler: str, whole: Path, tmp_path: Path
) -> None:
    from distributed import Client

    killed: list[int] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(dask_worker(scheduler)) for _ in range(2)]
        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2)

        def killing(done: int, members: int) -> None:
            if 0 < done < members and not killed:
                workers[0].kill()
                workers[0].wait()
                killed.append(done)

        done = simulate_ensemble(SETTINGS, tmp_path, dask=scheduler, progress=killing)
    assert 0 < killed[0] < SETTINGS.members
    assert workers[0].returncode == -signal.SIGKILL
    assert done.computed == SETTINGS.members
    assert_same(tmp_path, whole)


def test_no_scheduler_and_no_worker_are_named(scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbx_beamline.simulation.workers.CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("gbx_beamline.simulation.workers.EMPTY_SECONDS", 0.5)
    with pytest.raises(ServiceError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:1'.*correct --dask"):
        simulate_ensemble(SETTINGS, tmp_path, dask="tcp://127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"has had no workers for .*start workers and run the same command again"):
        simulate_ensemble(SETTINGS, tmp_path, dask=scheduler)


# --- the command


def test_the_command_makes_an_ensemble_and_keeps_it(gbx: Command, tmp_path: Path) -> None:
    said = gbx("simulate", *SMALL, "--out", "ensemble", "--workers", "1")
    assert said.code == 0, said.err
    assert said.out.startswith("ensemble: 8 members, 8 in ")
    assert "registered" not in said.out, "there is no catalog here"
    assert not (tmp_path / "gbx-data").exists()
    before = contents(tmp_path)
    again = gbx("simulate", *SMALL, "--out", "ensemble", "--workers", "1")
    assert again.out.startswith("ensemble: 8 members, all there already\n")
    assert contents(tmp_path) == before


def test_the_command_takes_settings_from_a_file_and_its_options_win(gbx: Command, tmp_path: Path) -> None:
    settings = {"mode": "measurement", "members": 3, "size": 8, "measurement": {"frames": 32, "q_par": [0.045]}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"simulation": settings}))
    said = gbx("simulate", "--config", "own.yaml", "--n", "2", "--out", "ensemble", "--workers", "1")
    assert said.code == 0, said.err
    assert maps_in(tmp_path / "ensemble").shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "0"], "0 is not in the range x>=1"),
        (["--mode", "perfect"], "'perfect' is not one of"),
        (["--mode", "measurement", "--size", "300"], "size = 300 cells of 256 frames; needed: at most 256"),
        (["--mode", "paper", "--size", "2000"], "2000"),
        (["--workers", "2", "--dask", "tcp://127.0.0.1:1"], "a cluster has its own workers"),
        (["--config", "absent.yaml"], "absent.yaml: No such file"),
    ],
)
def test_bad_input_is_refused_before_any_work(gbx: Command, tmp_path: Path, options: list[str], said: str) -> None:
    refused = gbx("simulate", "--out", "ensemble", *options)
    assert refused.code == 2
    assert said in refused.err
    assert list(tmp_path.iterdir()) == []


def test_the_limits_of_the_papers_integrator_are_said(gbx: Command) -> None:
    said = gbx("simulate", "--mode", "paper", "--n", "100", "--size", "3", "--out", "ensemble", "--workers", "1")
    assert "\nnote: " in said.out
    assert "close to the Euler limit" in said.out


def test_help_has_an_example(gbx: Command) -> None:
    said = gbx("simulate", "--help")
    assert said.code == 0
    assert "Example: gbx simulate --n 2000 --out ensemble" in said.out


INTERRUPTED = """
import os, signal, sys
from gbx_beamline import cli
from gbx_beamline.simulation import _ensemble_folder

if __name__ == "__main__":
    store, ending = _ensemble_folder.EnsembleFolder.store, getattr(signal, os.environ["ENDING"])

    def stored(folder, batch, members):
        store(folder, batch, members)
        # Ctrl-C reaches all processes of the terminal, a kill only this one.
        os.killpg(0, ending) if ending == signal.SIGINT else os.kill(os.getpid(), ending)

    _ensemble_folder.EnsembleFolder.store = stored
    cli.main()
"""


@pytest.mark.parametrize("ending", ["SIGINT", "SIGKILL"])
def test_an_interrupted_command_leaves_what_is_whole_and_no_process(tmp_path: Path, whole: Path, ending: str) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"simulation": SETTINGS.model_dump(mode="json")}))
    options = ["simulate", "--out", "ensemble", "--config", "own.yaml", "--no-register"]
    # Returns when every process has closed its end of the pipes, the workers too.
    ended = subprocess.run(
        [sys.executable, "interrupted.py", *options, "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "ENDING": ending},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )
    if ending == "SIGINT":
        assert ended.returncode == 130, ended.stderr
        assert "Go on with: gbx simulate --out ensemble --config own.yaml --no-register --workers 2" in ended.stderr
        assert "Traceback" not in ended.stderr
    else:
        assert ended.returncode == -signal.SIGKILL
    left = len(list((tmp_path / "ensemble" / "batches").glob("*.parquet")))
    assert 1 <= left < 12
    again = as_process(*options, "--workers", "1", cwd=tmp_path)
    assert again.code == 0, again.err
    assert f"24 members ({2 * left} were there already), {24 - 2 * left} in " in again.out
    assert_same(tmp_path / "ensemble", whole)


# --- the catalog


@pytest.fixture
def in_catalog(
    gbx: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog_directory: Path, tiled_root: Container
) -> Iterator[Command]:
    """The command in a folder whose embedded catalog is the session's; what it registers goes away again."""
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump({"catalog": {"directory": str(catalog_directory)}}))
    monkeypatch.setenv("GBX_CONFIG", str(tmp_path / "gbx.yaml"))
    yield gbx
    processed: Any = tiled_root["processed"]
    if "ensembles" in processed:
        processed.delete_contents("ensembles", recursive=True, external_only=False)


def entries(tiled_root: Container) -> set[str]:
    """Keys of the ensembles that are registered."""
    processed: Any = tiled_root["processed"]
    return set(processed["ensembles"]) if "ensembles" in processed else set()


def registered(tiled_root: Container, said: str) -> Any:
    """The node that the command names."""
    place = said.splitlines()[-1].removeprefix("registered as ")
    assert place.startswith("processed/ensembles/")
    return tiled_root[tuple(place.split("/"))]


def test_an_ensemble_is_registered_by_reference_and_read_through_tiled(
    in_catalog: Command, tmp_path: Path, tiled_root: Container, catalog_directory: Path
) -> None:
    options = ["simulate", *SMALL, "--out", "ensemble", "--workers", "1"]
    said = in_catalog(*options)
    assert said.code == 0, said.err
    node = registered(tiled_root, said.out)
    maps, rows = maps_in(tmp_path / "ensemble"), pd.read_parquet(tmp_path / "ensemble" / "parameters.parquet")
    np.testing.assert_array_equal(node["maps"].read(), maps)
    np.testing.assert_array_equal(node["maps"][3, 4:8], maps[3, 4:8])
    pd.testing.assert_frame_equal(node["parameters"].read(), rows, check_dtype=False)
    pd.testing.assert_series_equal(node["parameters"].read(["s_noneq"])["s_noneq"], rows["s_noneq"])
    assert node.metadata["settings"]["members"] == 8
    assert node["parameters"].metadata["columns"]["diffusivity"]["unit"] == "m^2/s"
    assert node["maps"].dims == ("member", "time_1", "time_2")
    (linked,) = (catalog_directory / "frames" / "ensembles").glob(f"{node.item['id']}/parameters.parquet")
    assert linked.samefile(tmp_path / "ensemble" / "parameters.parquet"), "no second copy"

    before = entries(tiled_root)
    assert in_catalog(*options).out.splitlines()[-1] == said.out.splitlines()[-1]
    assert entries(tiled_root) == before, "once is enough"


def test_an_ensemble_in_the_catalogs_folder_is_registered_where_it_lies(
    in_catalog: Command, tiled_root: Container, catalog_directory: Path
) -> None:
    place = catalog_directory / "frames" / "mine"
    said = in_catalog("simulate", *SMALL, "--seed", "1", "--out", place, "--workers", "1")
    assert said.code == 0, said.err
    node = registered(tiled_root, said.out)
    (source,) = node["maps"].include_data_sources().data_sources()
    assert source.assets[0].data_uri.endswith("/frames/mine/maps.zarr/maps")
    np.testing.assert_array_equal(node["maps"].read(), maps_in(place))
    # Moved and registered again, it is found where it is now.
    moved = place.rename(place.with_name("moved"))
    again = in_catalog("simulate", *SMALL, "--seed", "1", "--out", moved, "--workers", "1")
    np.testing.assert_array_equal(registered(tiled_root, again.out)["maps"].read(), maps_in(moved))


def test_a_server_that_may_not_read_the_folder_keeps_no_entry(
    in_catalog: Command,
    tmp_path: Path,
    tiled_root: Container,
    catalog_address: CatalogAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server named by its address is not ours to put files before, and these lie where it may not read."""
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    # Tiled's client asks again for 25 s after such an answer.
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 2)
    before = entries(tiled_root)
    said = in_catalog("simulate", *SMALL, "--out", "ensemble", "--workers", "1")
    assert said.code == 2
    assert "8 members, 8 in " in said.out, "the ensemble is whole all the same"
    assert "readable_storage" in said.err.splitlines()[-1]
    assert entries(tiled_root) == before
    assert "all there already" in in_catalog("simulate", *SMALL, "--out", "ensemble", "--no-register").out


def test_only_whole_ensembles_are_registered(tmp_path: Path, catalog_address: CatalogAddress) -> None:
    from gbx_beamline.catalog import connect
    from gbx_beamline.catalog.ensembles import register_ensemble

    catalog = connect(catalog_address.uri, catalog_address.api_key)
    try:
        with pytest.raises(InputError, match="no whole ensemble"):
            register_ensemble(catalog, tmp_path)
    finally:
        catalog.close()


# --- the flow


def test_the_flow_shows_its_progress_and_goes_on_after_the_loss_of_workers(
    configure: Configure,
    tmp_path: Path,
    whole: Path,
    catalog_directory: Path,
    tiled_root: Container,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    import gbx_flows.simulate as flows

    place = catalog_directory / "frames" / "flown"
    path = tmp_path / "gbx.yaml"
    configure(monkeypatch, {})
    path.write_text(yaml.safe_dump({"simulation": SETTINGS.model_dump(mode="json")}))
    monkeypatch.setenv("GBX_CONFIG", str(path))
    tries: list[int] = []

    def losing(*arguments: Any, progress: Any, **options: Any) -> Any:
        tries.append(1)

        def told(done: int, members: int) -> None:
            progress(done, members)
            if done >= 6 and len(tries) == 1:
                raise ServiceError("a worker is gone", needed="workers", action="try again")

        return simulate_ensemble(*arguments, progress=told, **options)

    monkeypatch.setattr(flows, "simulate_ensemble", losing)
    monkeypatch.setattr(flows, "simulate_members", flows.simulate_members.with_options(retry_delay_seconds=0))
    key = flows.simulate(place, workers=1)
    assert len(tries) == 2
    assert_same(place, whole)
    assert key is not None
    np.testing.assert_array_equal(tiled_root[("processed", *key.split("/"), "maps")].read(), maps_in(whole))  # pyright: ignore
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_="simulate-")))
    assert [(artifact.type, artifact.data) for artifact in found] == [("progress", 100.0)]
    assert flows.simulate(place, workers=1) == key, "again: nothing to do"


def test_a_flow_with_impossible_settings_fails_at_once(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gbx_flows.simulate import simulate

    configure(monkeypatch, {})
    with pytest.raises(InputError, match="at most 256"):
        simulate(tmp_path / "out", mode="measurement", size=300, in_catalog=False)
    assert not (tmp_path / "out").exists()
