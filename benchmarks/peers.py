"""The peers in their own environment: a process that holds still until it is asked to compute."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.rounds import Clock

WORKER = Path(__file__).with_name("peers_worker.py")
GEMM_PEERS = ("pyCHX", "boost_corr", "ESRF dense")
"""Matrix products, as their pipelines call them."""
FLOAT32_PYCHX = "pyCHX float32"
"""pyCHX's function fed with float32, which its pipeline never does; shown, not counted as a peer."""
SPARSE_PEERS = ("ESRF sparse, pixels", "ESRF sparse, frames")


class PeersUnavailableError(RuntimeError):
    """No environment, or its process died."""


class Peers:
    """A running worker of ``peers_worker.py``.

    Args:
        python: Interpreter of the peers' environment.

    Raises:
        PeersUnavailableError: it does not start.
    """

    def __init__(self, python: Path) -> None:
        if not python.exists():
            raise PeersUnavailableError(f"{python} does not exist: `make .venv-peers/.installed` builds it")
        self._process = subprocess.Popen(
            [str(python), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about: dict[str, Any] = self._answer()
        self.failed: dict[str, str] = self.about.pop("failed")
        self.differences: dict[str, float] = {}
        """Largest relative difference to the last reference map, by peer."""
        self.memory: dict[str, int] = {}
        """Bytes that the last run held at worst beyond its input, by peer."""

    def clock(self, peer: str, counts: Path, reference: Path | None = None) -> Clock:
        """Time one run on the counts in a file; compare its map with a reference where one is given.

        Raises:
            PeersUnavailableError: the process died.
            RuntimeError: the peer failed; the message is its own.
        """
        request = {"peer": peer, "counts": str(counts), "reference": str(reference) if reference else None}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeersUnavailableError("the peers' process died") from None
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(f"{peer}: {answer['error']}")
        if "difference" in answer:
            self.differences[peer] = answer["difference"]
        if answer["memory"] is not None:
            self.memory[peer] = answer["memory"]
        return Clock(answer["wall"], answer["processor"])

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeersUnavailableError(f"the peers' process ended with code {self._process.wait()}")
        return json.loads(line)
