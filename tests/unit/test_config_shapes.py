from __future__ import annotations

import pytest

from portico.core.config.shapes import alternatives, fields_of
from portico.core.model.app import App, Check
from portico.core.model.site import Redirect, Site
from portico.core.model.upstream import Upstream


@pytest.mark.parametrize(
    ("table", "key", "words", "bounds"),
    [
        (App, "script", "a path", ""),
        (App, "instances", 'a whole number or "max"', ""),
        (App, "batch", "a whole number", "between 1 and 1000"),
        (App, "autostart", "true or false", ""),
        (App, "sticky", "true or false, or a table", ""),
        (App, "env", "a table", ""),
        (
            Check,
            "interval",
            'a duration such as "30s", "5m" or a number of seconds',
            "0.1 seconds or more",
        ),
        (Redirect, "status", "301, 302, 303, 307 or 308", ""),
        (Site, "aliases", "a list", ""),
    ],
)
def test_what_a_key_may_hold_in_words(table, key, words, bounds):
    shape = fields_of(table)[key]
    assert (shape.words, shape.bounds) == (words, bounds)


def test_the_branch_of_a_union_is_found_by_the_value():
    health = fields_of(App)["health"]
    text, table = health.branches

    assert health.branch_for("/healthz") is text
    assert health.branch_for({}) is table
    assert health.branch_for(5) is None
    assert fields_of(App)["instances"].branch_for("four") is None
    assert fields_of(App)["instances"].branch_for(True) is None


def test_lists_and_tables_know_what_is_in_them():
    servers = fields_of(Upstream)["servers"]
    assert servers.values is not None
    assert servers.values.table is not None
    env = fields_of(App)["env"]
    assert env.keys is not None
    assert env.keys.words == "a name of letters, digits and _ that does not start with a digit"


def test_alternatives_are_joined_so_that_they_can_be_told_apart():
    assert alternatives(["a"]) == "a"
    assert alternatives(["a", "b", "c"]) == "a, b or c"
    assert alternatives(["a or b", "c"]) == "a or b, or c"
