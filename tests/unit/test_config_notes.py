from __future__ import annotations

import pytest

from portico.core.config.notes import notes
from tests.documents import read


@pytest.mark.parametrize(
    ("toml", "note"),
    [
        (
            'edge.http = 80\nsites."a.test" = { folder = "x", aliases = ["shop.example.com"] }',
            (
                "edge.bind: nginx listens on all addresses, "
                'because "shop.example.com" is a public name'
            ),
        ),
        (
            'edge.http3 = true\nsites."a.test".folder = "x"',
            (
                "edge.http3: a reload of nginx delays or ends connections of HTTP/3; "
                "see docs/requests.md"
            ),
        ),
        (
            'apps.web.command = "x"\nsites."a.test".folder = "x"',
            "apps.web: no site or stream passes requests to it; for a worker, set port = false",
        ),
        (
            'apps.web = { command = "x", drain_timeout = 60 }\nsites."a.test".app = "web"',
            "edge.shutdown_timeout: should be longer than 60s: web may drain for 60s",
        ),
        (
            'edge.shutdown_timeout = 10\napps.web.command = "x"\nsites."a.test".app = "web"',
            "edge.shutdown_timeout: should be longer than 10s: web may drain for 30s",
        ),
        (
            'upstreams.u.servers = ["a"]\nsites."a.test".folder = "x"',
            "upstreams.u: no site or stream passes requests to it",
        ),
        (
            'apps.web = { command = "x", env.PORT = 3000 }',
            "apps.web.env.PORT: is not passed on: Portico sets it to each instance's own port",
        ),
        (
            'apps.web = { command = "x", max_fails = 3 }',
            "apps.web.max_fails: has no effect: nginx never disables the only peer",
        ),
        (
            'apps.web = { command = "x", instances = 2, max_fails = 0, fail_timeout = 20 }',
            "apps.web.fail_timeout: has no effect: max_fails is 0",
        ),
        (
            'apps.web = { command = "x", slow_start = 30 }',
            "apps.web.slow_start: has no effect with a single instance",
        ),
        (
            'apps.web = { command = "x", instances = 2, weight = 3 }',
            "apps.web.weight: has no effect: all instances have the same weight",
        ),
        (
            'upstreams.u.servers = [{ address = "a", fail_timeout = 20 }]',
            (
                "upstreams.u.servers[0].fail_timeout: has no effect: nginx never disables the "
                "only peer"
            ),
        ),
        (
            'upstreams.u.servers = ["a", "a:80"]',
            'upstreams.u.servers[1]: has "a:80" twice',
        ),
        (
            'upstreams.u = { servers = ["a"], tls_verify = false }',
            "upstreams.u.tls_verify: has no effect without tls = true",
        ),
        (
            'sites."a.test" = { folder = "x", hsts = { preload = true, max_age = "1d" } }',
            (
                'sites."a.test".hsts.preload: browsers\' preload lists require include_subdomains '
                "and a max_age of a year or more"
            ),
        ),
        (
            'sites."a.test" = { folder = "x", https = false, certificate = "a", key = "b" }',
            'sites."a.test".certificate: has no effect with https = false',
        ),
        (
            (
                'apps.web = { command = "x", sticky = true }\n'
                'sites."a.test" = { app = "web", https = false }'
            ),
            ('sites."a.test": its sticky cookie is secure, so it is lost with https = false'),
        ),
        (
            'sites."a.test" = { folder = "x", routes."/a" = { folder = "y", deny = ["all"] } }',
            'sites."a.test".routes."/a".deny: denies everyone: it has "all", and allow is empty',
        ),
    ],
)
def test_what_is_worth_saying_is_said(toml, note):
    assert notes(read(toml)) == [note]


@pytest.mark.parametrize(
    "toml",
    [
        'sites."shop.example.com".folder = "x"\nedge = { bind = ["*"], http = 80 }',
        'apps.jobs = { command = "x", port = false }\nsites."a.test".folder = "x"',
        'apps.web.command = "x"',
        'edge.shutdown_timeout = 31\napps.web.command = "x"\nsites."a.test".app = "web"',
        """
        apps.a = { command = "x", weight = 2, max_fails = 3 }
        apps.b.command = "x"
        upstreams.u.apps = ["a", "b"]
        sites."a.test".routes."/a" = "u"
        """,
        'apps.web = { command = "x", instances = 2, weight = 3, slots.1.weight = 1 }',
        (
            'apps.web = { command = "x", sticky = { secure = false } }\n'
            'sites."a.test" = { app = "web", https = false }'
        ),
        'sites."a.test" = { folder = "x", allow = ["10.0.0.1"], deny = ["all"] }',
        'sites."a.test" = { folder = "x", hsts = { preload = true, include_subdomains = true } }',
    ],
)
def test_nothing_is_said_where_all_is_as_it_should_be(toml):
    assert notes(read(toml)) == []


def test_a_public_name_without_root_is_said_how_to_get_its_ports():
    site = read('sites."shop.example.com".folder = "x"')
    assert not any("edge.http" in note for note in notes(site, root=True))
    assert notes(site)[1] == (
        'edge.http: "shop.example.com" is a public name, but nginx listens on 8080 and 8443 '
        "without root; run Portico as root, or set http = 80 and https = 443 after `sudo sysctl "
        "-w net.ipv4.ip_unprivileged_port_start=80`"
    )
