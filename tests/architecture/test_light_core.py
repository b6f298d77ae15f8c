"""The core loads none of the edges' engines: proven in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "tiled", "prefect", "bluesky", "ophyd", "databroker", "PySide6", "pyqtgraph", "dask")


@pytest.mark.parametrize(
    "statement",
    [
        "import gbx_beamline",
        "import gbx_beamline.pipeline",
        "import gbx_beamline.live",
        "import gbx_beamline as gbx; gbx.open_series, gbx.q_rois, gbx.two_time, gbx.one_time, gbx.nonequilibrium",
        "import gbx_beamline.simulation",
        "import gbx_beamline.assemble",
        "import gbx_beamline.exchange",
        "import gbx_beamline.cli",
    ],
)
def test_core_stays_light(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_public_names_resolve() -> None:
    import gbx_beamline as gbx

    for name in gbx.__all__:
        assert getattr(gbx, name) is not None
    assert callable(gbx.nonequilibrium), "the submodule must not shadow the function"


def test_unknown_name_is_an_attribute_error() -> None:
    import gbx_beamline as gbx

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gbx.nonsense
