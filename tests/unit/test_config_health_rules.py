from __future__ import annotations

import pytest

from portico.core.model.check import Check
from tests.documents import problems_of

APP = '[apps.web]\ncommand = "a"\n'


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        ('path = "/"\ncommand = "a"', ": has path and command; set only one"),
        ('path = "/"\ngrpc = true', ": has path and grpc; set only one"),
        ('command = " "', ".command: must name a program"),
        ("command = []", ".command: must name a program"),
        ("status = [200]", ".status: is for a path, but none is set"),
        ('grpc = true\nhost = "a"', ".host: is for a path, but none is set"),
        ('body = "ok"', ".body: is for a path, but none is set"),
        (
            'path = "/"\nmethod = "HEAD"\nbody = "ok"',
            ".body: cannot match: an answer to HEAD has no body",
        ),
        (
            'path = "/"\nbody = "~ (ok"',
            ".body: is not a regular expression: missing ) at position 3",
        ),
        ('path = "/"\nheaders.Host = "a"', ".headers.Host: is set by the key host"),
        (
            'path = "/"\nheaders.content-length = "5"',
            ".headers.content-length: is set by Portico: a check has no body",
        ),
        (
            'path = "/"\nheaders.Upgrade = "websocket"',
            ".headers.Upgrade: is set by Portico: a check has no body",
        ),
        (
            'path = "/"\nheaders.X-A = "a\\tb"',
            ".headers.X-A: must be one line of text",
        ),
        (
            'path = "/"\nbody = "~ a{99999999999999999999}"',
            ".body: is not a regular expression: repeat count too big at position 2",
        ),
        (
            'path = "/ü"',
            '.path: must be a path that starts with "/", not "/ü"',
        ),
        (
            'path = "/"\nhost = "a b"',
            '.host: must be a host name, not "a b"',
        ),
        (
            'interval = "2s"\ntimeout = "3s"',
            ".timeout: must be at most interval, 2 seconds, not 3",
        ),
        ("fall = 0", ".fall: must be between 1 and 1000, not 0"),
        ('path = "/"\nmethod = "POST"', '.method: must be "GET" or "HEAD", not "POST"'),
        (
            'grpc = "a b"',
            '.grpc: must be the name of a gRPC service, not "a b"',
        ),
        ('path = "/"\nretries = 2', '.retries: unknown key (did you mean "fall"?)'),
    ],
)
def test_a_check_that_makes_no_sense(health, problem):
    assert problems_of(f"{APP}[apps.web.health]\n{health}") == [f"apps.web.health{problem}"]


@pytest.mark.parametrize(
    "health",
    [
        "",
        'path = "/"\nmethod = "HEAD"\nstatus = [204]\nheaders = { X-A = "Büro" }\nhost = "a"',
        'path = "/"\nbody = "~ (?i)^ok"',
        "grpc = true\nfall = 1",
        'grpc = "my.package.Service"',
        'command = ["true"]\ninterval = 1\ntimeout = 1',
        'interval = "500ms"',
    ],
)
def test_a_check_that_makes_sense(health):
    assert problems_of(f"{APP}[apps.web.health]\n{health}") == []


def test_a_wrong_path_does_not_make_the_keys_beside_it_wrong():
    assert problems_of(f'{APP}[apps.web.health]\npath = "x"\nbody = "ok"') == [
        'apps.web.health.path: must be a path that starts with "/", not "x"'
    ]


def test_a_worker_can_be_checked_by_a_command_only():
    worker = f"{APP}port = false\nhealth"
    assert problems_of(f'{worker} = {{ command = "true" }}') == []
    assert problems_of(f"{worker} = {{ grpc = true }}") == [
        "apps.web.health: needs a command, because port is false"
    ]


@pytest.mark.parametrize(
    ("check", "limit"),
    [(Check(), 5), (Check(interval=1), 1), (Check(interval=60), 5), (Check(timeout=2), 2)],
)
def test_a_probe_ends_before_the_next_is_due_or_after_five_seconds(check, limit):
    assert check.limit == limit
