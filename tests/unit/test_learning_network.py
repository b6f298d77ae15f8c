"""The posterior network: any number of q-ROIs in any order, and densities that are densities."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("zuko")

from gbx_beamline.learning.contract import CHANNELS, CURVES, SCALARS, ScanInput  # noqa: E402
from gbx_beamline.learning.networks import NetworkSettings, PosteriorNetwork  # noqa: E402
from gbx_beamline.learning.networks.encoder import pool  # noqa: E402
from gbx_beamline.learning.networks.tensors import batch_of_inputs  # noqa: E402
from gbx_beamline.learning.parameters import ParameterBox  # noqa: E402

SMALL = NetworkSettings(
    kinds=("grain_boundary", "static"),
    channels=(4, 8),
    image_features=8,
    roi_features=8,
    context=12,
    transforms=2,
    hidden=(16,),
    bins=4,
)
BOX = ParameterBox()
CPU = torch.device("cpu")


@pytest.fixture
def network() -> PosteriorNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        found = PosteriorNetwork(SMALL, BOX)
        # Away from the start, where the flow is nearly the prior.
        for weights in found.parameters():
            weights.data += 0.05 * torch.randn_like(weights)
    return found.eval().requires_grad_(False)


def scan(seed: int, rois: int) -> ScanInput:
    rng = np.random.default_rng(seed)
    return ScanInput(
        rng.standard_normal((rois, len(CHANNELS), 64, 64)).astype(np.float32),
        rng.standard_normal((rois, len(CURVES), 24)).astype(np.float32),
        rng.standard_normal((rois, len(SCALARS))).astype(np.float32),
    )


def test_scans_of_different_numbers_of_rois_do_not_disturb_each_other(network: PosteriorNetwork) -> None:
    scans = [scan(1, 1), scan(2, 5), scan(3, 3)]
    together = network.encoder(batch_of_inputs(scans, CPU))
    assert together.shape == (3, SMALL.context)
    for index, one in enumerate(scans):
        alone = network.encoder(batch_of_inputs([one], CPU))
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


def test_order_of_rois_does_not_matter(network: PosteriorNetwork) -> None:
    first = scan(4, 4)
    order = [2, 0, 3, 1]
    other = ScanInput(first.maps[order], first.curves[order], first.scalars[order])
    contexts = network.encoder(batch_of_inputs([first, other], CPU))
    np.testing.assert_allclose(contexts[0], contexts[1], atol=1e-5)


def test_pooling_is_weighted_mean_maximum_and_number() -> None:
    each = torch.tensor([[1.0, -4.0], [3.0, -2.0], [-5.0, -6.0]])
    log_weights = torch.log(torch.tensor([[1.0, 3.0], [1.0, 1.0], [0.2, 7.0]]))
    mean, largest, number = pool(each, log_weights, torch.tensor([0, 0, 1]), 2)
    np.testing.assert_allclose(mean, [[2.0, -3.5], [-5.0, -6.0]], rtol=1e-6)
    np.testing.assert_allclose(largest, [[3.0, -2.0], [-5.0, -6.0]])
    np.testing.assert_allclose(number, [[np.log(2.0)], [0.0]], atol=1e-6)


def density_on_a_grid(network: PosteriorNetwork, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """u on a grid that is even in z, and the probability of each of its cells."""
    axis = torch.linspace(-4.7, 4.7, 60)
    z = torch.cartesian_prod(axis, axis, axis)
    u = network.to_u(z)
    volume = (axis[1] - axis[0]) ** 3 * torch.exp(-0.5 * (z**2).sum(1)) * (2 * np.pi) ** -1.5 * float(BOX.width.prod())
    return u, network.log_prob(context.expand(len(u), -1), u).exp() * volume


def test_density_integrates_to_one_over_the_box(network: PosteriorNetwork) -> None:
    context = network.encoder(batch_of_inputs([scan(1, 2)], CPU))
    u, probability = density_on_a_grid(network, context)
    assert float(probability.sum()) == pytest.approx(1.0, abs=0.01)
    # It is not the prior, whose cells have a known mean.
    assert abs(float((probability[:, None] * u).sum(0)[0]) - BOX.low[0] - BOX.width[0] / 2) > 0.1


def test_samples_follow_the_density_and_stay_inside(network: PosteriorNetwork) -> None:
    context = network.encoder(batch_of_inputs([scan(5, 2)], CPU))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        samples = network.sample(context, 20_000)[:, 0]
    assert BOX.contains(samples.numpy().astype(np.float64)).all()
    u, probability = density_on_a_grid(network, context)
    mean = (probability[:, None] * u).sum(0)
    spread = (probability[:, None] * (u - mean) ** 2).sum(0).sqrt()
    np.testing.assert_array_less(((samples.mean(0) - mean) / spread).abs(), 0.03)
    np.testing.assert_allclose(samples.std(0), spread, rtol=0.03)


def test_prior_is_the_base_of_the_flow() -> None:
    network = PosteriorNetwork(SMALL, BOX)
    u = torch.from_numpy(BOX.sample(np.random.default_rng(1), 5000).astype(np.float32))
    z = network.to_z(u)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.06)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.05)
    np.testing.assert_allclose(network.to_u(z), u, atol=2e-5 * BOX.width.max())


def test_edges_of_the_box_have_a_finite_density(network: PosteriorNetwork) -> None:
    context = network.encoder(batch_of_inputs([scan(1, 1)], CPU)).expand(2, -1)
    edges = torch.from_numpy(np.stack([BOX.low, BOX.high]).astype(np.float32))
    assert torch.isfinite(network.log_prob(context, edges)).all()


def test_settings_survive_json() -> None:
    assert NetworkSettings.from_json(SMALL.to_json()) == SMALL
    assert ParameterBox.from_json(BOX.to_json()) == BOX


def test_box_is_in_si_outside_and_logarithmic_inside() -> None:
    physical = np.array([[1e-22, 1e18, 0.3]])
    np.testing.assert_allclose(BOX.to_u(physical), [[-22.0, 18.0, 0.3]])
    np.testing.assert_allclose(BOX.to_physical(BOX.to_u(physical)), physical)
    np.testing.assert_array_equal(BOX.contains([[-22, 18, 0.3], [-24, 18, 0.3], [-22, 18, 0.6]]), [True, False, False])
