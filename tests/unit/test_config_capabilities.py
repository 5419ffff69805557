from __future__ import annotations

from dataclasses import replace

import pytest

from portico.adapters.nginx.features import ALL_DIRECTIVES
from portico.core.config.capabilities import (
    AUTOMATIC_FEATURES,
    FEATURES,
    OWN_LINES,
    capability_notes,
    capability_problems,
    needed_of_nginx,
)
from portico.core.model.place import Build
from tests.documents import read

OLD = Build("/usr/sbin/nginx", (1, 22, 1), can=frozenset({"grpc", "realip", "ssl"}))
BARE = Build("/opt/nginx", (1, 31, 3))

ASKS = """
[apps.web]
command = "x"
balance = "least_time header"
sticky = true

[upstreams.legacy]
servers = ["a"]
balance = "least_time last_byte"

[sites."a.test"]
app = "web"
real_ip.trust = ["10.0.0.0/8"]
routes."/rpc" = { upstream = "legacy", grpc = true }
"""


ENCODED = """
[sites."a.test"]
folder = "x"
routes."/a" = { folder = "y", brotli = true }

[sites."b.test"]
folder = "x"
brotli = true
zstd = false
"""


def told(toml: str, build: Build) -> list[str]:
    return [str(problem) for problem in capability_problems(read(toml), build)]


def test_what_an_old_nginx_lacks_is_told_with_the_version_that_has_it():
    is_old = "or later; /usr/sbin/nginx is 1.22.1"
    assert told(ASKS, OLD) == [
        f"apps: finding instances by DNS (server ... resolve) needs nginx 1.27.3 {is_old}",
        f"apps.web.balance: least_time needs nginx 1.31.0 {is_old}",
        f"apps.web.sticky: sticky needs nginx 1.29.6 {is_old}",
        f"upstreams.legacy.balance: least_time needs nginx 1.31.0 {is_old}",
        f'sites."a.test".routes."/rpc".grpc: grpc over HTTP/2 needs nginx 1.25.1 {is_old}',
    ]


def test_what_was_left_out_of_a_build_is_told_too():
    without = "needs an nginx built with it; /opt/nginx (1.31.3) was built without it"
    assert f'sites."a.test".real_ip: real_ip {without}' in told(ASKS, BARE)
    assert f'sites."a.test".https: https {without}' in told(ASKS, BARE)


def test_an_nginx_that_cannot_look_into_handshakes_proves_no_name_by_alpn():
    asks = 'sites."a.example" = { folder = "x", tls = { challenge = "tls-alpn-01" } }'
    without = "needs an nginx built with it; /opt/nginx (1.31.3) was built without it"
    assert f'sites."a.example".tls.challenge: tls-alpn-01 {without}' in told(asks, BARE)


@pytest.mark.parametrize(
    ("toml", "needed"),
    [
        ("", set()),
        ('sites."a.test" = { folder = "x", https = false }', set()),
        ('sites."a.test".folder = "x"', {"ssl"}),
        ('apps.jobs = { command = "x", port = false }', set()),
        ('apps.web.command = "x"\nsites."a.test".app = "web"', {"ssl", "resolve"}),
        ('apps.web = { command = "x", balance = "ip_hash" }', {"hash"}),
        ('upstreams.u = { servers = ["a"], balance = "ip_hash" }', {"ip_hash"}),
        ('upstreams.u = { servers = ["a"], balance = "random two" }', {"random"}),
        (
            'sites."a.test" = { folder = "x", https = false, rate_limit = "1r/s" }',
            {"limit_req"},
        ),
        (
            'sites."a.test" = { folder = "x", https = false, connection_limit = 1 }',
            {"limit_conn"},
        ),
        (
            'apps.w.command = "x"\nsites."a.test" = { app = "w", https = false, cache = true }',
            {"resolve", "cache"},
        ),
        (
            'tls.challenge = "tls-alpn-01"\nsites."a.example" = { folder = "x" }',
            {"ssl", "stream_preread", "realip"},
        ),
        (ASKS, {"resolve", "least_time", "sticky", "realip", "grpc", "http2", "ssl"}),
    ],
)
def test_what_a_file_needs_of_nginx(toml, needed):
    assert needed_of_nginx(read(toml)) == needed


def test_a_build_that_can_do_all_a_file_asks_for_has_no_problems():
    assert told(ASKS, replace(BARE, can=needed_of_nginx(read(ASKS)))) == []


def test_an_encoder_that_the_build_lacks_is_one_note_and_no_problem():
    document = read(ENCODED)
    (note,) = capability_notes(document, BARE)
    assert note == (
        'sites."a.test".routes."/a".brotli: has no effect, because /opt/nginx (1.31.3) was built '
        "without ngx_brotli"
    )
    assert list(capability_notes(document, replace(BARE, can=frozenset({"brotli"})))) == []
    assert not {"brotli", "zstd"} & needed_of_nginx(document)


def test_http_3_is_refused_where_nginx_has_no_module_for_it_or_is_too_old():
    asks = 'edge.http3 = true\nsites."a.test" = { folder = "x", https = false }'
    assert told(asks, BARE) == [
        (
            "edge.http3: http3, of ngx_http_v3_module, needs an nginx built with it; /opt/nginx "
            "(1.31.3) was built without it"
        ),
        (
            "edge.http3: the port that a client of http3 requests needs an nginx built with it; "
            "/opt/nginx (1.31.3) was built without it"
        ),
    ]
    old = Build("/opt/nginx", (1, 28, 0), can=frozenset({"http3"}))
    assert told(asks, old) == [
        (
            "edge.http3: the port that a client of http3 requests needs nginx 1.29.3 or later; "
            "/opt/nginx is 1.28.0"
        )
    ]


def test_everything_that_is_read_from_an_nginx_is_shown_under_one_heading():
    keys = {word for needed in FEATURES.values() for word in needed}
    automatic = {word for needed in AUTOMATIC_FEATURES.values() for word in needed} - keys
    assert keys | automatic | set(OWN_LINES) == ALL_DIRECTIVES
    assert set(OWN_LINES).isdisjoint(keys | automatic)


def test_what_a_file_needs_is_among_the_features_shown():
    keys = {word for needed in FEATURES.values() for word in needed}
    assert needed_of_nginx(read(ASKS)) <= keys
