"""Between the product and an operator of the sandbox: answers that are others, events twice and in any order."""

import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug import Request, Response
from werkzeug.serving import make_server

LOGIN_PAGE = b"<!DOCTYPE html><title>Proxy</title><form>Login: <input name=user></form>"
# What is answered instead, to calls that change something.
BODIES = {
    "html": LOGIN_PAGE,
    "empty": b"",
    "xml": b'<?xml version="1.0"?><Envelope><Fault><faultcode>Server</faultcode></Fault></Envelope>',
    "cut": b'{"id": "1", "sta',
}
_SIGNED = ("Content-Type", "X-Signature")
_PAUSE = 0.2


@contextmanager
def _serving(
    respond: Callable[[Request], Response], tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server on a free port as long as the block; gives its address."""
    application = Request.application(respond)
    server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


# --- answers --------------------------------------------------------------------------------------


@dataclass
class AnswerProxy:
    """`mode`: «» hands everything through; «login page» hands nothing through; «long» announces too much."""

    target: str
    url: str = ""
    mode: str = ""

    def respond(self, request: Request) -> Response:
        """What the client gets."""
        if self.mode == "login page":
            return Response(LOGIN_PAGE, mimetype="text/html")
        headers = {name: value for name, value in request.headers if name != "Host"}
        address = self.target + request.full_path.removesuffix("?")
        done = requests.request(
            request.method, address, data=request.get_data(), headers=headers, timeout=20
        )
        changes = request.method in {"PATCH", "PUT"}
        if changes and self.mode in BODIES:
            return Response(BODIES[self.mode], mimetype="text/html")
        kind = done.headers.get("Content-Type", "application/json")
        response = Response(done.content, done.status_code, content_type=kind)
        if changes and self.mode == "long":
            response.automatically_set_content_length = False
            response.headers["Content-Length"] = str(len(done.content) + 100)
        return response


@contextmanager
def answer_proxy(
    target: str, *, mode: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[AnswerProxy]:
    """A proxy before `target`: the work is done, and the answer on the way back is another one."""
    proxy = AnswerProxy(target, mode=mode)
    with _serving(proxy.respond, tls) as proxy.url:
        yield proxy


def expired_certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS whose certificate ran out yesterday, and its PEM, which a client may trust."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "expired.pem"
    file.write_bytes(certificate + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, certificate.decode()


# --- events ---------------------------------------------------------------------------------------


@dataclass
class CallbackProxy:
    """Between an operator that sends events and our callback addresses, `targets`.

    `shuffles`: everything twice, and in any order. The operator's signature stays as it was.
    """

    url: str = ""
    targets: tuple[str, ...] = ()
    shuffles: bool = False
    handed_on: int = 0
    refused: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=random.Random)
    _waiting: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, request: Request) -> Response:
        """Answers the operator before the event is handed on."""
        signed = {name: request.headers[name] for name in _SIGNED}
        with self._lock:
            self._waiting.append((signed, request.get_data()))
        return Response()

    def hand_on(self) -> None:
        """What waits goes on; what was not taken stays for the next time."""
        with self._lock:
            events, self._waiting = self._waiting, []
        if self.shuffles:
            events = events * 2
            self.chance.shuffle(events)
        late = [event for event in events if not self._is_given(*event)]
        with self._lock:
            self._waiting += late

    def _is_given(self, headers: Mapping[str, str], body: bytes) -> bool:
        for target in self.targets:
            try:
                answer = requests.post(target, data=body, headers=dict(headers), timeout=5)
            except requests.RequestException:
                return False
            if answer.status_code >= 500:
                return False
            if answer.status_code != 200:
                self.refused.append(f"{answer.status_code} {answer.text[:100]}")
            self.handed_on += 1
        return True


@contextmanager
def callback_proxy() -> Iterator[CallbackProxy]:
    """A proxy on a free port."""
    proxy, over = CallbackProxy(), threading.Event()

    def go_on() -> None:
        while not over.is_set():
            proxy.hand_on()
            time.sleep(_PAUSE)

    with _serving(proxy.respond) as proxy.url:
        threading.Thread(target=go_on, daemon=True).start()
        try:
            yield proxy
        finally:
            over.set()
