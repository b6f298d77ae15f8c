"""Figures of a simulated ensemble, and the numbers that are drawn in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gbx_beamline.errors import InputError
from gbx_beamline.figures._simulation_bins import Binned, Edges
from gbx_beamline.figures._simulation_ensemble import MEASURES, PARAMETERS_SHOWN, EnsembleView, read_ensemble
from gbx_beamline.figures._simulation_examples import Example, examples_of
from gbx_beamline.figures._simulation_examples_page import examples_page
from gbx_beamline.figures._simulation_phase_page import PLANES, binned_planes, phase_page
from gbx_beamline.figures.saving import save, save_arrays, write_whole

__all__ = ["FILES", "EnsembleView", "examples_page", "phase_page", "read_ensemble", "save_simulation_figures"]

_UNITS = {"diffusivity": "_m2/s", "gamma": "_J_s/m4", "gb_fraction": "", "temperature": "_K"}
_PLANE_FILES = tuple(f"phase_maps_{y}_over_{x}.csv" for x, y in PLANES)

FILES = (
    "phase_maps.png",
    *_PLANE_FILES,
    "examples.png",
    "examples.csv",
    "examples_cuts.csv",
    "examples_maps.npz",
)
"""What is made: two pages, and beside each the numbers in it."""


def save_simulation_figures(ensemble: EnsembleView, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Draw an ensemble: S_noneq over its parameters, and a few members with cuts at several ages.

    Args:
        ensemble: from :func:`read_ensemble`.
        folder: made when absent.
        overwrite: True replaces files that are there.

    Returns:
        Paths of ``FILES``: ``phase_maps.png`` with a CSV of each plane (a row per bin: borders, members, quartiles of
        both forms of S_noneq), ``examples.png`` with a CSV of the members, one of the cuts (a row per lag; baseline
        1) and their maps.

    Raises:
        InputError: a file already there, before anything is drawn; or a folder that cannot be written.
    """
    paths = [folder / name for name in FILES]
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError(
                f"{path} exists already", needed="a free name", action="choose another folder, or ask to overwrite it"
            )
    folder.mkdir(parents=True, exist_ok=True)
    examples = examples_of(ensemble)
    save(phase_page(ensemble), folder / "phase_maps.png", overwrite=overwrite)
    for plane, found, name in zip(PLANES, binned_planes(ensemble), _PLANE_FILES, strict=True):
        _save_rows(_phase_header(plane), _phase_rows(found), folder / name, overwrite)
    save(examples_page(ensemble, examples), folder / "examples.png", overwrite=overwrite)
    _save_rows(_example_header(), map(_example_row, examples), folder / "examples.csv", overwrite)
    cuts = (row for example in examples for row in _cut_rows(example))
    _save_rows(("member", "curve", "age_s", "tau_s", "g2"), cuts, folder / "examples_cuts.csv", overwrite)
    arrays = {
        "member": np.array([example.member for example in examples]),
        "g2": np.stack([example.g2 for example in examples]),
        "cell_s": np.array(ensemble.cell),
    }
    save_arrays(arrays, folder / "examples_maps.npz", overwrite=overwrite)
    return paths


def _phase_header(plane: tuple[str, str]) -> tuple[str, ...]:
    borders = tuple(f"{name}_{end}{_UNITS[name]}" for name in plane for end in ("low", "high"))
    quartiles = tuple(f"{name}_{which}" for name in MEASURES for which in ("quarter", "median", "three_quarters"))
    return (*borders, "members", *quartiles)


def _phase_rows(found: Binned) -> Iterator[tuple[Any, ...]]:
    for row, column in np.ndindex(found.members.shape):
        borders = (*_borders(found.x, column), *_borders(found.y, row))
        quartiles = [value for name in MEASURES for value in found.quartiles[name][:, row, column].tolist()]
        yield (*borders, int(found.members[row, column]), *quartiles)


def _borders(edges: Edges, place: int) -> tuple[float, float]:
    return float(edges.values[place]), float(edges.values[place + 1])


def _example_header() -> tuple[str, ...]:
    parameters = (f"{name}{_UNITS[name]}" for name in PARAMETERS_SHOWN)
    return ("member", "share_of_members_below", *parameters, *MEASURES, "drift/contrast")


def _example_row(example: Example) -> tuple[Any, ...]:
    values = (example.values[name] for name in (*PARAMETERS_SHOWN, *MEASURES))
    return (example.member, example.share_below, *values, example.drift_over_contrast)


def _cut_rows(example: Example) -> Iterator[tuple[Any, ...]]:
    for curve, cut in (*(("cut", cut) for cut in example.cuts), ("baseline", example.baseline)):
        for tau, g2 in zip(cut.tau.tolist(), cut.g2.tolist(), strict=True):
            yield (example.member, curve, cut.age, tau, g2)


def _save_rows(header: Sequence[str], rows: Iterable[Sequence[Any]], path: Path, overwrite: bool) -> None:
    """A table as CSV with one header line; what is not known is left blank."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if isinstance(value, float) and np.isnan(value) else value for value in row])
    write_whole(buffer.getvalue().encode(), path, overwrite)
