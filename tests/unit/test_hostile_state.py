"""Whatever the files of state hold, a daemon reads what it can and says what it cannot."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.certificates.index import index_text, read_index, valid_files
from portico.adapters.nginx.generations import Generations
from portico.adapters.nginx.processes import Master
from portico.adapters.state.records import (
    ENTRY,
    INSTANCE,
    MEMORY,
    REVISION,
    SPEC,
    app_from_json,
    from_json,
)
from portico.adapters.state.sqlite import SqliteState
from portico.core.model.event import EventFilter
from portico.errors import Failed
from tests.examples import examples

numbers = st.integers() | st.just(10**30) | st.floats(allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
json_texts = values.map(json.dumps)
DEEP = "[" * 100_000
texts = st.text(max_size=30) | json_texts | st.just(DEEP)
contents = st.binary(max_size=60) | texts.map(str.encode)


def read_all(state):
    """What a daemon reads when it begins."""
    for read in (state.revisions, state.apps, state.instances, state.specs, state.renewal_states):
        with suppress(Failed):
            read()
    with suppress(Failed):
        state.ledger_since(0)
    state.events(EventFilter(), 10)
    state.setting("in_force")


@pytest.mark.parametrize("kind", [SPEC, INSTANCE, REVISION, MEMORY, ENTRY], ids=repr)
@examples(25)
@given(text=texts)
def test_a_record_of_any_text_is_read_or_said_to_be_unreadable(kind, text):
    with suppress(Failed):
        from_json(kind, text)


@given(texts | st.builds(lambda v: json.dumps({"target": v, "good": v, "name": "a"}), values))
def test_an_app_of_any_text_is_read_or_said_to_be_unreadable(text):
    with pytest.raises(Failed, match="an earlier Portico"):
        app_from_json(text, {})


@examples(30)
@given(st.binary(max_size=200) | st.binary(max_size=100).map(b"SQLite format 3\0".__add__))
def test_a_database_of_any_bytes_is_opened_or_put_aside(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("state")
    (folder / "portico.db").write_bytes(content)
    with closing(SqliteState(folder / "portico.db")) as state:
        read_all(state)


@examples(30)
@given(
    st.sampled_from(["revision", "spec", "app", "instance", "setting", "memory", "ledger"]),
    st.binary(max_size=20) | st.none() | st.integers(-(2**63), 2**63 - 1) | texts,
)
def test_rows_of_any_value_are_read_or_said_to_be_unreadable(tmp_path_factory, table, value):
    path = tmp_path_factory.mktemp("state") / "portico.db"
    SqliteState(path).close()
    with closing(sqlite3.connect(path)) as db:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        marks = ",".join("?" * len(columns))
        row = [1 if name == "number" else value for name in columns]
        with suppress(sqlite3.Error):  # what the tables refuse by themselves
            db.execute(f"INSERT INTO {table} VALUES ({marks})", row)
            db.commit()
    with closing(SqliteState(path)) as state:
        read_all(state)


cells = st.none() | st.integers() | st.text(max_size=5) | json_texts
saved = st.builds(
    lambda tables: json.dumps({"version": 1, "tables": tables}),
    st.dictionaries(
        st.sampled_from(["revision", "spec", "app", "setting", "instance", "serial", "x"]),
        st.lists(st.lists(cells, max_size=4), max_size=2),
    ),
)


@examples(40)
@given(saved.map(str.encode) | contents, saved.map(str.encode) | contents)
def test_side_files_of_any_bytes_let_a_daemon_begin(tmp_path_factory, in_force, instances):
    folder = tmp_path_factory.mktemp("state")
    (folder / "in-force.json").write_bytes(in_force)
    (folder / "instances.json").write_bytes(instances)
    with closing(SqliteState(folder / "portico.db")) as state:
        assert len(state.troubles) == 1
        state.revisions()
        state.apps()
        state.instances()


@examples(40)
@given(
    contents
    | st.builds(lambda v: json.dumps({"generation": v, "pid": 1, "started": v}).encode(), values),
    contents
    | st.builds(
        lambda v: json.dumps({"number": v, "fingerprint": "a", "program": v}).encode(), values
    ),
    st.text(max_size=8).filter(lambda t: t not in {"", ".", ".."} and not set(t) & {"/", "\0"}),
)
def test_what_is_noted_of_generations_may_be_anything(tmp_path_factory, serving, about, link):
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "serving.json").write_bytes(serving)
    for number in ("000000", "000001"):
        (folder / "generations" / number).mkdir(parents=True)
        (folder / "generations" / number / "generation.json").write_bytes(about)
    with suppress(OSError, UnicodeError):
        (folder / "current").symlink_to(f"generations/{link}")
    generations = Generations(folder)
    generations.served_generation()
    generations.current()
    generations.read(1)
    generations.prune()


@given(contents | st.integers().map(lambda n: str(n).encode()) | st.just(b"9" * 5000))
def test_a_pid_file_of_any_bytes_names_no_master(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("nginx") / "nginx.pid"
    file.write_bytes(content)
    assert Master.from_pid_file(file) is None


@examples(40)
@given(contents | st.dictionaries(st.text(max_size=3), values).map(json.dumps).map(str.encode))
def test_an_index_of_any_bytes_is_no_certificate(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "_index.json").write_bytes(content)
    assert valid_files(folder, {"a": ["a"]}, 5.0) == {}


@examples(40)
@given(
    st.fixed_dictionaries(
        {"names": values | st.just(["a"]), "good_from": values, "renew_at": values}
        | {"generation": values}
    )
)
def test_an_index_with_entries_of_any_shape_is_no_certificate(tmp_path_factory, entry):
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "authority").mkdir()
    (folder / "authority" / "root.pem").write_bytes(b"root")
    (folder / "_index.json").write_bytes(index_text(folder, {"a": entry}))
    read_index(folder)
    assert valid_files(folder, {"a": ["a"]}, 5.0) == {}
