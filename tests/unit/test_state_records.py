from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.state.records import (
    INSTANCE,
    REVISION,
    SPEC,
    app_from_json,
    app_to_json,
    from_json,
    to_json,
)
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.records import AppRecord, Revision
from portico.errors import Failed

texts = st.text(st.characters(codec="utf-8"), max_size=20)
seconds = st.floats(0, 1e10)
processes = st.builds(Process, pid=st.integers(1, 1 << 22), started=seconds)
instances = st.builds(
    Instance,
    id=texts,
    app=texts,
    slot=st.integers(0, 1000),
    spec=texts,
    port=st.integers(1, 65535),
    state=st.sampled_from(InstanceState),
    since=seconds,
    process=st.none() | processes,
    spawned=seconds,
    restarts=st.integers(0, 9),
    crashes=st.integers(0, 9),
    retry_at=seconds,
    reason=texts,
)
apps = st.sampled_from(
    [
        {"command": ["node", "index.js"], "health": "/healthz"},
        {"script": "a.py", "balance": "hash $cookie_user consistent", "env": {"A": 1, "B": True}},
        {"command": "x", "sticky": {"cookie": "c", "expires": "1h"}, "health": {"interval": "2s"}},
        {"command": "x", "instances": "max", "slots": {"1": {"weight": 3}}, "logs": {"keep": 0}},
    ]
).map(lambda table: App.model_validate_json(json.dumps(table)))
specs = st.builds(
    Spec, id=texts, app_name=texts, app=apps, folder=texts, environ=st.dictionaries(texts, texts)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)
revisions = st.builds(
    Revision,
    applied=seconds,
    document=st.dictionaries(texts, values),
    environ=st.dictionaries(texts, texts),
)


@given(instances)
def test_an_instance_is_read_as_it_was_written(instance):
    assert from_json(INSTANCE, to_json(INSTANCE, instance)) == instance


@given(revisions)
def test_a_revision_is_read_as_it_was_written(revision):
    assert from_json(REVISION, to_json(REVISION, revision)) == revision


@given(specs, st.none() | specs, st.booleans())
def test_an_app_is_read_as_it_was_written_with_its_specs_kept_apart(target, good, stopped):
    good = target if good and good.id == target.id else good
    record = AppRecord("web", target, good, stopped=stopped)
    kept = {spec.id: from_json(SPEC, to_json(SPEC, spec)) for spec in (target, good) if spec}

    text = app_to_json(record)

    assert "command" not in text
    assert app_from_json(text, kept) == record


def test_a_record_that_cannot_be_read_is_named_with_what_to_do():
    spec = Spec("1", "web", App(command="x"), "/srv", {})
    text = to_json(SPEC, spec).replace('"instances":1', '"instances":0')

    with pytest.raises(Failed, match=r"app\.instances.*nothing was changed. Run that version"):
        from_json(SPEC, text)
