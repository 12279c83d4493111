"""The client under TLS: whose certificates are believed, and that time still ends."""

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from operators.ports import LostReply, NotSent
from operators.tests.lines import OK, answering, client, closed_sessions, dripping, get, listening

__all__ = ["closed_sessions"]


@dataclass(frozen=True)
class Certified:
    """A server's TLS context, and the PEM of the root that signed it."""

    context: ssl.SSLContext
    root: str


def _certified(folder: Path, address: str) -> Certified:
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Root", root_key, "Root", root_key, ca=True)
    leaf = _certificate("Leaf", key, "Root", root_key, address=address)
    pem = serialization.Encoding.PEM
    file = folder / "server.pem"
    file.write_bytes(
        leaf.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return Certified(context, root.public_bytes(pem).decode())


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    address: str = "127.0.0.1",
) -> x509.Certificate:
    now = datetime.now(UTC)
    named = {
        word: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, word)]) for word in (name, issuer)
    }
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(named[name])
        .issuer_name(named[issuer])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )


def test_certificate_of_the_account_s_own_root_is_accepted(tmp_path):
    certified = _certified(tmp_path, "127.0.0.1")
    with listening(answering(OK), context=certified.context) as url:
        reply = get(client(ca_bundle=certified.root), url)

    assert reply.body == b"{}"


def test_certificate_of_an_unknown_root_is_not_sent(tmp_path):
    certified = _certified(tmp_path, "127.0.0.1")
    with (
        listening(answering(OK), context=certified.context) as url,
        pytest.raises(NotSent) as refused,
    ):
        get(client(), url)

    assert refused.value.cause == "tls"


def test_certificate_of_another_host_is_not_sent(tmp_path):
    certified = _certified(tmp_path, "127.0.0.2")
    with (
        listening(answering(OK), context=certified.context) as url,
        pytest.raises(NotSent) as refused,
    ):
        get(client(ca_bundle=certified.root), url)

    assert refused.value.cause == "tls"


def test_bundle_that_is_no_certificate_is_not_sent():
    with pytest.raises(NotSent) as refused:
        get(client(ca_bundle="not a certificate"), "https://127.0.0.1:1/")

    assert refused.value.cause == "tls"


def test_dripped_answer_under_tls_ends_with_the_call_s_time(tmp_path):
    certified = _certified(tmp_path, "127.0.0.1")
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200
    with listening(dripping(long, 0.05), context=certified.context) as url:
        started = time.monotonic()

        with pytest.raises(LostReply):
            get(client(ca_bundle=certified.root, total_seconds=2), url)

        assert time.monotonic() - started < 9
