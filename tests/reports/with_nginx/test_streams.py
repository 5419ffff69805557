"""Public reports about proxies of TCP, each as a small case with its address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.addresses import free_port
from tests.edge import Edge
from tests.lines import Lines, server

PLAIN, NAMES, BEHIND = (free_port() for _ in range(3))


def _file(first: int, second: int, tls: tuple[int, int], more: str = "") -> str:
    return f"""
        [sites."a.test"]
        aliases = ["*.wild.test", "other.test"]
        maintenance = true
        [upstreams.first]
        servers = ["127.0.0.1:{first}"]
        [upstreams.second]
        servers = ["127.0.0.1:{second}"]
        [streams."127.0.0.1:{tls[0]}"]
        upstream = "first"
        tls = "a.test"
        [streams."127.0.0.1:{tls[1]}"]
        upstream = "second"
        tls = "a.test"
        [upstreams.first-tls]
        servers = ["127.0.0.1:{tls[0]}"]
        [upstreams.second-tls]
        servers = ["127.0.0.1:{tls[1]}"]
        [streams."{PLAIN}"]
        upstream = "first"
        {more}
        [streams."{NAMES}"]
        upstream = "second-tls"
        server_names = {{ "*.wild.test" = "first-tls" }}
        [streams."{BEHIND}"]
        upstream = "first"
        set_real_ip_from = ["10.0.0.0/8"]
        allow = ["192.0.2.7"]
    """


@pytest.fixture(scope="module")
def files() -> Iterator[tuple[str, str]]:
    """The file, and another one with one more key."""
    tls = free_port(), free_port()
    with server("1") as first, server("2") as second:
        other = _file(first, second, tls, "proxy_timeout = '1h'")
        yield _file(first, second, tls), other


@pytest.fixture(scope="module")
def edge(files) -> Iterator[Edge]:
    with Edge(files[0]) as edge:
        yield edge


def test_a_wildcard_passes_tls_on_for_each_name_below_it(edge):
    """https://github.com/kubernetes/ingress-nginx/issues/11982: only the very text matched."""
    for name in ("a.wild.test", "B.wild.test"):
        with Lines(NAMES, tls=edge.tls(), name=name) as lines:
            assert lines.greeting == "1"


def test_a_name_that_is_not_listed_goes_to_the_default(edge):
    """https://github.com/yyyar/gobetween/issues/108: it was rejected."""
    with Lines(NAMES, tls=edge.tls(), name="other.test") as lines:
        assert lines.greeting == "2"


def test_a_client_cannot_claim_an_address_that_has_access(edge):
    """https://github.com/jaracil/nexus/issues/23: anybody can write the header."""
    with pytest.raises((EOFError, ConnectionResetError)):
        Lines(BEHIND, before=b"PROXY TCP4 192.0.2.7 192.0.2.1 1111 2222\r\n")


def test_a_reload_does_not_end_a_connection(edge, files):
    """https://github.com/kubernetes/ingress-nginx/issues/1373: it did after ten seconds. Here it
    lasts as long as `[edge] shutdown_timeout` has it.
    """
    with Lines(PLAIN) as lines:
        edge.reload(files[1])
        assert lines.echo("on") == "1 on"
    assert "worker_shutdown_timeout 60s;" in edge.main.read_text()
