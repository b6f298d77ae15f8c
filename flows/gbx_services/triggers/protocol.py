"""What the service knows of a trigger."""

from __future__ import annotations

from typing import Protocol


class Accept(Protocol):
    """Takes the report that a run has ended; returns once it is on disk, or gives up when the service stops."""

    def __call__(self, run: str, *, source: str, stopped: float | None = None) -> bool:
        """``stopped`` is the time of the stop document, Unix time in s. False when the service stops."""
        ...


class Trigger(Protocol):
    """Reports runs from a thread of its own."""

    name: str
    """Of the source, for the queue and for /health."""

    @property
    def trouble(self) -> str:
        """Why it hears nothing at the moment; empty while it listens."""
        ...

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not anybody answers."""
        ...

    def renew(self) -> None:
        """Connect anew: something was missed, or the server has another address."""
        ...

    def stop(self) -> None:
        """End within seconds."""
        ...
