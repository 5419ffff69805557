from __future__ import annotations

import pytest

from portico.errors import ConfigError
from portico.importers.sites import served_apps, with_site

WEB, WORKER = {"script": "a.js", "port": 3000}, {"script": "b.js", "port": False}


def chosen(table, asked="app.localhost"):
    return with_site(table, asked, "x.js")["sites"]["app.localhost"]


@pytest.mark.parametrize(
    ("table", "target"),
    [
        ({"apps": {"web": WEB}}, {"app": "web"}),
        ({"apps": {"worker": WORKER}}, {"app": "worker"}),
        ({"apps": {"web": WEB, "worker": WORKER}}, {"app": "web"}),
        (
            {"apps": {"s-1": WEB, "s-2": WEB}, "upstreams": {"s": {"apps": ["s-1", "s-2"]}}},
            {"upstream": "s"},
        ),
    ],
)
def test_a_site_shows_the_one_thing_that_listens(table, target):
    assert chosen(table) == target


def test_where_several_could_be_meant_the_choices_are_named():
    table = {"apps": {"api": WEB, "web": WEB, "s-1": WEB}, "upstreams": {"s": {"apps": ["s-1"]}}}
    with pytest.raises(ConfigError) as caught:
        chosen(table)
    assert str(caught.value.problems[0]) == (
        "--site: its target is required (possible: --site app.localhost=s, app.localhost=api, "
        "app.localhost=web)"
    )
    assert chosen(table, "app.localhost=web") == {"app": "web"}
    with pytest.raises(ConfigError, match="there is no app or upstream s-9"):
        chosen(table, "app.localhost=s-9")


def test_a_site_of_the_file_is_not_written_over():
    table = {"apps": {"web": WEB}, "sites": {"app.localhost": {"app": "web"}}}
    with pytest.raises(ConfigError, match="already a site of the file"):
        chosen(table)
    assert with_site(table, "b.localhost", "x")["sites"].keys() == {"app.localhost", "b.localhost"}


def test_apps_are_served_by_sites_their_routes_and_their_upstreams():
    table = {
        "apps": dict.fromkeys("abcdef", WEB),
        "upstreams": {"u": {"apps": ["d"]}, "unused": {"apps": ["f"]}},
        "sites": {
            "x": {"app": "a", "routes": {"/b": "b", "/c": {"app": "c"}, "/u": {"upstream": "u"}}},
            "y": {"folder": "e"},
        },
    }
    assert served_apps(table) == set("abcd")


@pytest.mark.parametrize(
    "table", [{}, {"sites": 1}, {"sites": {"x": 1}}, {"sites": {"x": {"app": 1, "routes": 2}}}]
)
def test_nonsense_is_left_to_the_validator(table):
    assert served_apps(table) == set()
