"""Every engine of the correlation whose products are right, on any processor: the slow ones are tested too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gbx_beamline.correlation import _engines


@contextmanager
def every_engine() -> Iterator[None]:
    """Inside, no engine is put out of use for its speed (int8 is 40 times slower where instructions for it lack)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_engines, "_seconds", lambda _: 1.0)
        _engines.probe_engines.cache_clear()
        try:
            yield
        finally:
            _engines.probe_engines.cache_clear()
