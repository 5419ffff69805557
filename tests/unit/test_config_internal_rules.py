from __future__ import annotations

import pytest

from tests.documents import problems_of
from tests.rendered import nginx_conf

FILE = 'apps.web.command = "run"\n[sites."a.test"]\napp = "web"\nroutes.'


@pytest.mark.parametrize(
    ("key", "route", "problem"),
    [
        ("/x", 'app = "web"', ".internal: needs a folder"),
        ("= /x", 'folder = "x"', ".internal: needs a path below /, such as /protected"),
        ("~ x", 'folder = "x"', ".internal: needs a path below /, such as /protected"),
        (
            "/x",
            'folder = "x", match = {method = "GET"}',
            ".internal: cannot be used in a route with match",
        ),
        *(
            (
                "/x",
                f'folder = {{path = "x", {key} = {value}}}',
                f".folder.{key}: cannot be used with internal",
            )
            for key, value in {
                "spa": "true",
                "clean_urls": "true",
                "listing": "true",
                "expires": 5,
            }.items()
        ),
    ],
)
def test_an_internal_route_is_a_folder_below_a_path(key, route, problem):
    found = problems_of(f'{FILE}"{key}" = {{internal = true, {route}}}')
    assert f'sites."a.test".routes."{key}"{problem}' in found


@pytest.mark.parametrize(
    ("server", "ignored"),
    [
        *(("127.0.0.1:80", 0), ("unix:/run/a.sock", 0), ("[::1]:80", 0), ("localhost:80", 0)),
        *(("10.0.0.1:80", 3), ("b.test:80", 3)),
    ],
)
def test_a_server_elsewhere_opens_nothing(server, ignored):
    file = f'upstreams.old.servers = ["{server}"]\nsites."a.test".upstream = "old"'
    assert nginx_conf(file).count("proxy_ignore_headers X-Accel-Redirect;") == ignored
