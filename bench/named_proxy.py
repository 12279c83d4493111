"""A proxy before a played operator: the work is done, and the answer on the way back is another."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOGIN_PAGE = b"<!DOCTYPE html><title>Proxy</title><form>Login: <input name=user></form>"
# What is said instead, to calls that change something.
BODIES = {
    "html": LOGIN_PAGE,
    "empty": b"",
    "xml": b'<?xml version="1.0"?><Envelope><Fault><faultcode>Server</faultcode></Fault></Envelope>',
    "cut": b'{"id": "1", "sta',
}


@dataclass
class Proxy:
    """`mode`: «» hands everything through; «login page» hands nothing through and always says it."""

    url: str
    mode: str = ""


@contextmanager
def proxy(target: str, *, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy before `target` on a free port."""
    found = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if found.mode == "login page":
                self._say(200, LOGIN_PAGE, "text/html")
                return
            answer = requests.request(
                self.command, target + self.path, data=body, headers=dict(self.headers), timeout=20
            )
            changes = self.command in {"PATCH", "PUT"}
            if changes and found.mode in BODIES:
                self._say(200, BODIES[found.mode], "text/html")
            elif changes and found.mode == "long":
                self._say(200, answer.content, "application/json", more=100)
            else:
                kind = answer.headers.get("Content-Type", "application/json")
                self._say(answer.status_code, answer.content, kind)

        def _say(self, status: int, body: bytes, kind: str, *, more: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + more))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = bool(more)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._pass
            raise AttributeError(name)

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def expired(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS whose certificate ran out yesterday, and the PEM of the root that signed it."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Root", root_key, root_key, ends=timedelta(days=1), ca=True)
    leaf = _certificate("Leaf", key, root_key, ends=timedelta(days=-1), ca=False)
    pem = serialization.Encoding.PEM
    file = folder / "expired.pem"
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(leaf.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, root.public_bytes(pem).decode()


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: ec.EllipticCurvePrivateKey,
    *,
    ends: timedelta,
    ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, "Root")]
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(named[0])
        .issuer_name(named[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(here, critical=False)
        .sign(issuer, hashes.SHA256())
    )
