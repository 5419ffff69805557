from __future__ import annotations

import re
from dataclasses import replace

import pytest

from portico.core.render.generation import render_generation
from tests.rendered import APP, HOME, block, nginx_conf, place_for, site, site_block, wanted


def servers(text: str) -> list[list[str]]:
    """The lines of each server block."""
    parts = nginx_conf(text).split("\n    server {\n")[1:]
    return [[line.strip() for line in part.splitlines()] for part in parts]


def sites(*tables: str) -> str:
    return APP + "".join(f"[sites.{table}\n" for table in tables)


FILES = {
    "one": site(),
    "plain": site("https = false"),
    "both": site("redirect_http = false"),
    "default": site("default = true"),
    "default and another": sites('"a.test"]\napp="web"\ndefault=true', '"b.test"]\napp="web"'),
    "plain default": sites(
        '"a.test"]\napp="web"\ndefault=true\nhttps=false', '"b.test"]\napp="web"'
    ),
    "address": sites('"127.0.0.1"]\napp="web"', '"b.test"]\napp="web"'),
    "address and default": sites('"127.0.0.1"]\napp="web"', '"b.test"]\napp="web"\ndefault=true'),
    "plain address": sites('"127.0.0.1"]\napp="web"\nhttps=false', '"b.test"]\napp="web"'),
    "proxy protocol": sites(
        '"a.test"]\napp="web"\nreal_ip={trust=["10.0.0.1"],proxy_protocol=true}',
        '"b.test"]\napp="web"',
    ),
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_every_socket_has_one_default_server_which_alone_has_its_options(text):
    listens = [line for server in servers(text) for line in server if line.startswith("listen")]
    sockets = {line.split()[1].rstrip(";") for line in listens}
    for socket in sockets:
        heads = [line for line in listens if line.split()[1].rstrip(";") == socket]
        defaults = [line for line in heads if "default_server" in line]
        assert len(defaults) == 1
        assert [line for line in heads if "reuseport" in line or "backlog" in line] == defaults


def _is_default(line: str, port: int) -> bool:
    return line.startswith(f"listen 127.0.0.1:{port}") and "default_server" in line


@pytest.mark.parametrize(
    ("file", "http", "https"),
    [
        ("one", "return 421", "ssl_reject_handshake on"),
        ("both", "return 421", "ssl_reject_handshake on"),
        ("default", "return 308", "server_name app.test"),
        ("default and another", "return 308", "server_name a.test"),
        ("plain default", "server_name a.test", "ssl_reject_handshake on"),
        ("address", "return 421", "server_name 127.0.0.1"),
        ("address and default", "return 308", "server_name b.test"),
        ("plain address", "return 421", "ssl_reject_handshake on"),
    ],
)
def test_names_that_no_site_has_are_answered_by(file, http, https):
    for port, expected in ((8080, http), (8443, https)):
        (found,) = [s for s in servers(FILES[file]) if any(_is_default(line, port) for line in s)]
        assert any(line.startswith(expected) for line in found)


def test_other_names_are_refused_although_an_address_has_a_site():
    refusing = [s for s in servers(FILES["address"]) if "ssl_reject_handshake on;" in s]
    names = [line for line in refusing[0] if line.startswith("server_name")]
    assert names == ['server_name "~.";']


def test_the_proxy_protocol_is_spoken_on_every_socket():
    """Sites share their sockets, and a socket has one protocol."""
    listens = [line for s in servers(FILES["proxy protocol"]) for line in s if "listen " in line]
    assert all("proxy_protocol" in line for line in listens)


def test_a_redirect_names_the_port_of_https_only_where_it_is_another_than_usual():
    assert "return 308 https://$host:8443$request_uri;" in nginx_conf(site())
    usual = nginx_conf("[edge]\nhttps = 443\n" + site())
    assert "return 308 https://$host$request_uri;" in usual
    assert "error_page 497 =308 https://$host$request_uri;" in usual


def test_all_names_are_redirected_by_one_server():
    text = sites('"a.test"]\napp="web"\naliases=["b.test"]', '"::1"]\napp="web"')
    (redirecting,) = [s for s in servers(text) if "return 308 https" in " ".join(s)]
    names = [line for line in redirecting if line.startswith("server_name")]
    assert names == ["server_name a.test b.test;", "server_name [::1];"]


@pytest.mark.parametrize(
    ("edge", "machine", "path"),
    [
        ("", "", ""),
        ('health_path = "/lb"', "", "/lb"),
        ("", "m1", "/portico-health"),
        ('health_path = "/lb"', "m1", "/lb"),
    ],
)
def test_a_load_balancer_is_sent_away_from_a_drained_machine_alone(edge, machine, path):
    desired = replace(wanted(f"[edge]\n{edge}\n{site()}"), machine=machine)
    text = render_generation(desired, place_for(desired))["nginx.conf"]
    assert text.count("return 200 ok") == bool(path)
    if path:
        lines = block(text, f"location = {path}")
        assert ("return 503 drained;" in lines) == bool(machine)
        assert (f"if (-f {HOME}/nginx/drained ) {{" in lines) == bool(machine)


@pytest.mark.parametrize("keys", ["", 'real_ip = {trust = ["10.0.0.0/8"]}'])
def test_a_check_is_answered_where_plain_requests_are_redirected_one_by_one(keys):
    own = 'certificate = "a.pem"\nkey = "a.key"\ndefault = true'
    conf = nginx_conf(f'[edge]\nhealth_path = "/up"\n{site(f"{own}{chr(10)}{keys}")}')
    [variable] = re.findall(r"^        if \((\$portico_\w+)\) {\n +return 308", conf, re.MULTILINE)
    [head] = re.findall(rf"^    (map .+ {re.escape(variable)}) {{$", conf, re.MULTILINE)
    assert '"|/up" "";' in block(conf, head)
    assert "location = /up {" in site_block(conf)
