"""Makes the catalog of an earlier release that tests/system/test_upgrade.py reads.

The release's own code writes the catalog, and says what is in it; this release's code makes a backup of it. By hand,
once for each schema version::

    git worktree add /tmp/old 240e6a1^
    python tests/old_catalogs/make.py /tmp/old tests/old_catalogs/schema_2.tar.xz
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gbx_beamline.config import parse_config
from gbx_services.backup import make_backup

WRITE = """
import dataclasses, hashlib, json, sys
from pathlib import Path

import numpy as np

from gbx_beamline import analyze, open_series
from gbx_beamline.catalog import TiledSink, connect
from gbx_beamline.config import parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.pipeline import failure, provenance
from gbx_beamline.records import SCHEMA_VERSION, Estimate, Inference, Refusal, ScanInference
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import embedded_catalog

folder = Path(sys.argv[1])
labels = np.zeros((24, 24), dtype=np.int32)
labels[2:10, 2:22], labels[13:22, 2:22] = 1, 2
np.save(folder / "rois.npy", labels)
analysis = {"rois": {"labels": str(folder / "rois.npy")}, "correlation": {"bad_frames": [3]}}
settings = parse_config({"analysis": analysis}).analysis
said = {"schema": SCHEMA_VERSION, "records": {}, "inferences": {}}


def digest(array):
    array = np.ascontiguousarray(array)
    return [array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


def posterior(key, scan):
    found = Inference(
        model_id="gbx-0123456789",
        parameters={name: Estimate(low=1.0, median=2.0, high=3.0) for name in ("diffusivity", "gamma", "gb_fraction")},
        samples=np.random.default_rng(3).uniform(size=(20, 3)),
        ood_score=0.25,
        probabilities={"grain_boundary": 0.9, "static": 0.1},
        temperature=421.0,
        q=np.array([4.1e8]),
        q_convention="parallel",
    )
    return ScanInference(record=key, scan=scan, outcome=found, package_version="0.1.0", seed=7)


with embedded_catalog(folder / "gbx-data") as address:
    catalog = connect(address.uri, address.api_key)
    sink = TiledSink(catalog)
    for number, temperature in enumerate((421.0, 441.0)):
        movie = SpeckleMovie((24, 24), 20, rate=0.05, modes=2, mean_counts=3.0, seed=number)
        given = analyze(open_series(movie.read(0, 20), frame_time=0.5), settings)
        uid = f"0ld0000{number}-0000-4000-8000-00000000000{number}"
        scan = dataclasses.replace(
            given.scan, run_uid=uid, sample="Si", temperature=temperature, started=1.7e9 + number
        )
        given = dataclasses.replace(given, scan=scan)
        key = sink.publish(given)
        answer = sink.publish_inference(posterior(key, scan))
        said["inferences"][answer] = digest(posterior(key, scan).outcome.samples)
        said["records"][key] = {
            "run": uid,
            "temperature": temperature,
            "two_time": digest(given.two_time.g2),
            "one_time": digest(given.one_time.g2),
            "drift": digest(np.stack([one.drift for one in given.nonequilibrium])),
            "mask": digest(given.mask),
            "labels": digest(given.rois.labels),
            "s_noneq": [one.s_noneq for one in given.nonequilibrium],
            "corrected": [None if one.corrected is None else one.corrected.value for one in given.nonequilibrium],
            "kinetics": [fit.relaxation_time for fit in given.kinetics],
        }
    dark = dataclasses.replace(given.scan, run_uid="0ld0dark-0000-4000-8000-000000000000")
    key = sink.publish(failure(dark, InputError("dark", needed="light", action="open"), provenance(settings)))
    said["records"][key] = {"run": dark.run_uid, "failed": True}
    catalog.close()
(folder / "said.json").write_text(json.dumps(said, indent=1))
"""


def main(release: Path, target: Path) -> None:
    """Write ``target`` with the code in ``release``."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        paths = os.pathsep.join(str(release / part) for part in (".", "flows", "plugins"))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", WRITE, str(folder)], env=environment, check=True, cwd=folder)
        places = {"catalog": {"directory": str(folder / "gbx-data")}, "models": {"directory": str(folder / "models")}}
        backup = make_backup(parse_config(places), folder / "backups").folder
        with tarfile.open(target, "w:xz") as archive:
            archive.add(backup, "backup")
            archive.add(folder / "said.json", "said.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
