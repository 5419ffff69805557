"""Streams to servers, of nginx alone: each keeps what its keys say."""

from __future__ import annotations

import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.core.model.place import CertificateFiles, ExtraCertificate
from tests.addresses import free_port
from tests.edge import Edge, certificate
from tests.lines import Lines, server
from tests.waiting import eventually

PORTS = {
    name: free_port()
    for name in (
        *("both", "once", "denied", "silent", "hash", "told", "behind", "untrusted", "full"),
        *("tls", "own", "names", "refusing"),
    )
}
KNOWN, BANNED = "192.0.2.8", "192.0.2.7"


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> CertificateFiles:
    """A second certificate of the site own.test, for one of its names."""
    return certificate(tmp_path_factory.mktemp("other"), frozenset({"c.own.test"}))


@pytest.fixture(scope="module")
def edge(other) -> Iterator[Edge]:
    dead = free_port()
    with server("1") as first, server("2") as second:
        text = f"""
            [upstreams.one-dead]
            servers = ["127.0.0.1:{dead}", "127.0.0.1:{first}"]
            [upstreams.two]
            servers = ["127.0.0.1:{first}", "127.0.0.1:{second}"]
            [streams."{PORTS["both"]}"]
            upstream = "one-dead"
            [streams."127.0.0.1:{PORTS["once"]}"]
            upstream = "one-dead"
            proxy_next_upstream = false
            [streams."{PORTS["denied"]}"]
            upstream = "two"
            deny = ["127.0.0.0/8"]
            [streams."{PORTS["silent"]}"]
            upstream = "two"
            proxy_timeout = "300ms"
            [streams."{PORTS["hash"]}"]
            upstream = "two"
            balance = "ip_hash"
            [streams."{PORTS["told"]}"]
            upstream = "two"
            proxy_protocol = true
            [streams."{PORTS["behind"]}"]
            upstream = "two"
            proxy_protocol = true
            set_real_ip_from = ["127.0.0.0/8"]
            deny = ["{BANNED}"]
            [streams."{PORTS["untrusted"]}"]
            upstream = "two"
            proxy_protocol = true
            set_real_ip_from = ["10.0.0.0/8"]
            [streams."{PORTS["full"]}"]
            upstream = "two"
            connection_limit = 2
            [sites."db.test"]
            maintenance = true
            [sites."own.test"]
            aliases = ["a.own.test", "b.own.test", "c.own.test", "default"]
            maintenance = true
            [upstreams.first]
            servers = ["127.0.0.1:{first}"]
            [upstreams.second]
            servers = ["127.0.0.1:{second}"]
            [streams."{PORTS["tls"]}"]
            upstream = "first"
            tls = "db.test"
            ssl_alpn = ["postgresql", "mqtt"]
            [streams."{PORTS["own"]}"]
            upstream = "second"
            tls = "own.test"
            [upstreams.tls]
            servers = ["127.0.0.1:{PORTS["tls"]}"]
            [upstreams.own]
            servers = ["127.0.0.1:{PORTS["own"]}"]
            [streams."{PORTS["refusing"]}"]
            server_names = {{ "db.test" = "tls", "*.own.test" = "own", "default" = "own" }}
            [streams."{PORTS["names"]}"]
            upstream = "own"
            server_names = {{ "db.test" = "tls" }}
        """
        part = ExtraCertificate(("c.own.test",), (other,))
        with Edge(text, apart={"own.test": (part,)}) as edge:
            yield edge


def _reached(port: int, count: int = 20) -> Counter[str]:
    found = Counter[str]()
    for _ in range(count):
        try:
            with Lines(port) as lines:
                found[lines.greeting] += 1
        except (EOFError, ConnectionResetError):
            found["lost"] += 1
    return found


def test_a_connection_that_fails_is_tried_on_the_next_server(edge):
    assert _reached(PORTS["both"]) == {"1": 20}


def test_it_is_lost_without_proxy_next_upstream(edge):
    assert _reached(PORTS["once"])["lost"] > 0


def test_networks_that_are_denied_get_nothing(edge):
    assert _reached(PORTS["denied"], 2) == {"lost": 2}


def test_a_silent_connection_ends_after_proxy_timeout(edge):
    with Lines(PORTS["silent"]) as lines:
        assert lines.echo("x").endswith(" x")
        with pytest.raises(EOFError):
            lines.read_line()


def test_a_client_stays_with_its_server_by_hash(edge):
    assert len(_reached(PORTS["hash"])) == 1


# The PROXY protocol


def _claim(address: str) -> bytes:
    return f"PROXY TCP4 {address} 192.0.2.1 1111 2222\r\n".encode()


def _claim_in_binary(address: str) -> bytes:
    """Version 2 of the header, 2.2."""
    ends = socket.inet_aton(address) + socket.inet_aton("192.0.2.1") + b"\x04\x57\x08\xae"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + ends


def test_a_program_is_sent_the_address_of_the_client(edge):
    with Lines(PORTS["told"]) as lines:
        _, *header = lines.read_line().split()
        assert header == ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1", *map(str, lines.ports)]


@pytest.mark.parametrize("claim", [_claim, _claim_in_binary])
def test_a_load_balancer_in_front_is_believed(edge, claim):
    """By the program, by the rules of access, and in the log."""
    with Lines(PORTS["behind"], before=claim(KNOWN)) as lines:
        assert lines.read_line().split()[1:4] == ["PROXY", "TCP4", KNOWN]
    with pytest.raises((EOFError, ConnectionResetError)):
        Lines(PORTS["behind"], before=claim(BANNED))
    log = f"_stream_{PORTS['behind']}"
    eventually(lambda: f'"remote_addr":"{BANNED}"' in edge.access_log(log))


def test_nobody_else_in_front_is_believed(edge):
    with Lines(PORTS["untrusted"], before=_claim(KNOWN)) as lines:
        assert lines.read_line().split()[1:4] == ["PROXY", "TCP4", "127.0.0.1"]


def test_a_connection_without_the_header_is_refused(edge):
    with pytest.raises((EOFError, ConnectionResetError)):
        Lines(PORTS["behind"], before=b"hello, this is a client without a header\r\n")


def test_a_client_has_so_many_connections_and_no_more(edge):
    with Lines(PORTS["full"]) as first, Lines(PORTS["full"]):
        with pytest.raises((EOFError, ConnectionResetError)):
            Lines(PORTS["full"])
        assert first.echo("x").endswith(" x")
    assert eventually(lambda: "lost" not in _reached(PORTS["full"], 1))


# TLS


def test_tls_ends_with_the_certificate_of_a_site(edge):
    tls = edge.tls()
    tls.set_alpn_protocols(["h2", "postgresql"])
    with Lines(PORTS["tls"], tls=tls, name="db.test") as lines:
        assert lines.alpn == "postgresql"
        assert lines.echo("x").endswith(" x")


@pytest.mark.parametrize("name", ["own.test", "b.own.test", "c.own.test", "unknown.test", None])
def test_a_name_with_a_certificate_of_its_own_is_served_with_it(edge, other, name):
    first = edge.folder / "certificate.pem"
    expected = Path(other.certificate) if name == "c.own.test" else first
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", PORTS["own"]), 60) as plain,
        tls.wrap_socket(plain, server_hostname=name) as found,
    ):
        served = ssl.DER_cert_to_PEM_cert(found.getpeercert(binary_form=True))
        assert served == expected.read_text()
        assert found.recv(2) == b"2\n"


@pytest.mark.parametrize(
    ("port", "name", "server"),
    [
        ("refusing", "db.test", "1"),
        ("refusing", "DB.test", "1"),
        ("refusing", "a.own.test", "2"),
        ("refusing", "b.own.test", "2"),
        ("refusing", "default", "2"),
        ("names", "db.test", "1"),
        ("names", "a.own.test", "2"),
    ],
)
def test_tls_is_passed_on_by_the_name_that_a_client_asks_for(edge, port, name, server):
    with Lines(PORTS[port], tls=edge.tls(), name=name) as lines:
        assert lines.greeting == server
        assert lines.echo("x") == f"{server} x"


@pytest.mark.parametrize("name", ["other.test", "own.test", "db.test.test"])
def test_a_name_that_leads_nowhere_is_refused(edge, name):
    with pytest.raises((OSError, EOFError)):
        Lines(PORTS["refusing"], tls=edge.tls(), name=name)
