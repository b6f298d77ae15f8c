"""The paper's family: networks layer by layer, maps, crops, splits, and trainings that survive being interrupted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.config._paper_family import (
    Crops,
    PaperAdaptation,
    PaperFamilyConfig,
    PaperFamilyData,
    PaperFinetuning,
    PaperSchedule,
)
from gbx_beamline.correlation import two_time
from gbx_beamline.errors import ContractError, InputError, MapError, UnitError
from gbx_beamline.learning.paper.splits import split_by_run
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import Predictor, TwoTime
from gbx_beamline.simulation.resample import area_cells, area_mean, bilinear_cells

torch = pytest.importorskip("torch")

from gbx_beamline.learning.paper import (  # noqa: E402
    ExperimentalScan,
    adapt,
    experimental_maps,
    finetune_groups,
    finetuned,
    load_paper_model,
    paper_model_of,
    train_vanilla,
)
from gbx_beamline.learning.paper.experiments import ExperimentalMaps, at_paper_q, spans_of  # noqa: E402
from gbx_beamline.learning.paper.maps import ensemble_of, filled, on_cells, simulated_maps  # noqa: E402
from gbx_beamline.learning.paper.networks import PaperNetwork, SurrogateNetwork, weights_from  # noqa: E402
from gbx_beamline.learning.paper.progress import StageProgress  # noqa: E402
from gbx_beamline.learning.paper.scales import SScale, TargetScale  # noqa: E402
from gbx_beamline.learning.paper.stages import learning_rate  # noqa: E402
from gbx_beamline.learning.store import StoredModel, read_model  # noqa: E402

SMALL = PaperFamilyConfig(
    data=PaperFamilyData(members=40, size=16),
    vanilla=PaperSchedule(epochs=6, batch=8, learning_rate=1e-3, look_every=1),
    adaptation=PaperAdaptation(
        surrogate=PaperSchedule(epochs=20, batch=8, learning_rate=1e-2),
        schedule=PaperSchedule(epochs=2, batch=8, learning_rate=1e-3, look_every=1),
    ),
    finetuning=PaperFinetuning(steps=60, learning_rate=1e-2),
)


def scan(seed: int, *, frames: int = 64, frame_time: float = 2500 / 64, q: float = 4.5e8) -> TwoTime:
    """Photons of speckles that renew faster and faster."""
    rng = np.random.default_rng(seed)
    field = rng.standard_normal((2, 32, 32))
    counts = np.empty((frames, 32, 32), dtype=np.uint16)
    for frame in range(frames):
        share = 0.02 + 0.1 * frame / frames
        field = np.sqrt(1 - share) * field + np.sqrt(share) * rng.standard_normal(field.shape)
        counts[frame] = rng.poisson(3.0 * (field**2).sum(axis=0) / 2)
    found = two_time(counts, np.ones((32, 32), dtype=np.int32), frame_time=frame_time, groups=8, max_cells=32)
    return replace(found, q_par=np.array([q]))


@pytest.fixture(scope="module")
def experiments() -> ExperimentalMaps:
    scans = [ExperimentalScan(scan(number), f"run{number}", f"group{number % 2}") for number in range(8)]
    return experimental_maps(scans, SMALL.data)


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return train_vanilla(SMALL, tmp_path_factory.mktemp("vanilla"))


@pytest.fixture(scope="module")
def adapted(
    vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path_factory: pytest.TempPathFactory
) -> StoredModel:
    return adapt(SMALL, vanilla, experiments, tmp_path_factory.mktemp("adapted"))


# Networks


def test_network_has_the_papers_layers() -> None:
    network = PaperNetwork()
    sizes = {name: tuple(weight.shape) for name, weight in network.named_parameters() if weight.ndim > 1}
    assert list(sizes.values()) == [
        (32, 1, 3, 3),
        (64, 32, 3, 3),
        (128, 64, 3, 3),
        (128, 128, 3, 3),
        (64, 128),
        (64, 64),
        (3, 64),
    ]
    shapes = [tuple(w.shape) for w in SurrogateNetwork().parameters() if w.ndim > 1]
    assert shapes == [(64, 3), (64, 64), (1, 64)]


@pytest.mark.parametrize("size", [64, 256])
def test_encoder_is_the_papers_layers_in_their_order(size: int) -> None:
    with weights_from(3):
        network = PaperNetwork()
    maps = torch.rand(2, size, size, generator=torch.Generator().manual_seed(1))
    network.encoder.standardise(maps)
    x = (maps - network.encoder.centre) / network.encoder.spread
    x.diagonal(dim1=1, dim2=2).zero_()
    x = x[:, None]
    for convolution in network.encoder.convolutions:
        x = torch.nn.functional.conv2d(x, convolution.weight, convolution.bias, padding=2)
        x = torch.nn.functional.max_pool2d(torch.relu(x), kernel_size=3, stride=2)
    features, unit = network(maps)
    assert features.shape == (2, 128)
    assert unit.shape == (2, 3)
    assert torch.allclose(features, x.mean(dim=(2, 3)), atol=1e-6)


def test_encoder_does_not_see_the_diagonal() -> None:
    with weights_from(0):
        network = PaperNetwork()
    maps = torch.rand(1, 64, 64)
    other = maps.clone()
    other.diagonal(dim1=1, dim2=2).fill_(7.0)
    assert torch.equal(network.encoder(maps), network.encoder(other))


def test_weights_follow_from_the_seed_and_leave_torchs_stream_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    with weights_from(5):
        first = PaperNetwork()
    assert torch.equal(torch.rand(3), expected)
    with weights_from(5):
        second = PaperNetwork()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_learning_rate_rises_and_falls_or_stays() -> None:
    cosine = PaperSchedule(epochs=1, learning_rate=2e-3, warmup=10)
    found = [learning_rate(cosine, step, 110) for step in (0, 9, 10, 60, 110)]
    assert found == pytest.approx([2e-4, 2e-3, 2e-3, 2e-3 * (0.01 + 0.99 * 0.5), 2e-5])
    constant = PaperSchedule(epochs=1, course="constant")
    assert {learning_rate(constant, step, 100) for step in (0, 50, 99)} == {3e-4}


# Splits and scales


def test_split_takes_whole_runs() -> None:
    runs = [f"run{number // 11}" for number in range(440)]
    split = split_by_run(runs, 7)
    parts = [{runs[row] for row in part} for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [28, 6, 6]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 40
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(440))
    again = split_by_run(runs, 7)
    assert np.array_equal(again.test, split.test)
    assert not np.array_equal(split_by_run(runs, 8).test, split.test)


def test_crops_of_two_runs_are_no_split() -> None:
    with pytest.raises(InputError, match="50 maps of 2 runs; needed: at least 3 runs"):
        split_by_run(["a"] * 25 + ["b"] * 25, 0)


def test_targets_are_linear_but_for_d() -> None:
    scale = TargetScale()
    middle = np.array([np.sqrt(3e-24 * 3e-21), 3.5e18, 0.25])
    assert scale.to_unit(middle) == pytest.approx([0.5, 0.5, 0.5])
    assert scale.to_unit([[3e-24, 1e18, 0.0], [3e-21, 6e18, 0.5]]) == pytest.approx(np.array([[0.0] * 3, [1.0] * 3]))
    assert scale.to_physical(scale.to_unit(middle)) == pytest.approx(middle)
    logs = TargetScale(("diffusivity", "gamma"))
    assert logs.to_unit([3e-24, np.sqrt(6.0) * 1e18, 0.5]) == pytest.approx([0.0, 0.5, 1.0])
    with pytest.raises(InputError, match="logarithm of gb_fraction"):
        TargetScale(("gb_fraction",))


def test_s_is_normalised_over_both_domains_together() -> None:
    scale = SScale.joint([0.1, 0.5], [0.3, 0.9, np.nan])
    assert (scale.low, scale.high) == (0.1, 0.9)
    assert scale.to_unit([0.1, 0.5, 0.9]) == pytest.approx([0.0, 0.5, 1.0])
    assert scale.to_norm(scale.to_unit(0.42)) == pytest.approx(0.42)
    assert SScale(**scale.to_json()) == scale
    with pytest.raises(InputError, match="none different"):
        SScale.joint([0.2], [0.2, np.nan])


# Maps


def test_cells_leave_out_the_diagonal_and_bad_frames() -> None:
    rng = np.random.default_rng(0)
    g2 = rng.random((50, 50))
    g2 += g2.T
    cells = area_cells(50, 16)
    off = ~np.eye(16, dtype=bool)
    plain = area_mean(g2, 16)
    found = on_cells(g2, cells)
    # A frame that two neighbouring cells share puts a piece of the diagonal into the cells beside it.
    far = np.abs(np.subtract.outer(np.arange(16), np.arange(16))) > 1
    assert np.allclose(found[far], plain[far])
    assert np.isnan(np.diagonal(found)).all()
    noisy = g2.copy()
    np.fill_diagonal(noisy, 1e6)
    assert np.array_equal(on_cells(noisy, cells)[off], found[off])
    noisy[7], noisy[:, 7] = np.nan, np.nan
    without = on_cells(noisy, cells)
    assert np.isfinite(without[off]).all()
    # Frames 6 and 7 lie in cell 2, frame 6 with weight 1 - its share in cell 1; rows of cell 12: 38 to 40.
    kept = on_cells(np.where(np.isfinite(noisy), g2, np.nan), cells)
    assert np.array_equal(kept[off], without[off])


def test_bilinear_resize_of_frames_that_are_cells_already_is_the_map() -> None:
    g2 = np.arange(64.0).reshape(8, 8)
    off = ~np.eye(8, dtype=bool)
    assert np.array_equal(on_cells(g2, bilinear_cells(8, 8))[off], g2[off])


def test_unknown_cells_become_what_a_stationary_map_has() -> None:
    lag = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    map_ = 1.0 + np.exp(-lag / 4.0)
    cells = map_.copy()
    cells[5], cells[:, 5] = np.nan, np.nan
    np.fill_diagonal(cells, np.nan)
    found = filled(cells)
    off = lag > 0
    assert np.allclose(found[off], map_[off], atol=1e-6)
    assert (np.diagonal(found) == 1.0).all()
    with pytest.raises(MapError, match="without a known value"):
        filled(np.full((4, 4), np.nan))


@pytest.mark.parametrize("g2", [np.ones((4, 5)), np.full((4, 4), np.inf), np.ones((5, 5))])
def test_cells_refuse_what_is_no_map_of_these_frames(g2: np.ndarray) -> None:
    with pytest.raises(MapError, match="needed: a square map of 4 frames"):
        on_cells(g2, area_cells(4, 2))


def test_simulated_maps_are_the_papers_ensemble() -> None:
    data = PaperFamilyData(members=20, size=32, resize="bilinear", noise="independent")
    found = simulated_maps(data)
    expected = np.concatenate(list(ensemble_of(data).maps()))
    off = ~np.eye(32, dtype=bool)
    assert np.allclose(found.maps[:, off], expected[:, off], atol=1e-7)
    assert found.s[3] == pytest.approx(nonequilibrium(expected[3]).s_noneq_norm, rel=1e-4)
    assert list(found.parameters[5]) == [
        ensemble_of(data).parameters()[name][5]
        for name in (
            "diffusivity",
            "gamma",
            "gb_fraction",
        )
    ]


def test_honest_noise_is_sampled_exactly_and_fixed_noise_as_released() -> None:
    assert (ensemble_of(PaperFamilyData()).noise, ensemble_of(PaperFamilyData()).method) == ("fixed", "euler")
    honest = ensemble_of(PaperFamilyData(noise="independent", size=256, resize="bilinear"))
    assert (honest.noise, honest.method, honest.size) == ("independent", "exact", 256)
    assert ensemble_of(PaperFamilyData(size=64)).size == 256


# Experiments


def test_crops_begin_every_hundred_frames() -> None:
    spans = spans_of(5000, 1.0, Crops(frames=2500, every=100))
    assert spans[0] == (0, 2500)
    assert spans[-1] == (2500, 5000)
    assert len(spans) == 26
    assert spans_of(256, 2500 / 256, Crops()) == [(0, 256)]
    assert spans_of(5000, 1.0, Crops()) == [(0, 2500)]


@pytest.mark.parametrize(
    ("frames", "frame_time", "crops"),
    [
        (1200, 1.0, Crops()),
        (2400, 1.0, Crops(frames=2500)),
        (5000, 0.5, Crops(frames=2500)),
        (5000, 2.0, Crops(frames=2500)),
    ],
)
def test_maps_of_another_window_are_refused(frames: int, frame_time: float, crops: Crops) -> None:
    with pytest.raises(ContractError, match="2,000 to 2,600 s"):
        spans_of(frames, frame_time, crops)


def test_a_crop_is_the_record_of_its_frames() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(2.0, (96, 24, 24)).astype(np.uint16)
    labels = np.ones((24, 24), dtype=np.int32)
    whole = two_time(counts, labels, frame_time=1.0, groups=8, max_cells=48)
    part = two_time(counts[32:96], labels, frame_time=1.0, groups=8, max_cells=32)
    crop = whole.between(32, 96)
    assert np.allclose(crop.g2, part.g2, atol=1e-6)
    assert crop.group_maps is not None
    assert part.group_maps is not None
    assert np.allclose(crop.group_maps, part.group_maps, atol=1e-6, equal_nan=True)
    # Not aligned with the group maps' cells of two frames: whole cells only.
    assert whole.between(31, 96).group_maps.shape[-1] == 32  # type: ignore[union-attr]


def test_experimental_maps_know_their_runs_and_both_s(experiments: ExperimentalMaps) -> None:
    assert experiments.maps.shape == (8, 16, 16)
    assert np.isfinite(experiments.maps).all()
    assert experiments.runs == tuple(f"run{number}" for number in range(8))
    assert len(experiments.of_group("group1")) == 4
    assert ((experiments.s > 0) & (experiments.s < 1)).all()
    assert np.isfinite(experiments.s_corrected).sum() >= 4
    assert experiments.target("corrected") is experiments.s_corrected
    assert experiments.rows([0]).digest != experiments.rows([1]).digest
    with pytest.raises(InputError, match="group 'x'"):
        experiments.of_group("x")


def test_crops_of_a_run_keep_its_name() -> None:
    found = experimental_maps([ExperimentalScan(scan(0, frames=72), "a", "g")], SMALL.data, Crops(frames=64, every=4))
    assert found.runs == ("a", "a", "a")


def test_q_other_than_the_papers_is_refused() -> None:
    tt = scan(1)
    with pytest.raises(ContractError, match=r"run r1: q = 3\.9e\+08 1/m is the nearest"):
        experimental_maps([ExperimentalScan(replace(tt, q_par=np.array([3.9e8])), "r1", "g")], SMALL.data)
    with pytest.raises(UnitError, match="multiply by 1e10"):
        at_paper_q(tt, q=[0.045])
    with pytest.raises(ContractError, match="not known"):
        at_paper_q(replace(tt, q_par=None))
    labels = np.repeat([1, 2, 3], 4)[:, None] * np.ones(12, dtype=np.int32)
    counts = np.random.default_rng(0).poisson(2.0, (20, 12, 12)).astype(np.uint16)
    three = two_time(counts, labels, frame_time=125.0, groups=0)
    found = at_paper_q(three, q=[3.9e8, 4.45e8, 5.1e8])
    assert found.q_par == pytest.approx([4.45e8])
    assert np.array_equal(found.g2[0], three.g2[1], equal_nan=True)


# Training


def test_vanilla_learns_and_says_so(vanilla: StoredModel) -> None:
    about = vanilla.description
    assert about.id.startswith("paper-vanilla-")
    assert about.family == "paper"
    assert about.parent is None
    assert about.contract["cells"] == 16
    assert about.parameters["names"] == ["diffusivity", "gamma", "gb_fraction"]
    assert set(about.metrics["r_squared"]) == {"train", "validation", "test"}
    assert "share one noise" in about.notes[1]


def test_interrupted_training_ends_at_the_same_weights(vanilla: StoredModel, tmp_path: Path) -> None:
    told: list[StageProgress] = []
    with pytest.raises(KeyboardInterrupt):
        train_vanilla(SMALL, tmp_path, told.append, stop=lambda: len(told) == 7)
    assert told[-1].step == 8
    assert told[-1].stage == "vanilla"
    resumed = train_vanilla(SMALL, tmp_path, told.append)
    assert told[8].step == 9
    assert told[-1].step == told[-1].steps
    assert resumed.id == vanilla.id
    # Again: nothing is left to do.
    before = len(told)
    assert train_vanilla(SMALL, tmp_path, told.append).id == vanilla.id
    assert len(told) == before


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_vanilla(SMALL, tmp_path, stop=lambda: True)
    other = SMALL.model_copy(update={"seed": 6})
    with pytest.raises(InputError, match="another directory"):
        train_vanilla(other, tmp_path)


def test_adaptation_knows_its_parent_and_its_surrogate(
    adapted: StoredModel, vanilla: StoredModel, experiments: ExperimentalMaps
) -> None:
    assert adapted.description.parent == vanilla.id
    assert adapted.description.id.startswith("paper-adapted-bare-")
    assert adapted.description.data["experiments"]["digest"] == experiments.digest
    model = paper_model_of(adapted)
    assert model.surrogate is not None
    assert model.surrogate.s == "bare"
    assert set(adapted.description.metrics["s_error"]) == {"train", "validation", "test"}
    assert model.implied_s(experiments.maps).shape == (8,)
    weights = paper_model_of(vanilla).network.encoder.convolutions[0].weight
    assert not torch.equal(model.network.encoder.convolutions[0].weight, weights)


def test_adaptation_with_corrected_s_leaves_out_what_is_undetermined(
    vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path: Path
) -> None:
    config = SMALL.model_copy(update={"adaptation": SMALL.adaptation.model_copy(update={"s": "corrected"})})
    some = replace(experiments, s_corrected=np.where(np.arange(8) % 3 == 0, np.nan, experiments.s_corrected))
    found = adapt(config, vanilla, some, tmp_path)
    assert found.description.id.startswith("paper-adapted-corrected-")
    assert paper_model_of(found).need_surrogate().s == "corrected"
    with pytest.raises(InputError, match="none with a known corrected S_noneq"):
        adapt(config, vanilla, replace(experiments, s_corrected=np.full(8, np.nan)), tmp_path / "other")


def test_adaptation_interrupted_in_either_stage_ends_at_the_same_weights(
    adapted: StoredModel, vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path: Path
) -> None:
    told: list[StageProgress] = []
    for stage in ("surrogate", "adaptation"):
        with pytest.raises(KeyboardInterrupt):
            adapt(
                SMALL,
                vanilla,
                experiments,
                tmp_path,
                told.append,
                stop=lambda stage=stage: bool(told) and told[-1].stage == stage,
            )
    assert adapt(SMALL, vanilla, experiments, tmp_path).id == adapted.id


def test_a_parent_whose_training_members_are_others_is_refused(
    adapted: StoredModel, vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="another seed or other data"):
        adapt(SMALL.model_copy(update={"seed": 9}), vanilla, experiments, tmp_path)
    with pytest.raises(InputError, match="needed: a vanilla model"):
        adapt(SMALL, adapted, experiments, tmp_path)


def test_finetuning_moves_the_predictor_alone_towards_the_measured_s(
    adapted: StoredModel, vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path: Path
) -> None:
    model, group = paper_model_of(adapted), experiments.of_group("group0")
    tuned = finetuned(model, group, SMALL.finetuning)
    encoder = [*model.network.encoder.parameters()], [*tuned.network.encoder.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(*encoder, strict=True))
    heads = [*model.network.predictor.parameters()], [*tuned.network.predictor.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(*heads, strict=True))
    before, after = (np.abs(each.implied_s(group.maps) - group.s).mean() for each in (model, tuned))
    assert after < 0.5 * before
    written = finetune_groups(SMALL, adapted, experiments, tmp_path)
    assert list(written) == ["group0", "group1"]
    assert written["group0"].description.parent == adapted.id
    assert written["group0"].description.metrics["s_error"]["after"] == pytest.approx(after)
    assert load_paper_model(written["group0"].folder).parameters(group.maps) == pytest.approx(
        tuned.parameters(group.maps)
    )
    with pytest.raises(InputError, match="has no surrogate"):
        finetune_groups(SMALL, vanilla, experiments, tmp_path)


# Prediction


def test_prediction_comes_with_its_flags(adapted: StoredModel) -> None:
    model = load_paper_model(adapted.folder)
    assert isinstance(model, Predictor)
    tt = scan(3)
    found = model.predict(tt, temperature=400.0)
    maps = experimental_maps([ExperimentalScan(tt, "r", "g")], model.data).maps
    assert [found.parameters[name].median for name in found.parameters] == pytest.approx(model.parameters(maps)[0])
    assert np.isnan(found.parameters["gamma"].low)
    assert found.flags[0].code == "no_interval"
    assert found.samples.shape == (1, 3)
    assert found.q == pytest.approx([4.5e8])
    with pytest.raises(ContractError, match=r"temperature 25 K"):
        model.predict(tt, temperature=25.0)
    with pytest.raises(ContractError, match="2,000 to 2,600 s"):
        model.predict(replace(tt, frame_time=1.0), temperature=400.0)
    with pytest.raises(ContractError, match=r"needed: finite maps \(m, 16, 16\)"):
        model.parameters(np.ones((1, 32, 32), dtype=np.float32))


def test_predictions_outside_the_ensemble_are_cut_and_flagged(vanilla: StoredModel) -> None:
    model = paper_model_of(vanilla)
    with torch.no_grad():
        *_, weight, bias = model.network.predictor.parameters()
        weight.zero_()
        bias.copy_(torch.tensor([-0.5, 0.5, 1.5]))
    found = model.predict(scan(5), temperature=400.0)
    assert [each.median for each in found.parameters.values()] == pytest.approx([3e-24, 3.5e18, 0.5])
    assert [flag.code for flag in found.flags] == [
        "no_interval",
        "outside_range:diffusivity",
        "outside_range:gb_fraction",
    ]


def test_a_model_of_another_contract_is_refused(vanilla: StoredModel) -> None:
    stored = read_model(vanilla.folder)
    other = stored.description.model_copy(update={"contract": {**stored.description.contract, "version": 2}})
    with pytest.raises(ContractError, match="contract of version 2"):
        paper_model_of(StoredModel(stored.folder, other))
    foreign = stored.description.model_copy(update={"family": "gbx"})
    with pytest.raises(InputError, match="family 'gbx'"):
        paper_model_of(StoredModel(stored.folder, foreign))


def test_importing_the_family_loads_no_torch() -> None:
    code = "import sys, gbx_beamline.learning.paper; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
