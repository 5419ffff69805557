from __future__ import annotations

import pytest

from portico.core.config.rules import machine_problems
from tests.documents import problems_of, read


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        (
            "edge = { http = 80, https = 80 }",
            ["edge.https: overlaps with edge.http: both would have port 80"],
        ),
        (
            """
            edge.http3 = true
            sites."a.test" = { folder = "x", real_ip = { trust = [], proxy_protocol = true } }
            """,
            [
                (
                    'sites."a.test".real_ip.proxy_protocol: cannot be combined with [edge] http3: '
                    "QUIC has no PROXY protocol"
                )
            ],
        ),
        ("edge.bind = []", ["edge.bind: must have an address, or be left out"]),
        ('edge.bind = ["*", "*"]', ['edge.bind: has "*" more than once']),
        ('edge.bind = ["[::1]", "::1"]', ['edge.bind: has "[::1]" more than once']),
        (
            'apps.web = { command = "x", port = 65534, instances = 3 }',
            [
                (
                    "apps.web.port: is too high: the last instance would have port 65536, "
                    "and ports end at 65535"
                )
            ],
        ),
        (
            """
            apps.web = { command = "x", port = 3000, instances = 4 }
            apps.api = { command = "x", port = 3003 }
            """,
            ["apps.api.port: overlaps with apps.web.port: both would have port 3003"],
        ),
        (
            """
            apps.api = { command = "x", port = 3003 }
            apps.web = { command = "x", port = 3000, instances = 4 }
            """,
            ["apps.web.port: overlaps with apps.api.port: both would have port 3003"],
        ),
        (
            """
            apps.a = { command = "x", port = 3000, instances = 100 }
            apps.b = { command = "x", port = 3010, instances = 2 }
            apps.c = { command = "x", port = 3050 }
            """,
            [
                "apps.b.port: overlaps with apps.a.port: both would have port 3010",
                "apps.c.port: overlaps with apps.a.port: both would have port 3050",
            ],
        ),
        (
            """
            apps.web = { command = "x", port = 8440, instances = 8 }
            edge.https = 8443
            """,
            ["apps.web.port: overlaps with edge.https: both would have port 8443"],
        ),
        ('apps.web = { command = "x", port = 65532, instances = 4 }', []),
        (
            """
            apps.web = { command = "x", port = 3000, instances = 4 }
            apps.api = { command = "x", port = 3004, instances = "max" }
            apps.job = { command = "x", port = false }
            """,
            [],
        ),
    ],
)
def test_ports_that_nobody_can_have(toml, problems):
    assert problems_of(toml) == problems


def test_on_a_machine_the_default_ports_and_its_cores_count_too():
    document = read(
        """
        apps.web = { command = "x", port = 3000, instances = "max" }
        apps.api = { command = "x", port = 3004 }
        apps.adm = { command = "x", port = 8080 }
        sites."a.localhost".app = "web"
        """
    )
    told = [str(problem) for problem in machine_problems(document, root=False, cores=8)]

    assert told == [
        "apps.api.port: overlaps with apps.web.port: both would have port 3004",
        "apps.adm.port: overlaps with edge.http: both would have port 8080",
    ]
    assert machine_problems(document, root=True, cores=4) == []


def test_without_a_site_an_app_may_have_the_ports_that_nginx_would_have():
    document = read('apps.web = { command = "x", port = 80 }')
    assert machine_problems(document, root=True, cores=1) == []
