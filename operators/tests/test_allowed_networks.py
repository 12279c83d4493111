"""Which addresses a contract may lead to. Real sockets on loopback."""

import socket
import time
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from cabinet.env import env_networks
from operators.client.allowed_networks import is_allowed, leads_inside
from operators.ports import ErrorClass, NotSent
from operators.tests.lines import OK, answering, client, closed_sessions, get, listening, unanswered

__all__ = ["closed_sessions"]

FORBIDDEN = "адрес оператора ведёт во внутреннюю сеть, которой нет в\u00a0OPERATOR_NETWORKS"


@pytest.fixture
def production(settings: Any) -> Any:
    settings.SANDBOX, settings.OPERATOR_NETWORKS = False, []
    return settings


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.1",
        "168.63.129.16", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.5", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_inner_address_is_allowed_in_the_sandbox_only(production, address):
    in_production = is_allowed(address)
    production.SANDBOX = True

    assert {"production": in_production, "sandbox": is_allowed(address)} == {
        "production": False,
        "sandbox": True,
    }


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_public_address_is_allowed(production, address):
    assert is_allowed(address) is True


def test_listed_network_is_allowed_and_no_other(production):
    production.OPERATOR_NETWORKS = [ip_network("10.8.0.0/16"), ip_network("fd12::/16")]

    allowed = {one: is_allowed(one) for one in ("10.8.3.4", "10.9.0.1", "fd12::7", "fd13::7")}

    assert allowed == {"10.8.3.4": True, "10.9.0.1": False, "fd12::7": True, "fd13::7": False}


def test_networks_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPERATOR_NETWORKS", "10.8.0.0/16, 192.0.2.7,fd12::/16")

    assert env_networks("OPERATOR_NETWORKS") == [
        ip_network("10.8.0.0/16"), ip_network("192.0.2.7/32"), ip_network("fd12::/16"),
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["10.8.0.1/16", "vpn", "10.8.0.0/40"])
def test_wrong_network_stops_the_start(monkeypatch, value):
    monkeypatch.setenv("OPERATOR_NETWORKS", value)

    with pytest.raises(ImproperlyConfigured, match="OPERATOR_NETWORKS must list networks"):
        env_networks("OPERATOR_NETWORKS")


# --- at the moment of connecting ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1"])
def test_nothing_connects_to_an_inner_address(production, host):
    connections: list[str] = []

    def noting(line: socket.socket) -> None:
        connections.append("connected")

    with listening(noting) as url:
        with pytest.raises(NotSent) as refused:
            get(client(), url.replace("127.0.0.1", host))
        seen = list(connections)

    trouble = refused.value
    assert (trouble.cause, trouble.text, trouble.error) == (
        "address",
        FORBIDDEN,
        ErrorClass.TRANSIENT,
    )
    assert seen == []


def test_tls_connects_to_no_inner_address_either(production):
    with listening(answering(OK)) as url, pytest.raises(NotSent) as refused:
        get(client(), url.replace("http:", "https:"))

    assert refused.value.cause == "address"


def test_name_that_resolves_to_an_inner_address_is_refused(production, monkeypatch):
    real = socket.getaddrinfo

    def rebound(_host: object, *rest: Any, **named: Any) -> Any:
        return real("127.0.0.1", *rest, **named)

    with listening(answering(OK)) as url:
        monkeypatch.setattr(socket, "getaddrinfo", rebound)
        with pytest.raises(NotSent) as refused:
            get(client(), url.replace("127.0.0.1", "api.example.com"))

    assert refused.value.cause == "address"


def test_network_in_the_setting_connects(production):
    production.OPERATOR_NETWORKS = [ip_network("127.0.0.0/8")]

    with listening(answering(OK)) as url:
        reply = get(client(), url)

    assert reply.status == 200


def test_first_allowed_address_of_a_name_is_taken(production, monkeypatch):
    production.OPERATOR_NETWORKS = [ip_network("127.0.0.1")]
    real = socket.getaddrinfo

    def two(_host: object, port: object, *rest: Any, **named: Any) -> Any:
        return real("127.0.0.2", port, *rest, **named) + real("127.0.0.1", port, *rest, **named)

    with listening(answering(OK)) as url, monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", two)
        reply = get(client(), url.replace("127.0.0.1", "api.example.com"))

    assert reply.status == 200


# --- time ----------------------------------------------------------------------------------------------


def resolves_to(monkeypatch: pytest.MonkeyPatch, *ports: int, after: float = 0.0) -> None:
    """Every name stands for 127.0.0.1 at these ports, in this order; the lookup takes `after` seconds."""
    real = socket.getaddrinfo

    def found(_host: object, _port: object, *rest: Any, **named: Any) -> Any:
        time.sleep(after)
        return [one for port in ports for one in real("127.0.0.1", port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def seconds_to_give_up(url: str, cause: str, within: float = 1) -> float:
    started = time.monotonic()
    with pytest.raises(NotSent) as given_up:
        get(client(total_seconds=within), url)
    assert given_up.value.cause == cause
    return time.monotonic() - started


def test_all_addresses_share_the_time_of_the_call(monkeypatch):
    with unanswered() as port:
        resolves_to(monkeypatch, port, port, port)

        seconds = seconds_to_give_up("http://api.example.com/", "timeout")

    assert seconds < 2.5


def test_silent_address_leaves_time_for_the_next(monkeypatch):
    with unanswered() as silent, listening(answering(OK)) as url:
        resolves_to(monkeypatch, silent, int(url.rpartition(":")[2]))

        reply = get(client(total_seconds=4), "http://api.example.com/")

    assert reply.status == 200


def test_handshake_gets_what_is_left_of_the_time(monkeypatch):
    def silent(line: socket.socket) -> None:
        while line.recv(1024):
            continue

    with listening(silent) as url:
        resolves_to(monkeypatch, int(url.rpartition(":")[2]), after=1.5)

        seconds = seconds_to_give_up("https://api.example.com/", "timeout", within=2)

    assert seconds < 3


def test_slow_lookup_is_given_up_with_the_call(monkeypatch):
    resolves_to(monkeypatch, 1, after=3)

    seconds = seconds_to_give_up("http://api.example.com/", "dns")

    assert seconds < 2.5


def test_name_that_cannot_be_written_is_a_wrong_address():
    with pytest.raises(NotSent):
        get(client(), f"http://{'x' * 70}.example/")


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.1", True), ("localhost", True), ("LOCALHOST.", True), ("169.254.169.254", True),
     ("::1", True), ("8.8.8.8", False), ("api.example.com", False)],
)  # fmt: skip
def test_typed_host_is_judged_without_asking_for_its_name(production, host, inside):
    assert leads_inside(host, resolve=False) is inside
