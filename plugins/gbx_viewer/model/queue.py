"""What `gbx serve` says of itself: the queue, and what keeps parts of it from their work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from gbx_beamline.config import HealthConfig

_SECONDS = 2.0


@dataclass(frozen=True)
class Queue:
    """State of the service."""

    answers: bool
    said: str
    """In words, for one line."""
    troubles: Mapping[str, str] = field(default_factory=dict)
    """What keeps each part from its work."""

    @property
    def well(self) -> bool:
        """True where nothing needs a person."""
        return self.answers and not self.troubles


def read_queue(settings: HealthConfig) -> Queue:
    """Ask the service. Whatever it answers, or does not, is a state and no error."""
    where = f"{settings.host}:{settings.port}"
    try:
        # A degraded service answers 503, with the same page.
        found = httpx.get(f"http://{where}/health", timeout=_SECONDS, trust_env=False).json()
        return _queue(found)
    except httpx.HTTPError:
        return Queue(False, f"no `gbx serve` at {where}: new scans are not analysed by themselves")
    except (ValueError, TypeError, AttributeError, KeyError):
        return Queue(False, f"something else than `gbx serve` answers at {where}")


def _queue(found: Mapping[str, object]) -> Queue:
    components, counts, paused = found["components"], found["queue"], found.get("paused")
    if not isinstance(components, Mapping):
        raise TypeError("components")
    troubles = {str(name): str(said) for name, said in components.items() if said != "ok"}
    if not isinstance(counts, Mapping):
        return Queue(True, f"queue unreadable: {counts}", troubles)
    waits, under_way, parked = (int(counts.get(state, 0)) for state in ("waiting", "handed over", "parked"))
    parts = [f"queue: {waits} waiting, {under_way} under way"]
    if parked:
        parts.append(f"{parked} given up (`gbx queue list` says why)")
    if isinstance(paused, Mapping):
        parts.insert(0, f"analysis is switched off: {paused.get('reason')}")
    parts += [f"{name}: {said}" for name, said in troubles.items()]
    return Queue(True, "  ·  ".join(parts), troubles)
