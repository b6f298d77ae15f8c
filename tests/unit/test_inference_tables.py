"""What models say, as people and programs read it: never a number without its flags."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tiled")

from rich.console import Console

from gbx_beamline import analyze, open_series
from gbx_beamline.catalog import InferenceSummary, RecordSummary, inference_schema, schema
from gbx_beamline.config import parse_config
from gbx_beamline.errors import ContractError
from gbx_beamline.figures import tables, words
from gbx_beamline.figures.inference_tables import inference_table, interval
from gbx_beamline.pipeline import infer
from gbx_beamline.records import (
    Estimate,
    Flag,
    Inference,
    Predictor,
    Refusal,
    ScanInference,
    ScanResult,
    TwoTime,
)
from gbx_beamline.simulation import SpeckleMovie


class Says:
    """A predictor with one answer, or one refusal; remembers what it was asked."""

    id = "gbx-test"

    def __init__(self, found: Inference | ContractError) -> None:
        self._found = found
        self.asked: dict[str, Any] = {}

    def predict(self, tt: TwoTime, temperature: float, q: Any = None, **also: Any) -> Inference:
        self.asked = {"tt": tt, "temperature": temperature, "q": q, **also}
        if isinstance(self._found, ContractError):
            raise self._found
        return self._found


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    labels = np.zeros((24, 24), dtype=np.int32)
    labels[2:12, 2:22], labels[13:22, 2:22] = 1, 2
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    series = open_series(SpeckleMovie((24, 24), 20, rate=0.05, modes=2, seed=1).read(0, 20), frame_time=0.5)
    found = analyze(series, parse_config({"analysis": {"rois": {"labels": str(path)}}}).analysis)
    return replace(found, scan=replace(found.scan, run_uid="0123456789", temperature=421.0))


def answer(*flags: Flag) -> Inference:
    return Inference(
        model_id="gbx-test",
        parameters={
            "diffusivity": Estimate(low=0.9e-22, median=1.24e-22, high=1.71e-22),
            "gamma": Estimate(low=2e17, median=3e18, high=8e19),
            "gb_fraction": Estimate(low=0.05, median=0.21, high=0.44),
        },
        samples=np.ones((100, 3)),
        flags=flags,
        probabilities={"static": 0.1, "grain_boundary": 0.9},
        temperature=421.0,
        q=np.array([4e8, 4.5e8]),
        q_convention="parallel",
    )


UNDETERMINED = Flag(code="undetermined:gamma", text="the GB friction gamma is undetermined")


def summaries(result: ScanResult, inference: ScanInference) -> tuple[RecordSummary, InferenceSummary]:
    key = schema.pointer_key(result)
    inference = replace(inference, record=key)
    metadata = (
        inference_schema.refusal_metadata(inference, created=2.0)
        if isinstance(inference.outcome, Refusal)
        else inference_schema.inference_metadata(inference, attempt="a", created=2.0)
    )
    record = RecordSummary(key, schema.result_metadata(result, attempt="b", created=1.0))
    return record, InferenceSummary("an inference", metadata)


def shown(record: RecordSummary, inference: InferenceSummary, width: int = 80) -> str:
    table = inference_table([record], [inference])
    assert table is not None
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_the_model_is_asked_with_all_that_is_known(result: ScanResult) -> None:
    model = Says(answer())
    assert isinstance(model, Predictor)
    said = infer(result, model, record="key", seed=3)
    assert said.outcome is model._found
    assert (said.record, said.scan, said.seed, said.checked) == ("key", result.scan, 3, True)
    expected = {"tt": result.two_time, "temperature": 421.0, "q": None, "scaling": result.scaling}
    assert model.asked == expected | {"check": True, "seed": 3}


def test_a_refusal_is_data(result: ScanResult) -> None:
    error = ContractError("window too short: 10 s of 2,000 s", needed="2,000 s", action="measure longer")
    said = infer(result, Says(error)).outcome
    assert said == Refusal(model_id="gbx-test", kind="ContractError", reason=str(error))
    unknown = replace(result, scan=replace(result.scan, temperature=None))
    model = Says(answer())
    assert isinstance(infer(unknown, model).outcome, Refusal)
    assert model.asked == {}, "nobody guesses a temperature"


def test_rows_carry_values_flags_and_model(result: ScanResult) -> None:
    record, inference = summaries(result, infer(result, Says(answer(UNDETERMINED))))
    (header, *lines) = csv.reader(io.StringIO(tables.as_text([record], "csv", [inference])))
    assert len(lines) == 2
    for line in lines:
        row = dict(zip(header, line, strict=True))
        assert float(row["diffusivity_m2/s"]) == pytest.approx(1.24e-22)
        assert float(row["gb_fraction_high"]) == pytest.approx(0.44)
        assert (row["preferred"], row["flags"], row["model"]) == ("grain_boundary", "undetermined:gamma", "gbx-test")
    (first, _) = tables.rows([record])
    assert first["model"] is None, "no model was asked"


def test_refusals_stand_in_the_rows(result: ScanResult) -> None:
    error = ContractError("window too short", needed="2,000 s", action="measure longer")
    record, inference = summaries(result, infer(result, Says(error)))
    row = tables.rows([record], [inference])[0]
    assert row["diffusivity_m2/s"] is None
    assert row["flags"] == "refused: window too short; needed: 2,000 s; measure longer."
    assert "refused by the model: window too short" in " ".join(shown(record, inference).split())


def test_the_newest_answer_is_shown(result: ScanResult) -> None:
    record, first = summaries(result, infer(result, Says(answer())))
    later = InferenceSummary("later", first.metadata | {"model_id": "gbx-later"})
    assert tables.rows([record], [first, later])[0]["model"] == "gbx-later"


def test_a_terminal_shows_intervals_and_what_limits_them(result: ScanResult) -> None:
    truth = {"diffusivity": 1.5e-22, "mobility": 5e-19, "gb_fraction": 0.25}
    known = replace(result, scan=replace(result.scan, truth=truth))
    record, inference = summaries(known, infer(known, Says(answer(UNDETERMINED))))
    text = shown(record, inference)
    assert "01234567" in text
    assert "1.2e-22 (0.9–1.7)" in text
    assert "0.21 (0.05–0.44)" in text
    assert "undet." in text
    assert "3.0e18" not in text, "what is undetermined has no value"
    assert "the GB friction gamma is undetermined" in text
    assert "true" in text
    assert "1.5e-22" in text
    assert "2.0e+18" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "estimate", "expected"),
    [
        ("diffusivity", (9e-23, 1.24e-22, 1.71e-22), "1.2e-22 (0.9–1.7)"),
        ("diffusivity", (2e-24, 9.96e-23, 1.3e-22), "1.0e-22 (0.02–1.3)"),
        ("gb_fraction", (0.0, 0.004, 0.4), "0.00 (0.00–0.40)"),
    ],
)
def test_intervals_as_they_are_read(name: str, estimate: tuple[float, float, float], expected: str) -> None:
    low, median, high = estimate
    assert interval(name, {"low": low, "median": median, "high": high}) == expected


def test_a_page_says_it_in_words(result: ScanResult) -> None:
    said, limits = words.inferred(infer(result, Says(answer(UNDETERMINED))))
    assert said == (
        "D = 1.2·10⁻²² (9.0·10⁻²³ to 1.7·10⁻²²) m²/s, γ undetermined, λ_GB = 0.21 (0.050 to 0.44)"
        "  (intervals of 90 %; model gbx-test)"
    )
    assert limits == ["the GB friction gamma is undetermined"]
