"""What the grain-boundary model refuses, before any work, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.simulation import GrainBoundary, PaperEnsemble, two_time_batch, two_time_blocks

GOOD: dict[str, Any] = {"gamma": 3e18, "diffusivity": 1e-22, "gb_fraction": 0.2, "temperature": 400.0}


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("gamma", 0.0, "above 0"),
        ("gamma", float("nan"), "above 0"),
        ("diffusivity", -1e-22, "at least 0"),
        ("diffusivity", float("inf"), "at least 0"),
        ("gb_fraction", 1.2, "0 to 1"),
        ("gb_fraction", -0.1, "0 to 1"),
        ("temperature", 0.0, "above 0"),
        ("stiffness", -0.25, "above 0"),
        ("sites", 2, "3 to 2000"),
        ("sites", 10.5, "whole number"),
        ("spacing", 0.0, "above 0"),
        ("contrast", 0.0, "above 0 to 1"),
        ("contrast", 1.14, "above 0 to 1"),
        ("boundaries", 0, "1 to 1e"),
        ("size_spread", 1.5, "0 to 1"),
        ("avalanche_rate", -1.0, "at least 0"),
        ("avalanche_share", 1.0, "0 to 0.99"),
        ("q_convention", "both", "parallel, total"),
        ("orientations", "random", "aligned, isotropic"),
        ("avalanche_tail", "gauss", "exponential, pareto"),
        ("q", -4.5e8, "positive"),
        ("q", (), "at least one q"),
        ("q_z", (1e8, 2e8), "one for each"),
    ],
)
def test_settings_outside_their_domain_are_named(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(InputError) as refused:
        GrainBoundary(**{**GOOD, name: value})
    assert name in refused.value.found
    assert allowed in refused.value.needed


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("q", 0.045, "write 4.5e+08"),
        ("q", (4.5e8, 0.06), "write 6e+08"),
        ("q_z", 0.0275, "write 2.75e+08"),
        ("spacing", 1.0, "write 1e-09"),
        ("bow", 10.0, "write 1e-08"),
    ],
)
def test_other_units_are_refused_with_the_fix(name: str, value: Any, advice: str) -> None:
    with pytest.raises(UnitError) as refused:
        GrainBoundary(**{**GOOD, name: value})
    assert advice in refused.value.action


def test_an_unstable_euler_step_is_refused_before_any_work() -> None:
    # The paper's axis has intervals of 2500/1249 s, a little beyond the limit at gamma = 1e18.
    slow = GrainBoundary(**{**GOOD, "gamma": 1e18})
    for refuse in (
        lambda: slow.two_time(method="euler"),
        lambda: slow.draw(method="euler"),
        lambda: slow.draw(method="euler", euler_step=2.1),
        lambda: slow.mean_g1_gb(np.arange(0.0, 30.0, 3.0), method="euler"),
        lambda: two_time_blocks([GrainBoundary(**GOOD), slow], [0, 1], method="euler"),
    ):
        with pytest.raises(InputError, match=r"k dt / \(gamma dx\^2\) = 0\.5.*|= 0\.75") as refused:
            refuse()
        assert "at most 0.5" in refused.value.needed
        assert "method='exact'" in refused.value.action


@pytest.mark.parametrize("t", [[0.0], [0.0, 0.0, 1.0], [2.0, 1.0], [-1.0, 1.0], [0.0, float("nan")], [[0.0, 1.0]], []])
def test_time_grids_that_are_none(t: Any) -> None:
    gb = GrainBoundary(**GOOD)
    for refuse in (lambda: gb.draw(t), lambda: gb.two_time(t=t), lambda: gb.mean_g1_gb(t)):
        with pytest.raises(InputError, match="time grid"):
            refuse()


def test_more_cells_than_time_steps() -> None:
    gb = GrainBoundary(**GOOD)
    for size in (0, -1, 1251):
        with pytest.raises(InputError, match=f"size = {size} cells of 1250 time steps"):
            gb.two_time(size=size)
    with pytest.raises(InputError, match="size=None keeps every time step"):
        gb.two_time(t=np.arange(100.0))
    with pytest.raises(InputError, match="size = 2000"):
        PaperEnsemble(size=2000)


def test_seeds_methods_and_steps() -> None:
    gb = GrainBoundary(**GOOD)
    with pytest.raises(InputError, match="seed = -1"):
        gb.two_time(-1)
    with pytest.raises(InputError, match="'rk4'"):
        gb.draw(method="rk4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="euler_step = 0"):
        gb.draw(method="euler", euler_step=0.0)
    with pytest.raises(InputError, match="times from 5 s"):
        gb.draw([5.0, 6.0], method="euler", euler_step=1.0)


def test_members_that_do_not_belong_together() -> None:
    gb = GrainBoundary(**GOOD)
    two = GrainBoundary(**GOOD, q=(4.5e8, 6e8))
    for members, seeds in (([gb, gb], [1]), ([gb, two], [1, 2]), ([], [])):
        with pytest.raises(InputError, match=f"{len(members)} members"):
            two_time_batch(members, seeds)


@pytest.mark.parametrize("settings", [{"members": 0}, {"noise": "pink"}, {"seed": -3}, {"method": "heun"}])
def test_paper_ensembles_that_are_none(settings: Any) -> None:
    with pytest.raises(InputError, match=str(next(iter(settings.values())))):
        PaperEnsemble(**settings)
