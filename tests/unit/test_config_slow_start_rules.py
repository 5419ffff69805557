from __future__ import annotations

import pytest

from tests.documents import problems_of

WEB = 'apps.web = { command = "x", instances = 2, slow_start = 30'


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (
            f'{WEB}, balance = "ip_hash" }}',
            (
                "apps.web.slow_start: cannot be combined with ip_hash of apps.web: each step "
                "would move clients"
            ),
        ),
        (
            f'{WEB} }}\nupstreams.u = {{ apps = ["web"], balance = "hash $uri" }}',
            (
                "apps.web.slow_start: cannot be combined with hash of upstreams.u: each step "
                "would move clients"
            ),
        ),
        (
            f"{WEB}, port = false }}",
            "apps.web.slow_start: needs a port, but port is false",
        ),
        (
            f"{WEB}, weight = 7000 }}",
            "apps.web.weight: must be 6553 or less with slow_start",
        ),
        (
            f"{WEB}, slots.2.weight = 7000 }}",
            "apps.web.slots.2.weight: must be 6553 or less with slow_start",
        ),
        (
            (
                f'{WEB} }}\nupstreams.u = {{ apps = ["web"], '
                'servers = [{ address = "a", weight = 7000 }] }'
            ),
            "upstreams.u.servers[0].weight: must be 6553 or less with slow_start",
        ),
    ],
)
def test_a_slow_start_that_cannot_be(file, problem):
    assert problems_of(file) == [problem]


@pytest.mark.parametrize(
    "file",
    [
        f'{WEB}, balance = "least_time header" }}',
        f'{WEB}, balance = "random two", sticky = true }}',
        'apps.web = { command = "x", weight = 7000, balance = "ip_hash", slow_start = 0 }',
    ],
)
def test_a_slow_start_that_can_be(file):
    assert problems_of(file) == []
