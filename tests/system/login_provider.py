"""A login provider that speaks OpenID Connect, as a facility's does; it lets in whoever it knows by a one-time code."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_KEY_ID = "of the test"


@dataclass
class LoginProvider:
    """What a server is configured with, and what people are given once they have logged in."""

    uri: str
    client_id: str = "tiled-client"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    audience: str = "tiled"
    codes: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def well_known(self) -> str:
        """Address of its description."""
        return f"{self.uri}/.well-known/openid-configuration"

    def code_of(self, person: str) -> str:
        """What the provider's login page sends a person back with."""
        code = secrets.token_hex(8)
        self.codes[code] = person
        return code


@contextmanager
def login_provider() -> Iterator[LoginProvider]:
    """Run one on a free port."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = {**json.loads(RSAAlgorithm.to_jwk(private.public_key())), "kid": _KEY_ID, "alg": "RS256", "use": "sig"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            description = {
                "issuer": provider.uri,
                "jwks_uri": f"{provider.uri}/keys",
                "token_endpoint": f"{provider.uri}/token",
                "authorization_endpoint": f"{provider.uri}/authorize",
                "device_authorization_endpoint": f"{provider.uri}/device",
                "end_session_endpoint": f"{provider.uri}/logout",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
            pages = {"/.well-known/openid-configuration": description, "/keys": {"keys": [public]}}
            self._answer(200 if self.path in pages else 404, pages.get(self.path, {}))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            expected = base64.b64encode(f"{provider.client_id}:{provider.client_secret}".encode()).decode()
            person = provider.codes.pop(form.get("code", [""])[0], None)
            if self.headers.get("Authorization") != f"Basic {expected}" or person is None:
                self._answer(400, {"error": "invalid_grant"})
                return
            now = int(time.time())
            claims = {"iss": provider.uri, "aud": provider.audience, "sub": person, "iat": now, "exp": now + 300}
            token = jwt.encode(claims, private, algorithm="RS256", headers={"kid": _KEY_ID})
            self._answer(200, {"id_token": token, "access_token": secrets.token_hex(16), "token_type": "Bearer"})

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a code is a secret."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = LoginProvider(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
