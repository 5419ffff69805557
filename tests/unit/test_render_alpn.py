"""What nginx is given so that an authority can ask by TLS-ALPN-01."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.render.generation import render_generation
from portico.errors import Refused
from tests.rendered import APP, HOME, block, nginx_conf, place_for, site, wanted

FILE = '[tls]\nchallenge = "tls-alpn-01"\n[edge]\nbind = ["127.0.0.1", "127.0.0.2"]\n' + site()
INSIDE, ANSWERS = f"unix:{HOME}/nginx/temp/alpn/https", f"unix:{HOME}/nginx/temp/alpn/acme"


def conf(text: str, **place: object) -> str:
    desired = wanted(text)
    return render_generation(desired, place_for(desired, **place))["nginx.conf"]


def listens(text: str, *, https: bool = True) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("listen ")]
    return [line for line in lines if (":8080" not in line) is https]


def test_while_an_authority_asks_a_stream_has_the_port_with_all_of_its_addresses():
    text = conf(FILE, asked_by_alpn=True)
    http, stream = text.split("\nstream {\n")
    assert listens(stream) == [
        f"listen {address}:8443 reuseport backlog=4096;" for address in ("127.0.0.1", "127.0.0.2")
    ]
    assert {line.split()[1] for line in listens(http)} == {INSIDE}
    asked = block(text, "map $ssl_preread_alpn_protocols $portico_asked")
    assert asked == [f"acme-tls/1 {ANSWERS};", f"default {INSIDE};"]


def test_before_and_after_it_https_has_the_port_and_still_listens_inside():
    """What the stream of an old worker took over just before a reload has to find somebody."""
    text = conf(FILE)
    assert "stream {" not in text
    assert {line.split()[1] for line in listens(text)} == {
        INSIDE,
        "127.0.0.1:8443",
        "127.0.0.2:8443",
    }


@pytest.mark.parametrize("asked", [False, True])
def test_the_clients_address_is_believed_of_nginx_itself_alone(asked):
    text = conf(FILE, asked_by_alpn=asked)
    assert "set_real_ip_from unix:;" in text
    assert text.count("set_real_ip_from") == 1
    inside = [line for line in listens(text) if INSIDE in line]
    assert inside
    assert all(line.endswith("proxy_protocol;") for line in inside)


def test_the_port_of_http_stays_as_it_was():
    assert listens(conf(FILE, asked_by_alpn=True), https=False) == listens(conf(FILE), https=False)


@pytest.mark.parametrize(
    "text",
    [site(), '[tls]\nissuer = "local"\nchallenge = "tls-alpn-01"\n' + site(), APP],
    ids=["another challenge", "no authority", "no site"],
)
def test_who_is_never_asked_has_none_of_it(text):
    assert conf(text, asked_by_alpn=True) == nginx_conf(text)
    assert "unix:" not in nginx_conf(text)


def test_a_folder_whose_path_no_socket_can_have_is_refused():
    desired = wanted(FILE)
    place = replace(place_for(desired), home="/" + "x" * 90)
    with pytest.raises(Refused, match="choose a shorter PORTICO_HOME, or http-01"):
        render_generation(desired, place)
