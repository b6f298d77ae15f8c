"""Exchange formats: what is written opens elsewhere with the same numbers, and comes back with them."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from exchanged import BAD, FRAME_TIME, FRAMES, UID, whole_record
from nexusformat.nexus import validate

from gbx_beamline.correlation import one_time
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.exchange import FORMATS, WholeRecord, export, read_result, result_format
from gbx_beamline.records import Geometry, RoiSet, Segment, Trace, Traces

FILES = ("nxxpcs", "pychx")


@pytest.fixture(scope="module")
def record() -> WholeRecord:
    return whole_record()


@pytest.fixture(scope="module")
def exported(record: WholeRecord, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    return {form: export(record, form, folder / f"scan_{form}{'' if form == 'csv' else '.h5'}")[0] for form in FORMATS}


def unknown_geometry(record: WholeRecord) -> WholeRecord:
    """As a record of imported maps: no geometry, no q, no time of measurement."""
    result, nothing = record.result, np.full(3, np.nan)
    rois = replace(result.rois, q_par=nothing, q_z=nothing)
    scan = replace(result.scan, started=None, sample=None, temperature=None)
    blank = replace(result, rois=rois, scan=scan, geometry=Geometry(shape=result.geometry.shape), scaling=None)
    return replace(record, result=blank, scan_id=None, count_time=None, ended=None, inferences=(), document={})


# --- NXxpcs


def faults(path: Path, caplog: pytest.LogCaptureFixture) -> tuple[tuple[int, int], tuple[int, int], str]:
    """(warnings, errors) of the application definition and of all base classes, and what was said."""
    validate.logger.propagate = True
    with caplog.at_level(logging.WARNING, logger=validate.logger.name):
        application = validate.validate_application(str(path))
        classes = validate.validate_file(str(path))
    assert application is not None
    assert classes is not None
    return application, classes, caplog.text


@pytest.mark.parametrize("known", [True, False], ids=["all known", "nothing known"])
def test_the_nexus_validator_finds_every_required_field(
    record: WholeRecord, tmp_path: Path, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    path, _ = export(record if known else unknown_geometry(record), "nxxpcs", tmp_path / "scan.nxs")
    application, classes, said = faults(path, caplog)
    # One warning: scan_number, which the definition requires and deprecates. The other warnings are of NXnote, which
    # does not list the fields of masks that NXxpcs puts there.
    assert application == (1, 0), said
    assert classes[1] == 0, said


def test_the_validator_would_say_what_is_absent(
    exported: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scan.nxs"
    shutil.copy(exported["nxxpcs"], path)
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector_1/count_time"]
    application, _, _ = faults(path, caplog)
    assert application[1] == 1


def test_h5py_alone_finds_the_numbers_with_their_units(exported: dict[str, Path], record: WholeRecord) -> None:
    result = record.result
    with h5py.File(exported["nxxpcs"]) as file:
        entry: Any = file[file.attrs["default"]]
        assert entry["definition"].asstr()[()] == "NXxpcs"
        assert entry["entry_identifier_uuid"].asstr()[()] == UID
        assert entry["entry_identifier"].asstr()[()] == "17"
        assert entry["start_time"].asstr()[()] == "2023-11-14T22:13:20+00:00"
        signal = entry["data"][entry["data"].attrs["signal"]]
        np.testing.assert_array_equal(signal[()], result.one_time.g2.T)
        np.testing.assert_array_equal(entry["data/g2_derr"][()], result.one_time.error.T)
        np.testing.assert_array_equal(entry["data/delay_difference"][()], np.arange(FRAMES))
        np.testing.assert_array_equal(entry["data/tau"][()], result.one_time.tau)
        maps = entry["twotime/two_time_corr_func"]
        np.testing.assert_array_equal(maps[()], result.two_time.g2)
        assert dict(maps.attrs)["baseline_reference"] == 1
        assert np.isnan(maps[0, BAD]).all()
        q = entry["instrument/masks/dynamic_q_list"]
        np.testing.assert_allclose(q[()], np.asarray(result.rois.q_par) * 1e-10)
        assert q.attrs["units"] == "1/angstrom"
        np.testing.assert_array_equal(entry["instrument/masks/dynamic_roi_map"][()], result.rois.labels)
        # 12.398 keV Angstrom / 1.285 Angstrom
        assert entry["instrument/incident_beam/incident_energy"][()] == pytest.approx(9.6486, rel=1e-4)
        assert entry["instrument/detector_1/beam_center_y"][()] == pytest.approx(30 * 75e-6)
        assert entry["sample/temperature"].attrs["units"] == "K"


def test_provenance_s_noneq_and_inference_go_along(exported: dict[str, Path], record: WholeRecord) -> None:
    with h5py.File(exported["nxxpcs"]) as file:
        entry: Any = file["entry"]
        made = entry["processing"]
        assert made["program"].asstr()[()] == "GBX"
        assert made["parameters/config_hash"].asstr()[()] == record.result.provenance.config_hash
        assert made["parameters/models"].asstr()[()].tolist() == ["m1", "m2"]
        assert made["note_1/data"].asstr()[()] == "\n".join(record.result.flags)
        assert json.loads(made["note_2/data"][()]) == record.document
        found = record.result.nonequilibrium
        np.testing.assert_array_equal(entry["s_noneq/parameters/s_noneq"][()], [one.s_noneq for one in found])
        low = [np.nan if one.corrected is None else one.corrected.low for one in found]
        np.testing.assert_array_equal(entry["s_noneq/parameters/corrected_low"][()], low)
        said = entry["inference_1/parameters"]
        assert said["diffusivity"][()] == 1e-22
        assert said["gamma"].attrs["units"] == "J s m^-4"
        assert said["flag_codes"].asstr()[()].tolist() == ["undetermined:gamma"]
        assert entry["inference_1/posterior/samples"].shape == (200, 3)
        assert entry["inference_2/parameters/refusal"].asstr()[()].startswith("300 K is below")


def test_what_nobody_knows_says_so_in_the_file_and_in_words(record: WholeRecord, tmp_path: Path) -> None:
    path, words = export(unknown_geometry(record), "nxxpcs", tmp_path / "scan.h5")
    assert any("incident_energy, count_time, beam_center_x" in word for word in words)
    with h5py.File(path) as file:
        energy: Any = file["entry/instrument/incident_beam/incident_energy"]
        assert np.isnan(energy[()])
        assert energy.attrs["status"] == "not measured"
        assert "dynamic_q_list" not in file["entry/instrument/masks"]  # type: ignore[operator]


def test_the_same_record_gives_the_same_bytes(record: WholeRecord, tmp_path: Path) -> None:
    for form in FILES:
        first, _ = export(record, form, tmp_path / f"a_{form}.h5")
        second, _ = export(record, form, tmp_path / f"b_{form}.h5")
        assert first.read_bytes() == second.read_bytes()


# --- CSV


def test_tables_load_in_one_line_of_pandas_with_the_records_numbers(
    exported: dict[str, Path], record: WholeRecord
) -> None:
    folder, result = exported["csv"], record.result
    g2 = pd.read_csv(folder / "one_time.csv")
    assert list(g2.columns) == ["roi", "q_par_1_per_angstrom", "q_z_1_per_angstrom", "tau_s", "g2", "g2_error"]
    np.testing.assert_allclose(g2["g2"].to_numpy().reshape(3, FRAMES), result.one_time.g2, rtol=1e-15)
    np.testing.assert_array_equal(g2["tau_s"].to_numpy()[:FRAMES], result.one_time.tau)
    np.testing.assert_allclose(g2["q_par_1_per_angstrom"].unique(), np.asarray(result.rois.q_par) * 1e-10)
    s_noneq = pd.read_csv(folder / "s_noneq.csv")
    np.testing.assert_allclose(s_noneq["s_noneq"], [one.s_noneq for one in result.nonequilibrium], rtol=1e-15)
    ages = pd.read_csv(folder / "ages.csv")
    assert ages["age_start_s"].nunique() == 5
    assert ages["age_stop_s"].max() == FRAMES * FRAME_TIME
    frames = pd.read_csv(folder / "frames.csv")
    assert frames.loc[~frames["valid"], "time_s"].unique().tolist() == [BAD * FRAME_TIME]
    inference = pd.read_csv(folder / "inference.csv")
    assert inference["diffusivity_m2_per_s"].tolist()[0] == 1e-22
    assert inference["refused"].tolist()[1].startswith("300 K is below")
    assert np.isnan(inference["diffusivity_m2_per_s"].tolist()[1])
    assert len(pd.read_csv(folder / "kinetics.csv")) == len(result.kinetics)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["run_uid"] == UID
    assert provenance["flags"] == list(result.flags)


def test_no_empty_table_is_left_for_pandas_to_stumble_over(record: WholeRecord, tmp_path: Path) -> None:
    folder, words = export(replace(record, inferences=()), "csv", tmp_path / "tables")
    assert not (folder / "inference.csv").exists()
    assert not any(word.startswith("inference") for word in words)


# --- there and back


@pytest.mark.parametrize("form", FILES)
def test_maps_q_and_pixels_come_back_equal(form: str, exported: dict[str, Path], record: WholeRecord) -> None:
    result = record.result
    assert result_format(exported[form]) == form
    back = read_result(exported[form])
    np.testing.assert_array_equal(back.two_time.g2, result.two_time.g2)
    np.testing.assert_array_equal(back.two_time.valid_frames, result.two_time.valid_frames)
    np.testing.assert_allclose(back.two_time.q_par, result.rois.q_par, rtol=1e-12)  # type: ignore[arg-type]
    np.testing.assert_allclose(back.two_time.q_z, result.rois.q_z, rtol=1e-12)  # type: ignore[arg-type]
    assert back.two_time.frame_time == FRAME_TIME
    assert back.rois is not None
    np.testing.assert_array_equal(back.rois.labels, result.rois.labels)
    np.testing.assert_array_equal(back.mask, result.mask)
    np.testing.assert_array_equal(back.mean_image, result.mean_image)
    assert (back.sample, back.temperature, back.started) == ("colloid", 300.0, 1.7e9)
    theirs = one_time(back.two_time, "pychx").g2[:, 1:]
    np.testing.assert_allclose(theirs, one_time(result.two_time, "pychx").g2[:, 1:], rtol=1e-12)


def test_curves_contrast_and_names_come_back_from_our_own_nexus_files(
    exported: dict[str, Path], record: WholeRecord
) -> None:
    back, tt = read_result(exported["nxxpcs"]).two_time, record.result.two_time
    np.testing.assert_array_equal(one_time(back).g2, record.result.one_time.g2)
    np.testing.assert_array_equal(back.contrast, tt.contrast)
    np.testing.assert_array_equal(back.pixels, tt.pixels)
    assert back.names == tt.names


def test_pychx_finds_its_own_averages_and_counts_q_rois_from_0(exported: dict[str, Path], record: WholeRecord) -> None:
    with h5py.File(exported["pychx"]) as file:
        found: dict[str, Any] = {name: node[()] for name, node in file.items()}  # type: ignore[union-attr]
        q = {int(key): value for key, value in file["qval_dict"].attrs.items()}
        md = dict(file["md"].attrs)
    assert found["g12b"].shape == (FRAMES, FRAMES, 3)
    plain = np.array([np.nanmean(found["g12b"].diagonal(lag), axis=1) for lag in range(1, FRAMES)])
    np.testing.assert_allclose(found["g2b"][1:], plain, rtol=1e-6)
    assert sorted(q) == [0, 1, 2]
    assert q[1] == pytest.approx([np.asarray(record.result.rois.q_par)[1] * 1e-10])
    assert found["bad_frame_list"].tolist() == [BAD]
    assert md["incident_wavelength"] == pytest.approx(1.285)
    # Their reader takes a slice of each: a scalar would break it.
    assert all(np.ndim(value) for value in found.values())


def test_gisaxs_boxes_keep_both_components(record: WholeRecord, tmp_path: Path) -> None:
    result = record.result
    rois = replace(result.rois, q_z=np.array([2e7, 3e7, 4e7]))
    gisaxs = replace(record, result=replace(result, rois=rois, geometry=replace(result.geometry, mode="gisaxs")))
    for form in FILES:
        path, _ = export(gisaxs, form, tmp_path / f"{form}.h5")
        np.testing.assert_allclose(read_result(path).two_time.q_z, rois.q_z)  # type: ignore[arg-type]


def test_cells_of_several_frames_keep_their_time(record: WholeRecord, tmp_path: Path) -> None:
    tt = replace(record.result.two_time, frames_per_cell=4, frame_time=4 * FRAME_TIME)
    curve = one_time(tt)
    cells = replace(record, result=replace(record.result, two_time=tt, one_time=curve))
    for form in FILES:
        path, _ = export(cells, form, tmp_path / f"{form}.h5")
        assert read_result(path).two_time.frame_time == 4 * FRAME_TIME
    with h5py.File(tmp_path / "nxxpcs.h5") as file:
        steps: Any = file["entry/data/delay_difference"]
        assert steps[1] == 4
        assert steps[1] * file["entry/instrument/detector_1/frame_time"][()] == curve.tau[1]  # type: ignore[index]


def segmented(record: WholeRecord) -> WholeRecord:
    """The same scan with a dump before row 25: its numbers are of what comes after."""
    result = replace(record.result, analysed=(25, FRAMES))
    temperature = Trace(name="temperature", unit="K", source="stage", readings=9, values=np.float32([300, np.nan, 302]))
    current = Trace(name="ring_current", unit="A", source="ring", readings=9, values=np.float32([0.5, 0.4, 0.5]))
    traces = Traces(frames_per_cell=20, cell=10.0, clock="trigger", traces=(temperature, current))
    parts = (
        Segment(start=0, stop=25, start_time=0.0, stop_time=12.5, kind="no beam", reason="dump"),
        Segment(start=25, stop=FRAMES, start_time=12.5, stop_time=30.0, kind="hold", temperature=301.0),
    )
    one = one_time(result.analysed_two_time)
    exclusions = replace(result.exclusions, segments=parts)
    return replace(record, result=replace(result, one_time=one, traces=traces, exclusions=exclusions))


@pytest.mark.parametrize("form", FILES)
def test_no_pair_of_frames_across_a_dump_is_taken_for_dynamics(form: str, record: WholeRecord, tmp_path: Path) -> None:
    parted = segmented(record)
    path, words = export(parted, form, tmp_path / "scan.h5")
    back = read_result(path).two_time
    np.testing.assert_array_equal(back.g2, record.result.two_time.g2[:, 25:, 25:])
    with h5py.File(path) as file:
        found: Any = file
        if form == "nxxpcs":
            np.testing.assert_array_equal(found["entry/twotime/two_time_corr_func"][()], record.result.two_time.g2)
            np.testing.assert_array_equal(
                found["entry/twotime/g2_from_two_time_corr_func"][()], parted.result.one_time.g2.T
            )
            np.testing.assert_array_equal(found["entry/traces/temperature"][()], np.float32([300, np.nan, 302]))
            assert found["entry/traces/ring_current"].attrs["units"] == "A"
            assert found["xpcs/twotime/correlation_map/c2_00001"].shape == (FRAMES - 25, FRAMES - 25)
        else:
            assert any("only the analysed segment, rows 25 to 59" in word for word in words)
            assert found["md"].attrs["gbx_first_frame"] == 25


def test_tables_have_segments_traces_and_ages_in_true_time(record: WholeRecord, tmp_path: Path) -> None:
    folder, _ = export(segmented(record), "csv", tmp_path / "tables")
    assert pd.read_csv(folder / "ages.csv")["age_start_s"].min() == 12.5
    assert pd.read_csv(folder / "segments.csv")["kind"].tolist() == ["no beam", "hold"]
    traces = pd.read_csv(folder / "traces.csv")
    assert list(traces.columns) == ["time_s", "temperature_K", "ring_current_A"]
    assert traces["temperature_K"].isna().tolist() == [False, True, False]
    assert traces["time_s"].tolist() == [5.0, 15.0, 25.0]


# --- files of others


def changed(path: Path, folder: Path, **changes: Any) -> Path:
    """A copy with some nodes replaced, or taken out where None, or with an attribute set: name__attribute."""
    copy = folder / f"changed_{path.name}"
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        for name, value in changes.items():
            node, _, attribute = name.replace("_of_", "/").partition("__")
            if attribute:
                file[node].attrs[attribute] = value
                continue
            if node in file:
                del file[node]
            if value is not None:
                file[node] = value
    return copy


def test_a_result_of_2016_is_read_without_what_it_lacks(record: WholeRecord, tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("meta_data", (1,), dtype="i").attrs["acquire period"] = 0.25
        file["g12b"] = np.moveaxis(record.result.two_time.g2, 0, -1)
        file["roi"], file["mask"] = np.ones((4, 4)), np.ones((4, 4))
    back = read_result(path)
    assert back.two_time.frame_time == 0.25
    assert back.rois is None
    assert np.isnan(back.two_time.q_par).all()  # type: ignore[arg-type]
    assert "q of the q-ROIs is not in the file" in back.notes
    assert any("temperature not taken" in note for note in back.notes)


def test_a_frame_time_that_is_told_wins_and_a_contradiction_is_said(exported: dict[str, Path], tmp_path: Path) -> None:
    assert any(
        "0.2 s as told; the file says 0.5 s" in note for note in read_result(exported["pychx"], frame_time=0.2).notes
    )
    path = changed(exported["pychx"], tmp_path, md__frame_time=0.1)
    back = read_result(path)
    assert back.two_time.frame_time == 0.5
    assert any("lags are 0.5 s apart, md says 0.1 s" in note for note in back.notes)


def test_a_second_number_of_unknown_meaning_is_not_taken_for_q_z(exported: dict[str, Path], tmp_path: Path) -> None:
    entries = {f"qval_dict__{roi}": np.array([0.002, 30.0]) for roi in range(3)}
    back = read_result(changed(exported["pychx"], tmp_path, **entries))
    np.testing.assert_allclose(back.two_time.q_par, 0.002e10)  # type: ignore[arg-type]
    assert np.isnan(back.two_time.q_z).all()  # type: ignore[arg-type]
    assert any("q_z or an angle" in note for note in back.notes)


def test_labels_of_another_geometry_are_left_out_and_named(exported: dict[str, Path], tmp_path: Path) -> None:
    seven = changed(exported["pychx"], tmp_path, roi_mask=np.full((60, 50), 7))
    back = read_result(seven)
    assert back.rois is None
    assert any("labelled 7..7 but there are maps of 3" in note for note in back.notes)
    small = changed(exported["pychx"], tmp_path, roi_mask=np.ones((5, 5), dtype=int))
    assert any("differ in shape" in note for note in read_result(small).notes)


def test_halves_and_other_orders_of_others_nexus_files_are_understood(
    exported: dict[str, Path], record: WholeRecord, tmp_path: Path
) -> None:
    maps = record.result.two_time.g2
    half = np.moveaxis(np.triu(np.nan_to_num(maps)), 0, -1)
    path = changed(exported["nxxpcs"], tmp_path, entry_of_twotime_of_two_time_corr_func=half)
    with h5py.File(path, "a") as file:
        file["entry/twotime/two_time_corr_func"].attrs["storage_mode"] = "one_array_q_last"
    back = read_result(path)
    off = ~np.eye(FRAMES, dtype=bool)
    np.testing.assert_allclose(back.two_time.g2[:, off], maps[:, off], rtol=1e-6)
    assert any("one half of 3 of 3 maps was empty" in note for note in back.notes)


def test_units_are_read_not_assumed(exported: dict[str, Path], tmp_path: Path) -> None:
    masks = "entry_of_instrument_of_masks_of_dynamic_q_list__units"
    kelvin = "entry_of_sample_of_temperature__units"
    back = read_result(changed(exported["nxxpcs"], tmp_path, **{masks: "1/nm", kelvin: "C"}))
    first = read_result(exported["nxxpcs"])
    np.testing.assert_allclose(back.two_time.q_par, np.asarray(first.two_time.q_par) / 10)  # type: ignore[arg-type]
    assert back.temperature == 573.15
    unknown = read_result(changed(exported["nxxpcs"], tmp_path, **{masks: "furlong", kelvin: ""}))
    assert np.isnan(unknown.two_time.q_par).all()  # type: ignore[arg-type]
    assert unknown.temperature is None
    assert any("'furlong'" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("form", "changes", "said"),
    [
        ("pychx", {"g12b": None}, "needed: two-time maps, g12b; run pyCHX's pipeline with run_two_time=True"),
        ("pychx", {"g12b": np.ones((4, 5, 2))}, r"float64 of shape \(4, 5, 2\)"),
        ("pychx", {"g12b": np.ones((4, 4, 2), dtype=complex)}, "complex128"),
        ("pychx", {"g12b": "text"}, r"of shape \(\)"),
        ("pychx", {"tausb": None, "md__frame_time": 0.0}, "does not say how far the rows of its maps are apart"),
        ("nxxpcs", {"entry_of_twotime": None}, "has no entry/twotime/two_time_corr_func"),
        (
            "nxxpcs",
            {"entry_of_twotime_of_two_time_corr_func__storage_mode": "data_exchange_keys"},
            "stores its maps as 'data_exchange_keys'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    form: str, changes: dict[str, Any], said: str, exported: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(MapError, match=said):
        read_result(changed(exported[form], tmp_path, **changes))


def test_absurd_sizes_are_refused_before_anything_is_read(exported: dict[str, Path], tmp_path: Path) -> None:
    path = changed(exported["pychx"], tmp_path, g12b=None)
    with h5py.File(path, "a") as file:
        # Two terabytes of fill value in a file of a few kilobytes.
        file.create_dataset("g12b", (2**19, 2**19, 2), "f4", chunks=(256, 256, 1))
    with pytest.raises(MapError, match=r"holds maps of shape \(524288, 524288, 2\); needed: at most"):
        read_result(path)


def test_links_that_lead_out_of_the_file_are_not_followed(exported: dict[str, Path], tmp_path: Path) -> None:
    path = changed(exported["pychx"], tmp_path, g12b=None)
    with h5py.File(path, "a") as file:
        file["g12b"] = h5py.ExternalLink(str(exported["pychx"]), "g12b")
    with pytest.raises(MapError, match="needed: two-time maps"):
        read_result(path)


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_truncated_files_are_refused(form: str, share: float, exported: dict[str, Path], tmp_path: Path) -> None:
    content = exported[form].read_bytes()
    path = tmp_path / "scan_Res.h5"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(MapError, match=r"cannot be read as HDF5 .* it may be truncated"):
        read_result(path)


def test_other_files_are_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "scan_master.h5"
    with h5py.File(path, "w") as file:
        file.create_group("entry/data")
    assert result_format(path) is None
    with pytest.raises(MapError, match="no result file of pyCHX or NXxpcs"):
        read_result(path)
    with pytest.raises(MapError, match="no file"):
        read_result(tmp_path / "nowhere.h5")


# --- places


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_overwritten_unasked_and_nothing_half_is_left(
    form: str, record: WholeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = export(record, form, tmp_path / ("tables" if form == "csv" else "scan.h5"))
    with pytest.raises(InputError, match="exists already"):
        export(record, form, path)
    assert export(record, form, path, overwrite=True)[0] == path
    before = sorted(str(file) for file in tmp_path.rglob("*"))

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", broken)
    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(InputError, match="No space left on device"):
        export(record, form, path, overwrite=True)
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before


def test_a_folder_with_other_things_is_never_replaced(record: WholeRecord, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years")
    with pytest.raises(InputError, match="is not an earlier export"):
        export(record, "csv", thesis, overwrite=True)
    with pytest.raises(InputError, match="is not an earlier export"):
        export(record, "nxxpcs", _renamed(thesis, "scan.h5"), overwrite=True)
    assert (tmp_path / "scan.h5" / "chapter.tex").read_text() == "years"


def _renamed(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


def test_names_that_readers_would_not_open_are_refused(record: WholeRecord, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in '.dat'; needed: the name of an HDF5 file"):
        export(record, "pychx", tmp_path / "scan.dat")
    with pytest.raises(InputError, match="format 'hdf'"):
        export(record, "hdf", tmp_path / "scan.h5")


def test_no_labels_are_no_obstacle(record: WholeRecord, tmp_path: Path) -> None:
    """Imported maps have a label image of one pixel."""
    blank = unknown_geometry(record)
    nowhere = np.zeros((1, 1), dtype=np.int32)
    rois = RoiSet(
        labels=nowhere, names=("a", "b", "c"), q_par=blank.result.rois.q_par, q_z=blank.result.rois.q_z, flags=((),) * 3
    )
    result = replace(
        blank.result,
        rois=rois,
        mask=nowhere > 0,
        mean_image=np.full((1, 1), np.nan, dtype=np.float32),
        geometry=Geometry(shape=(1, 1)),
    )
    for form in FILES:
        path, _ = export(replace(blank, result=result), form, tmp_path / f"{form}.h5")
        np.testing.assert_array_equal(read_result(path).two_time.g2, result.two_time.g2)
