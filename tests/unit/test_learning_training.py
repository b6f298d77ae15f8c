"""Training on fresh simulations: the loss falls, and a training that was interrupted is the same training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("zuko")
pytest.importorskip("safetensors")

from gbx_beamline.config import TrainingConfig, TrainingData, TrainingNetwork  # noqa: E402
from gbx_beamline.errors import ConfigError, ContractError, InputError, ServiceError  # noqa: E402
from gbx_beamline.learning.contract import InputContract, cell_maps  # noqa: E402
from gbx_beamline.learning.predictor import load_model  # noqa: E402
from gbx_beamline.learning.store import read_model  # noqa: E402
from gbx_beamline.learning.training import ALL_KINDS, TrainingProgress, simulate_batch, train  # noqa: E402
from gbx_beamline.learning.training.batches import (  # noqa: E402
    batch_of_step,
    group_scans,
    prior_box,
    validation_scans,
)
from gbx_beamline.learning.training.checkpoint import NAME, read_checkpoint  # noqa: E402
from gbx_beamline.learning.training.feeding import (  # noqa: E402
    REPLAY,
    Replayed,
    batch_number,
    batches_until,
    feed,
    first_batch,
)
from gbx_beamline.learning.training.loop import Training, learning_rate  # noqa: E402
from gbx_beamline.records import Predictor, TwoTime  # noqa: E402

DATA = TrainingData(rois=(0.6, 0.4))
NETWORK = TrainingNetwork(
    channels=(4, 8, 8), image_features=16, roi_features=16, context=16, transforms=1, hidden=(16,), bins=4
)


def settings(**more: Any) -> TrainingConfig:
    base: dict[str, Any] = {
        "steps": 6,
        "warmup": 2,
        "scans_per_step": 16,
        "validation_scans": 32,
        "validation_steps": 3,
        "calibration_scans": 0,
        "calibration_groups": 0,
        "workers": 0,
        "passes": 1,
        "data": DATA,
        "network": NETWORK,
    }
    return TrainingConfig(**{**base, **more})


def weights_in(folder: Path) -> dict[str, Any]:
    return read_model(folder).weights()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained without any interruption."""
    return train(settings(), tmp_path_factory.mktemp("training"))


# ---- scans


def test_scans_are_of_the_prior_and_finite() -> None:
    scans = simulate_batch(np.random.default_rng(1), 200, TrainingData(shots=4, rois=(0.5, 0.0, 0.5)))
    box = prior_box(TrainingData())
    assert {len(scan.input.maps) for scan in scans} == {1, 3}
    for scan in scans:
        assert all(np.isfinite(part).all() for part in scan.input[:3])
        if ALL_KINDS[scan.kind] == "grain_boundary":
            assert box.contains(box.to_u(scan.parameters))
        else:
            assert np.isnan(scan.parameters).all()
    ours = np.array([scan.kind == 0 for scan in scans])
    assert 0.6 < ours.mean() < 0.95
    u = box.to_u(np.stack([scan.parameters for scan in scans])[ours])
    # Uniform in the box: mean and spread of D and lambda, which are drawn for each scan.
    np.testing.assert_allclose(((u.mean(axis=0) - box.low) / box.width)[[0, 2]], 0.5, atol=0.08)
    np.testing.assert_allclose((u.std(axis=0) / box.width)[[0, 2]], 12**-0.5, atol=0.05)


def test_a_step_has_its_scans_whoever_simulates_them() -> None:
    config = settings(workers=2, scans_per_step=8)
    with feed(config, 3) as scans:
        found = [scans.batch(step) for step in (3, 4, 5)]
    for step, batch in zip((3, 4, 5), found, strict=True):
        again = batch_of_step(config.seed, step, 8, config.data)
        for name in ("maps", "curves", "scalars", "rois", "parameters", "kinds"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
    assert not np.array_equal(found[0].curves[:1], found[1].curves[:1])
    held = validation_scans(config.seed, 8, config.data)
    assert not np.array_equal(held.curves[:1], batch_of_step(config.seed, 0, 8, config.data).curves[:1])


def test_batches_are_seen_again_in_blocks_wherever_training_goes_on() -> None:
    passes = 2
    numbers = [batch_number(step, passes) for step in range(4 * REPLAY)]
    assert numbers == [*range(REPLAY), *range(REPLAY), *range(REPLAY, 2 * REPLAY), *range(REPLAY, 2 * REPLAY)]
    assert [batches_until(step, passes) for step in (1, REPLAY, 2 * REPLAY, 2 * REPLAY + 3)] == [
        1, REPLAY, REPLAY, REPLAY + 3
    ]  # fmt: skip

    class Numbers:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def batch(self, step: int) -> Any:
            self.asked.append(step)
            return step

    for begin in (0, 3, REPLAY + 2, 2 * REPLAY, 3 * REPLAY + 1):
        source = Numbers()
        scans = Replayed(settings(passes=passes), source)
        assert [scans.batch(step) for step in range(begin, 4 * REPLAY)] == numbers[begin:]
        assert source.asked == list(range(first_batch(begin, passes), 2 * REPLAY))
    # The second of three processes.
    source = Numbers()
    scans = Replayed(settings(passes=1), source, rank=1, world=3)
    assert [scans.batch(step) for step in range(4)] == [1, 4, 7, 10]


def test_groups_share_a_sample_and_not_their_photons() -> None:
    one, three = group_scans(1, 2, TrainingData(rois=(0.5, 0.0, 0.5)), shots=3)
    assert one.rois.tolist() == [1, 1, 1]
    assert three.rois.tolist() == [3, 3, 3]
    assert (one.parameters == one.parameters[0]).all()
    assert not np.array_equal(one.curves[0], one.curves[1])


def test_clean_scans_are_the_papers_g2_itself() -> None:
    """Without grain boundaries that is exp(-2 q^2 D tau), at every pair of cells and to the last digit that is kept."""
    data = TrainingData(
        clean=True,
        alternatives=0.0,
        rois=(1.0,),
        gb_fraction=(0.0, 1e-9),
        q_par=(0.045, 0.0450001),
        window_s=(2500.0, 2500.001),
        frames=64,
    )
    lag = 2500.0 / 64 * np.abs(np.subtract.outer(np.arange(64), np.arange(64)))
    for scan in simulate_batch(np.random.default_rng(2), 8, data):
        expected = np.exp(-2.0 * 4.5e8**2 * scan.parameters[0] * lag)
        np.fill_diagonal(expected, 0.0)
        np.testing.assert_allclose(scan.input.maps[0, 0], expected, atol=1e-3)
        assert scan.kind == 0


# ---- the loop


def test_the_loss_falls(tmp_path: Path) -> None:
    seen: list[TrainingProgress] = []
    losses: list[float] = []

    class Noted(Training):
        def update(self, batch: Any) -> float:
            losses.append(super().update(batch))
            return losses[-1]

    config = settings(steps=30, scans_per_step=32, learning_rate=3e-3, averaging=0.9, data=TrainingData(rois=(1.0,)))
    Noted(config, tmp_path).go_on(seen.append, lambda: False)
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) - 0.1
    assert [each.step for each in seen] == list(range(1, 31))
    assert seen[-1].seconds_left == 0
    assert seen[-1].validation["density"] < seen[5].validation["density"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_that_was_interrupted_is_the_same_training(tmp_path: Path, trained: Path, workers: int) -> None:
    config = settings(workers=workers)
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, lambda at: steps.append(at.step), stop=lambda: len(steps) >= 1)
    assert steps == [1, 2]
    folder = train(config, tmp_path, lambda at: steps.append(at.step))
    assert steps == list(range(1, 7))
    expected = weights_in(trained)
    found = weights_in(folder)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert folder.name == trained.name


def test_control_c_ends_between_steps_with_everything_kept(tmp_path: Path) -> None:
    def press(at: TrainingProgress) -> None:
        if at.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    config = settings()
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, press)
    kept = read_checkpoint(tmp_path, config.hash)
    assert kept is not None
    assert kept.step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_training_only_writes_its_model_again(tmp_path: Path, trained: Path) -> None:
    first = train(settings(), tmp_path)
    again = train(settings(), tmp_path, lambda _: pytest.fail("it trained"))
    assert first == again
    assert first.name == trained.name


def test_a_directory_of_another_training_is_refused(tmp_path: Path) -> None:
    train(settings(steps=3), tmp_path)
    with pytest.raises(InputError, match="belongs to a training with the configuration"):
        train(settings(steps=3, seed=6), tmp_path)
    (tmp_path / NAME).write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        train(settings(steps=3), tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_loss_that_is_no_number_changes_nothing_and_ends_in_the_end(tmp_path: Path) -> None:
    training = Training(settings(), tmp_path)
    batch = batch_of_step(5, 0, 16, DATA)
    broken = batch.__class__(**{**vars(batch), "curves": np.full_like(batch.curves, np.nan)})
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    assert not np.isfinite(training.update(broken))
    for name, tensor in training.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert training.step == 1

    class Broken(Training):
        def update(self, batch: Any) -> float:
            self.step += 1
            return float("nan")

    with pytest.raises(ConfigError, match=r"10 steps.*lower learning_rate"):
        Broken(settings(steps=20), tmp_path).go_on(lambda _: None, lambda: False)


def test_a_simulating_process_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with feed(settings(workers=1, scans_per_step=8), 0) as scans:
        scans.batch(0)
        process = scans._processes[0]  # type: ignore[attr-defined]
        process.kill()
        process.join()
        with pytest.raises(ServiceError, match=r"ended with code -9.*goes on from the last checkpoint"):
            # What waits in the queue is given out first.
            all(scans.batch(step) for step in range(1, 10))


def test_learning_rate_rises_and_falls_as_a_cosine() -> None:
    config = settings(steps=100, warmup=10, learning_rate=2e-3)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[10] == max(rates) == pytest.approx(2e-3)
    assert rates[55] == pytest.approx(2e-3 * (0.01 + 0.99 * 0.5))
    assert rates[-1] < 3e-5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 50, "warmup": 50}, "warmup 50"),
        ({"data": {"rois": [0.5, 0.4]}}, "shares add up to 0.9"),
        ({"data": {"q_par": [3.8e8, 5.2e8]}}, "looks like 1/m"),
        ({"data": {"counts": [5, 1]}}, "the smaller number goes first"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainingConfig.model_validate(change)


def test_how_it_is_computed_does_not_name_another_model() -> None:
    assert settings().hash == settings(workers=4, device="cuda", checkpoint_minutes=9.0).hash
    assert settings().hash != settings(seed=6).hash


# ---- the model that comes out


def scan_of(rois: int = 2, frames: int = 256) -> TwoTime:
    rng = np.random.default_rng(4)
    lag = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    noise = rng.normal(0, 0.01, (rois, frames, frames))
    g2 = 1.0 + 0.14 * np.exp(-lag / 100.0) + (noise + noise.swapaxes(1, 2)) / 2
    return TwoTime(
        g2=g2.astype(np.float32),
        diagonal=np.full((rois, frames), 1.14),
        frame_time=2500.0 / frames,
        pixels=np.full(rois, 9000),
        mean_counts=np.full(rois, 2.0),
        frame_means=np.full((rois, frames), 2.0),
        valid_frames=np.ones(frames, dtype=bool),
        static_baseline=np.ones(rois),
        saturated=np.zeros(rois, dtype=np.int64),
        q_par=np.linspace(4e8, 5e8, rois),
    )


def test_the_model_answers_with_intervals_and_flags(trained: Path) -> None:
    model = load_model(trained)
    assert isinstance(model, Predictor)
    inference = model.predict(scan_of(), 421.0)
    assert inference.model_id == trained.name
    assert inference.samples.shape == (2000, 3)
    for name, column in (("diffusivity", 0), ("gamma", 1), ("gb_fraction", 2)):
        estimate = inference.parameters[name]
        assert estimate.low < estimate.median < estimate.high
        assert np.median(inference.samples[:, column]) == pytest.approx(estimate.median, rel=0.02)
    assert "not_calibrated" in {flag.code for flag in inference.flags}
    assert sum(inference.probabilities.values()) == pytest.approx(1.0)
    again = model.predict(scan_of(), 421.0)
    np.testing.assert_array_equal(again.samples, inference.samples)


def test_answers_do_not_touch_the_callers_random_numbers(trained: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_model(trained).predict(scan_of(), 421.0)
    assert torch.equal(torch.rand(3), expected)


def test_a_group_is_answered_scan_by_scan(trained: Path) -> None:
    model = load_model(trained)
    scans = [scan_of(), scan_of(), scan_of(1)]
    found = model.predict_group(scans, [421.0, 421.5, 371.0])
    assert [one.temperature for one in found] == [421.0, 421.5, 371.0]
    np.testing.assert_array_equal(found[0].samples, found[1].samples)
    assert not np.array_equal(found[0].samples, found[2].samples)
    with pytest.raises(InputError, match="3 scans and 2 temperatures"):
        model.predict_group(scans, [421.0, 371.0])


def test_a_scan_outside_the_contract_is_refused(trained: Path) -> None:
    with pytest.raises(ContractError, match="700 K"):
        load_model(trained).predict(scan_of(), 700.0)


def test_weights_that_do_not_fit_and_other_families_are_refused(
    trained: Path, tmp_path: Path, rewritten: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match="of the family 'paper'"):
        load_model(rewritten(trained, tmp_path, family="paper"))
    network = {**read_model(trained).description.network, "context": 24}
    with pytest.raises(InputError, match="do not fit its network"):
        load_model(rewritten(trained, tmp_path, network=network))
    contract = {**InputContract().to_json(), "version": 0}
    with pytest.raises(ContractError, match="version 0"):
        load_model(rewritten(trained, tmp_path, contract=contract))


@pytest.fixture
def rewritten() -> Callable[..., Path]:
    from gbx_beamline.learning.store import write_model

    def rewrite(folder: Path, root: Path, **changes: Any) -> Path:
        stored = read_model(folder)
        about = stored.description
        facts = {
            name: getattr(about, name)
            for name in ("family", "contract", "parameters", "network", "training", "data", "seeds", "metrics")
        }
        return write_model(root, weights=stored.weights(), **{**facts, **changes}).folder

    return rewrite


@pytest.mark.slow
def test_what_simulations_say_is_stored_beside_the_weights(tmp_path: Path) -> None:
    folder = train(settings(steps=3, calibration_scans=500, calibration_groups=2), tmp_path)
    model = load_model(folder)
    assert model.belief.familiarity is not None
    assert 0.0 <= model.correlation <= 1.0
    cells = cell_maps(scan_of(), temperature=400.0)
    score = model.predict_cells(cells).ood_score
    assert score is not None
    assert 0.0 <= score <= 1.0


@pytest.mark.slow
def test_processes_that_train_together_make_one_model(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from gbx_beamline.config import TrainingConfig\n"
        "from gbx_beamline.learning.training import train\n"
        "config = TrainingConfig.model_validate_json(sys.argv[1])\n"
        "if __name__ == '__main__':\n"
        "    print('made', train(config, Path(sys.argv[2])), flush=True)\n"
    )
    config = settings(steps=3, scans_per_step=8)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), config.model_dump_json(), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    made = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("made")]
    assert len(made) == 2
    assert len(set(made)) == 1
    about = read_model(Path(made[0])).description
    assert about.data["scans"] == 2 * 3 * 8
    alone = read_model(train(config, tmp_path / "alone"))
    assert about.id != alone.id  # other gradients: those of twice as many scans
