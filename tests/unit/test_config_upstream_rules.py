from __future__ import annotations

import pytest

from tests.documents import problems_of

NEEDS_NAME = (
    ": needs tls_name, the name to verify: its servers have several names or only addresses"
)


@pytest.mark.parametrize("method", ["ip_hash", "hash $request_uri", "random two least_conn"])
def test_methods_without_backups_refuse_them_wherever_they_are_set(method):
    word = method.split()[0]
    told = problems_of(
        f"""
        [apps.web]
        command = "x"
        instances = 3
        balance = "{method}"
        slots.3.backup = true

        [apps.spare]
        command = "x"
        backup = true

        [upstreams.legacy]
        balance = "{method}"
        servers = ["a", {{ address = "b", backup = true }}]

        [upstreams.both]
        balance = "{method}"
        apps = ["web", "spare"]
        """
    )
    assert told == [
        (
            f"apps.web.slots.3.backup: cannot be true: apps.web has {word}, which does not "
            "support backups"
        ),
        (
            "upstreams.legacy.servers[1].backup: cannot be true: upstreams.legacy has "
            f"{word}, which does not support backups"
        ),
        (
            "apps.web.slots.3.backup: cannot be true: upstreams.both has "
            f"{word}, which does not support backups"
        ),
        (
            f"apps.spare.backup: cannot be true: upstreams.both has {word}, which does not "
            "support backups"
        ),
    ]


@pytest.mark.parametrize("method", ["round_robin", "least_conn", "least_time header inflight"])
def test_other_methods_take_backups(method):
    assert not problems_of(
        f"""
        apps.web = {{ command = "x", instances = 2, balance = "{method}", slots.2.backup = true }}
        """
    )


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        ("upstreams.a = {}", ["upstreams.a: needs servers or apps"]),
        ("upstreams.a.servers = []", ["upstreams.a: needs servers or apps"]),
        (
            'upstreams.a.servers = [{ address = "a", down = true }]',
            ["upstreams.a: has only peers that are down"],
        ),
        (
            'upstreams.a.servers = [{ address = "a", backup = true }]',
            ["upstreams.a: has only backups; at least one peer must not be a backup"],
        ),
        (
            'apps.a = { command = "x", down = true }',
            ["apps.a: has only peers that are down"],
        ),
        (
            'apps.a = { command = "x", instances = 2, slots = { 1.down = true, 2.down = true } }',
            ["apps.a: has only peers that are down"],
        ),
        (
            'apps.a = { command = "x", slots.1.backup = true }',
            ["apps.a: has only backups; at least one peer must not be a backup"],
        ),
        (
            'apps.a = { command = "x", backup = true }',
            ["apps.a.backup: has no effect: no upstream uses the app"],
        ),
        (
            """
            apps.a = { command = "x", backup = true }
            upstreams.u.apps = ["a"]
            """,
            ["upstreams.u: has only backups; at least one peer must not be a backup"],
        ),
        # of "max" instances there is one more than the slots that have a table
        ('apps.a = { command = "x", instances = "max", slots.1.down = true }', []),
        ('apps.a = { command = "x", instances = 2, slots.1.down = true }', []),
        (
            """
            apps.a = { command = "x", backup = true }
            upstreams.u = { apps = ["a"], servers = ["b:80"] }
            """,
            [],
        ),
        (
            """
            [upstreams.u]
            servers = [{ address = "a", down = true }, { address = "b", backup = true }]
            """,
            [],
        ),
    ],
)
def test_somebody_has_to_answer(toml, problems):
    assert problems_of(toml) == problems


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        ('apps = ["wep"]', '.apps[0]: there is no app "wep" (did you mean "web"?)'),
        ('apps = ["web", "web"]', '.apps[1]: names app "web" twice'),
        ('apps = ["jobs"]', '.apps[0]: app "jobs" has no port: its port is false'),
        (
            'apps = ["web"]\ntls = true',
            ".tls: is for servers; apps speak plain HTTP on this machine",
        ),
        (
            'servers = ["10.0.0.5:443"]\ntls = true',
            NEEDS_NAME,
        ),
        (
            'servers = ["a.example:443", "b.example:443"]\ntls = true',
            NEEDS_NAME,
        ),
        (
            'servers = [{ address = "a", fail_timeout = 1.5 }]',
            ".servers[0].fail_timeout: must be whole seconds, not 1.5",
        ),
        (
            'servers = ["a"]\nsticky = { samesite = "none", secure = false }',
            '.sticky.secure: must be true with samesite = "none": browsers require it',
        ),
    ],
)
def test_an_upstream_that_makes_no_sense(upstream, problem):
    apps = 'apps.web.command = "x"\napps.jobs = { command = "x", port = false }'
    assert problems_of(f"{apps}\n[upstreams.legacy]\n{upstream}") == [f"upstreams.legacy{problem}"]


@pytest.mark.parametrize(
    "upstream",
    [
        'servers = ["a.example:443", "a.example:8443"]\ntls = true',
        'servers = ["10.0.0.5:443"]\ntls = true\ntls_name = "a.example"',
        'servers = ["10.0.0.5:443"]\ntls = true\ntls_verify = false',
    ],
)
def test_a_certificate_that_can_be_verified(upstream):
    assert not problems_of(f"[upstreams.legacy]\n{upstream}")


def test_an_upstream_cannot_have_the_name_of_an_app():
    assert problems_of(
        """
        apps.web.command = "x"
        upstreams.web.servers = ["a"]
        """
    ) == ['upstreams.web: "web" is already the name of an app']


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("$requset_uri", 'nginx has no variable $requset_uri (did you mean "$request_uri"?)'),
        ("$zzzzzz", "nginx has no variable $zzzzzz"),
        ("${remote_adr}x", 'nginx has no variable $remote_adr (did you mean "$remote_addr"?)'),
    ],
)
def test_a_hash_key_needs_a_variable_that_nginx_has(key, problem):
    toml = f'[apps.web]\ncommand = "x"\nbalance = "hash {key} consistent"\n'
    assert problems_of(toml) == [f"apps.web.balance: {problem}"]
    assert problems_of(f'{toml}[edge]\ninclude = "maps.conf"') == []


@pytest.mark.parametrize(
    "key", ["$arg_id", "$cookie_user", "$http_x_user", "$host$uri", "$scheme:x"]
)
def test_variables_that_nginx_has(key):
    assert not problems_of(f'apps.web = {{ command = "x", balance = "hash {key}" }}')
