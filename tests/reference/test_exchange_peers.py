"""pyXpcsViewer's own reader on an exported file, in the peers' environment (``make bench`` makes it)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from exchanged import BAD, FRAME_TIME, RATE, whole_record

from gbx_beamline.exchange import export

READ = """
import json, sys
import numpy as np
from pyxpcsviewer.core.xpcs_file import XpcsFile
file = XpcsFile(sys.argv[1])
q, lags, g2, error, labels = file.get_g2_data()
shape = np.array([0.01, 1.0, 0.5, 0.9]), np.array([1.0, 1000.0, 2.0, 1.1])
fit = file.fit_g2(bounds=shape, fit_flag=(True, True, True, True))
print(json.dumps({
    "kinds": file.atype,
    "q": q.tolist(),
    "lags": lags.tolist(),
    "g2": g2.tolist(),
    "relaxation_times": fit["fit_val"][:, 0, 1].tolist(),
    "map": file.get_twotime_c2(selection=1, correct_diag=False)["c2_mat"].tolist(),
    "labels": file.get_twotime_qbin_labels(),
    "image": list(file.saxs_2d.shape),
    "intensity": file.Int_t[1].tolist(),
}))
"""


def test_the_viewer_finds_maps_curves_and_q_and_fits_the_relaxation_time(repository: Path, tmp_path: Path) -> None:
    python = repository / ".venv-peers/bin/python"
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import pyxpcsviewer"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no environment with pyXpcsViewer: make .venv-peers/.installed")
    record = whole_record()
    path, _ = export(record, "nxxpcs", tmp_path / "scan.h5")
    done = subprocess.run([python, "-c", READ, path], capture_output=True, text=True, check=True, timeout=120)
    seen = json.loads(done.stdout.splitlines()[-1])
    result = record.result
    assert set(seen["kinds"]) == {"Twotime", "Multitau"}
    np.testing.assert_allclose(seen["q"], np.asarray(result.rois.q_par) * 1e-10)
    assert seen["lags"][0] == FRAME_TIME
    np.testing.assert_allclose(seen["g2"][0], result.one_time.g2[:, 1])
    np.testing.assert_allclose(seen["relaxation_times"], 1 / RATE, rtol=0.25)
    np.testing.assert_allclose(seen["map"], np.nan_to_num(result.two_time.g2[1]), rtol=1e-6)
    assert seen["labels"][0].startswith("qbin=1, q=0.00")
    assert seen["image"] == list(result.geometry.shape)
    assert np.flatnonzero(np.array(seen["intensity"]) == 0).tolist() == [BAD]
