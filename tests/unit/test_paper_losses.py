"""Losses of the paper against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gbx_beamline.errors import InputError

torch = pytest.importorskip("torch")

from gbx_beamline.learning.paper.losses import coral, supervised_loss, surrogate_loss, total_loss  # noqa: E402


def test_coral_of_5_x_3_and_4_x_3_is_the_number_of_eq_12() -> None:
    # Five rows, mean (0, 0, 1). About it the columns are (1, -1, 0, 0, 0), (0, 0, 2, -2, 0) and (-1, -1, -1, -1, 4);
    # sums of products over n - 1 = 4: C_s = diag(2/4, 8/4, 20/4) = diag(0.5, 2, 5), and every pair of columns gives 0.
    simulated = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 5]], dtype=torch.float64)
    # Four rows, mean (1.5, 1.5, 2). The first two columns are (-1.5, 1.5, -1.5, 1.5) about it, the third is 0; over
    # n - 1 = 3: C_e has 9/3 = 3 in its upper left 2 x 2 block and 0 elsewhere.
    measured = torch.tensor([[0, 0, 2], [3, 3, 2], [0, 0, 2], [3, 3, 2]], dtype=torch.float64)
    # |mu_s - mu_e|^2 = 1.5^2 + 1.5^2 + 1^2 = 5.5.
    # |C_s - C_e|_F^2 = (0.5 - 3)^2 + (2 - 3)^2 + 5^2 + 2 (0 - 3)^2 = 6.25 + 1 + 25 + 18 = 50.25.
    # 4 d^2 = 36.
    expected = 5.5 + 50.25 / 36.0
    assert coral(simulated, measured).item() == pytest.approx(expected, rel=1e-12)
    assert coral(measured, simulated).item() == pytest.approx(expected, rel=1e-12)
    # Means alone, and covariances alone.
    assert coral(simulated, simulated + 2.0).item() == pytest.approx(3 * 2.0**2)
    assert coral(simulated, 3.0 * (simulated - simulated.mean(0)) + simulated.mean(0)).item() == pytest.approx(
        (9 - 1) ** 2 * (0.5**2 + 2**2 + 5**2) / 36.0
    )


def test_coral_is_0_for_the_same_distribution_and_has_a_gradient() -> None:
    features = torch.arange(12.0).reshape(4, 3) ** 2
    assert coral(features, features.flip(0)).item() == pytest.approx(0.0, abs=1e-6)
    moved = (features + 1.0).requires_grad_(True)
    coral(features, moved).backward()
    # d/dx of |mu - mu_e|^2 with mu_e - mu = 1 in each column: 2/4 in each entry.
    assert torch.allclose(moved.grad, torch.full((4, 3), 0.5), atol=1e-4)


@pytest.mark.parametrize(
    ("simulated", "measured"), [((1, 3), (4, 3)), ((4, 3), (1, 3)), ((4, 3), (4, 2)), ((4,), (4,))]
)
def test_coral_refuses_what_has_no_covariance(simulated: tuple[int, ...], measured: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="needed: "):
        coral(torch.zeros(simulated), torch.zeros(measured))


def test_surrogate_loss_counts_known_s_only_and_moves_predictions_only() -> None:
    weights = torch.tensor([1.0, 2.0, -1.0])

    def q(unit: Any) -> Any:
        return unit @ weights

    predicted = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.0, 1.0, 0.0]], requires_grad=True)
    s = torch.tensor([0.5, math.nan, 1.0])
    loss = surrogate_loss(q, predicted, s)
    # Q = 1, (1), 2: squares of 0.5 and 1, mean of two.
    assert loss.item() == pytest.approx((0.25 + 1.0) / 2)
    loss.backward()
    assert predicted.grad is not None
    # 2 (Q - S) / 2 times the weights; nothing where S is not known.
    assert torch.allclose(predicted.grad, torch.stack([0.5 * weights, 0.0 * weights, 1.0 * weights]))


def test_surrogate_loss_refuses_a_batch_without_s() -> None:
    with pytest.raises(InputError, match="2 maps without S_noneq"):
        surrogate_loss(lambda unit: unit[:, 0], torch.zeros(2, 3), torch.full((2,), math.nan))


def test_total_loss_has_the_papers_weights_from_the_configuration() -> None:
    from gbx_beamline.config._paper_family import PaperAdaptation

    paper = PaperAdaptation()
    parts = torch.tensor(0.5), torch.tensor(0.25), torch.tensor(2.0)
    found = total_loss(*parts, coral_weight=paper.coral_weight, surrogate_weight=paper.surrogate_weight)
    assert found.item() == pytest.approx(0.5 + 1.0 * 0.25 + 1.2 * 2.0)


def test_supervised_loss_is_the_mean_square_over_all_parameters() -> None:
    assert supervised_loss(torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(1, 3)).item() == pytest.approx(3.0)
