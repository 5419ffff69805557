from __future__ import annotations

import pytest

from tests.documents import complaints

WEB = 'apps.web = { command = "x", instances = 2, slow_start = 30'


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (
            f'{WEB}, balance = "ip_hash" }}',
            "apps.web.slow_start: would move visitors at every step: apps.web has ip_hash",
        ),
        (
            f'{WEB} }}\nupstreams.u = {{ apps = ["web"], balance = "hash $uri" }}',
            "apps.web.slow_start: would move visitors at every step: upstreams.u has hash",
        ),
        (
            f"{WEB}, port = false }}",
            "apps.web.slow_start: needs requests to share, and port is false",
        ),
        (
            f"{WEB}, weight = 7000 }}",
            "apps.web.weight: must be 6553 or less beside a slow_start",
        ),
        (
            f"{WEB}, slots.2.weight = 7000 }}",
            "apps.web.slots.2.weight: must be 6553 or less beside a slow_start",
        ),
        (
            (
                f'{WEB} }}\nupstreams.u = {{ apps = ["web"], '
                'servers = [{ address = "a", weight = 7000 }] }'
            ),
            "upstreams.u.servers[0].weight: must be 6553 or less beside a slow_start",
        ),
    ],
)
def test_a_slow_start_that_cannot_be(file, problem):
    assert complaints(file) == [problem]


@pytest.mark.parametrize(
    "file",
    [
        f'{WEB}, balance = "least_time header" }}',
        f'{WEB}, balance = "random two", sticky = true }}',
        'apps.web = { command = "x", weight = 7000, balance = "ip_hash", slow_start = 0 }',
    ],
)
def test_a_slow_start_that_can_be(file):
    assert complaints(file) == []
