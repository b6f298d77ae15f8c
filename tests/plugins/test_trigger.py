"""Stop documents on their way to Prefect: none holds up another, and none is dropped at the first trouble."""

from __future__ import annotations

import threading
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from gbx_beamline.errors import ServiceError
from gbx_services import trigger as module
from gbx_services.trigger import EndOfRunTrigger


class Prefect:
    """Takes flow runs as ``run_deployment`` does, after refusing some of them a number of times."""

    def __init__(self, refusals: dict[str, int]) -> None:
        self.refusals = refusals
        self.taken: list[tuple[str, str]] = []
        self.all_taken = threading.Event()
        self.expected = 0

    def __call__(self, deployment: str, *, parameters: dict[str, Any], idempotency_key: str, **_: Any) -> Any:
        uid = parameters["stop_doc"]["run_start"]
        if self.refusals.get(uid, 0) > 0:
            self.refusals[uid] -= 1
            raise ConnectionError("Prefect is away")
        self.taken.append((uid, idempotency_key))
        if len(self.taken) == self.expected:
            self.all_taken.set()
        return SimpleNamespace(id=uuid.uuid4())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_DELAYS", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("quick")
def test_what_fails_is_tried_again_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    prefect = Prefect({"passes-later": 2, "never-passes": 99})
    prefect.expected = 2
    monkeypatch.setattr(module, "run_deployment", prefect)
    trigger = EndOfRunTrigger("http://127.0.0.1:9/api", lambda: None)
    for uid in ("passes-later", "never-passes", "after-it"):
        trigger("start", {"uid": uid})
        trigger("stop", {"run_start": uid})
    assert prefect.all_taken.wait(30)
    trigger.close(30)
    assert prefect.taken == [("passes-later", "passes-later"), ("after-it", "after-it")]
    assert isinstance(trigger.error, ConnectionError)


def test_taking_a_document_never_waits_for_prefect() -> None:
    ready = threading.Event()
    trigger = EndOfRunTrigger("http://127.0.0.1:9/api", lambda: ready.wait(60) and None)
    trigger("stop", {"run_start": "early"})  # returns although nothing is ready
    assert not ready.is_set()

    def fails() -> None:
        raise ServiceError("Prefect died", needed="Prefect", action="start it")

    broken = EndOfRunTrigger("http://127.0.0.1:9/api", fails)
    broken.close(30)
    assert isinstance(broken.error, ServiceError)
    # The waiting one is a daemon thread; it must not reach a real Prefect when released.
    trigger._closing.set()
    ready.set()
