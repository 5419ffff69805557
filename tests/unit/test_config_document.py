from __future__ import annotations

import datetime as dt
import functools
import gc
import json
import operator
import time

import pytest

from portico.core.config.document import Document, read_document
from portico.core.config.shapes import fields_of
from portico.errors import ConfigError
from tests.documents import full, places, problems_of, read

SMALLEST = {"apps": {"web": {"command": "node index.js"}}, "sites": {"a.test": {"app": "web"}}}


def test_the_smallest_file_is_enough():
    document = read_document(SMALLEST, source="portico.toml")
    assert document.apps["web"].command == "node index.js"
    assert document.sites["a.test"].app == "web"


def test_an_empty_file_is_a_sound_one():
    assert read_document({}, source="portico.toml") == Document()


def test_the_full_file_of_these_tests_sets_every_key_there_is():
    tables = list(_tables(read_document(full(), source="x")))
    known = {_owner(type(table), key) for table in tables for key in fields_of(type(table))}
    in_file = {_owner(type(table), key) for table in tables for key in table.model_fields_set}

    assert len(known) > 100
    assert known == in_file


def _owner(table, key):
    """The class that a key of a table comes from."""
    return next(t.__name__ for t in table.__mro__ if key in t.__annotations__), key


def _tables(value):
    if isinstance(value, dict):
        value = value.values()
    elif hasattr(value, "model_fields_set"):
        yield value
        value = [getattr(value, key) for key in type(value).model_fields]
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for inner in value:
            yield from _tables(inner)


def test_what_was_read_can_be_kept_as_json_and_read_again():
    document = read_document(full(), source="portico.toml")
    kept = json.loads(json.dumps(document.model_dump(mode="json")))

    assert read_document(kept, source="revision 1") == document


def test_reading_changes_nothing_of_what_it_was_given():
    table = full() | {"wrong": 1}
    before = json.dumps(table)
    with pytest.raises(ConfigError):
        read_document(table, source="portico.toml")
    assert json.dumps(table) == before


def test_all_problems_of_a_file_are_told_at_once():
    wrong = """
        [apps.web]
        comand = "node index.js"
        instances = 0

        [apps.api]
        command = "node api.js"
        script = "api.js"

        [sites."app.localhost"]
        app = "wep"
        gzipp = true

        [edge]
        http = 8080
        https = 8080
        """
    with pytest.raises(ConfigError) as caught:
        read(wrong)
    assert str(caught.value).splitlines() == [
        "cannot use portico.toml: 6 problems; nothing was changed",
        "  apps.web.instances: must be between 1 and 1000, not 0",
        '  apps.web.comand: unknown key (did you mean "command"?)',
        '  sites."app.localhost".gzipp: unknown key (did you mean "gzip"?)',
        "  apps.api: has a command and a script; set only one",
        '  sites."app.localhost".app: there is no app "wep" (did you mean "web"?)',
        "  edge.https: overlaps with edge.http: both would have port 8080",
    ]


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        # what a misspelt or wrong key would have said is not asked for a second time
        (
            'apps.web.comand = "x"',
            ['apps.web.comand: unknown key (did you mean "command"?)'],
        ),
        ("apps.web.command = 5", ["apps.web.command: must be text or a list, not 5"]),
        (
            'app.web.command = "x"\nsites."a.test".app = "web"',
            ['app: unknown key (did you mean "apps"?)'],
        ),
        (
            'apps.web = "x"\nsites."a.test".app = "web"',
            ['apps.web: must be a table, not "x"'],
        ),
        (
            'sites."a.test" = { certificate = "a.pem", kye = "a.key", folder = "x" }',
            ['sites."a.test".kye: unknown key (did you mean "key"?)'],
        ),
        # an unrelated unknown key hides nothing
        (
            "apps.web.zzz = 5",
            ["apps.web.zzz: unknown key", "apps.web: needs a command or a script"],
        ),
        # the part that is right is looked at although another part is wrong
        (
            """
            apps.web = { command = "x", port = 3000, instances = 2, env = 5 }
            apps.api = { command = "x", port = 3001 }
            """,
            [
                "apps.web.env: must be a table, not 5",
                "apps.api.port: overlaps with apps.web.port: both would have port 3001",
            ],
        ),
    ],
)
def test_one_mistake_is_told_once(toml, problems):
    assert problems_of(toml) == problems


def test_two_spellings_of_a_domain_are_one_site_and_are_told_as_written():
    assert problems_of(
        """
        [sites."App.Localhost"]
        folder = "a"
        [sites."app.localhost."]
        app = "x"
        """
    ) == [
        'sites."app.localhost.": is the same as sites."App.Localhost"',
        'sites."app.localhost.".app: there is no app "x"',
    ]


def test_a_date_counts_as_text():
    table = {"apps": {"web": {"command": "x", "env": {"DAY": dt.date(2026, 1, 2)}}}}
    assert read_document(table, source="x").apps["web"].env == {"DAY": "2026-01-02"}


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
def test_text_that_no_system_can_hold_is_refused_wherever_it_is(bad):
    table = full()
    texts = [path for path, value in places(table) if isinstance(value, str)]
    for *folder, key in texts:
        functools.reduce(operator.getitem, folder, table)[key] = bad
    refused = [problem for problem in problems_of(table) if "contains NUL or" in problem]
    assert len(refused) == len(texts)


def test_a_name_that_no_system_can_hold_is_refused():
    assert problems_of({"apps": {"w\0b": {"command": "x"}}}) == [
        'apps."w\\u0000b": is not a valid name: it contains NUL or an unpaired surrogate'
    ]


@pytest.mark.parametrize(
    ("depth", "where"), [(60, "edge.a.a"), (250, "edge.a.a"), (100_000, "the file")]
)
def test_a_file_without_a_bottom_is_refused(depth, where):
    table: dict[str, object] = {}
    for _ in range(depth):
        table = {"a": table}
    assert f"{where}: is nested too deeply" in problems_of({"edge": table})


def test_a_number_beyond_all_measure_is_refused():
    assert problems_of({"apps": {"web": {"command": "x", "instances": 10**400}}}) == [
        f"apps.web.instances: must be between 1 and 1000, not 1{'0' * 59}..."
    ]
    (problem,) = problems_of({"apps": {"web": {"command": "x", "instances": 1 << 20000}}})
    assert problem.startswith("the file: contains a value that cannot be read")


@pytest.mark.slow
def test_the_time_to_read_grows_as_the_file_does():
    small, large = (_fastest(count) for count in (400, 2000))

    assert large < 15 * small  # five times the file; 25 times where it is quadratic
    assert large < 1


def _fastest(sites: int) -> float:
    """Processor time of the better of two readings."""
    table = {
        "apps": {"web": {"command": "x", "instances": 4}},
        "sites": {
            f"s{n}.example.com": {
                "app": "web",
                "aliases": [f"www.s{n}.example.com"],
                "headers": {"X-Frame-Options": "DENY"},
                "routes": {"/static": {"folder": "public"}, "/old": {"redirect": "/new"}},
            }
            for n in range(sites)
        },
    }
    times = []
    for _ in range(2):
        gc.collect()
        start = time.process_time()
        read_document(table, source="portico.toml")
        times.append(time.process_time() - start)
    return min(times)
