"""The core loads none of the edges' engines: proven in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "tiled", "prefect", "bluesky", "ophyd", "databroker", "PySide6", "pyqtgraph", "dask")
ENGINES = ("numba", "scipy", "matplotlib", "pandas")


def loaded(statement: str, packages: tuple[str, ...]) -> set[str]:
    """Those of the packages that a statement loads in a fresh process."""
    code = f"{statement}\nimport sys\nprint(*set({packages!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import gbx_beamline",
        "from gbx_beamline.pipeline import *",
        "import gbx_beamline.live",
        "import gbx_beamline as gbx; gbx.open_series, gbx.q_rois, gbx.two_time, gbx.one_time, gbx.nonequilibrium",
        "import gbx_beamline.simulation",
        "import gbx_beamline.assemble",
        "from gbx_beamline.comparing import *; from gbx_beamline.exchange import *; from gbx_beamline.figures import *",
        "import gbx_beamline.cli",
    ],
)
def test_core_stays_light(statement: str) -> None:
    assert loaded(statement, HEAVY) == set()


@pytest.mark.parametrize("statement", ["import gbx_beamline.cli", "from gbx_beamline.figures.tables import *"])
def test_commands_start_without_the_engines_of_analysis(statement: str) -> None:
    # Each of them takes a second or so to load, and most commands list, show or change something.
    assert loaded(statement, ENGINES) == set()


def test_public_names_resolve() -> None:
    import gbx_beamline as gbx

    for name in gbx.__all__:
        assert getattr(gbx, name) is not None
    assert callable(gbx.nonequilibrium), "the submodule must not shadow the function"


def test_unknown_name_is_an_attribute_error() -> None:
    import gbx_beamline as gbx

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gbx.nonsense
