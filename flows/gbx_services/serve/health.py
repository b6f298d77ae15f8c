"""/health and /metrics over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gbx_beamline.errors import ServiceError

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Status, media type and body."""


def json_page(content: Callable[[], tuple[bool, Mapping[str, Any]]]) -> Page:
    """A page of JSON; 503 where ``content`` says that not all is well."""

    def page() -> tuple[HTTPStatus, str, bytes]:
        well, said = content()
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps(said, indent=1).encode()

    return page


def text_page(content: Callable[[], bytes]) -> Page:
    """A page of plain text."""
    return lambda: (HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", content())


@contextmanager
def served(pages: Mapping[str, Page], *, host: str, port: int) -> Iterator[str]:
    """Serve ``pages`` by their paths for the length of the block.

    Yields:
        The address, with the port that was taken.

    Raises:
        ServiceError: the port is in use.
    """
    try:
        server = ThreadingHTTPServer((host, port), _handler(pages))
    except OSError as error:
        raise ServiceError(
            f"{host}:{port} cannot be listened on ({error.strerror})",
            needed="a free port for /health and /metrics",
            action="set serve.health.port to another, or to 0 for any",
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="gbx-health", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(pages: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            """Answer with a page."""
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", " ".join(pages).encode()
            else:
                status, kind, body = page()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """A question every few seconds is nothing to log."""

    return Handler
