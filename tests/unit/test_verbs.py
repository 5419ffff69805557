"""One row is all that a verb needs beside the method that does it."""

from __future__ import annotations

import inspect

import pytest

from portico.api.calls import VIEWS, answer_model
from portico.core.model.verbs import VERBS
from portico.engine.control.operations import Operations


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_its_method_takes_what_the_request_has(verb):
    method = inspect.signature(getattr(Operations, verb.name)).parameters
    body = set(VIEWS[verb.request].model_fields) if verb.request else set()
    given = {*verb.parameters, *verb.query, *body, "who", "request"}
    assert set(method) - {"self"} <= given
    assert "request" in method or body <= set(method)
    assert verb.answer == "str" or answer_model(verb).__name__ == verb.answer


@pytest.mark.parametrize("verb", [v for v in VERBS if v.group], ids=lambda verb: verb.name)
def test_what_its_command_takes_goes_into_the_path_or_the_body(verb):
    body = VIEWS[verb.request].model_fields if verb.request else {}
    assert {argument.name for argument in verb.arguments} == {*verb.parameters, *body}
    for argument in verb.arguments:
        may_be_missing = f"[{{{argument.name}}}" in verb.path or (
            argument.name in body and not body[argument.name].is_required()
        )
        assert argument.is_optional == may_be_missing


def test_no_two_have_one_name_or_one_path():
    names = [verb.name for verb in VERBS]
    routes = [(verb.method, path) for verb in VERBS for path, _ in verb.paths]
    assert len(set(names)) == len(names)
    assert len(set(routes)) == len(routes)
