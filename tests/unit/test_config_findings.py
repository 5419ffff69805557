from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.config.findings import Draft, Finding, did_you_mean, nearest, path_text
from portico.core.model.document import Document


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "the file"),
        (("apps", "web", "instances"), "apps.web.instances"),
        (("sites", "a.test", "aliases", 0), 'sites."a.test".aliases[0]'),
        (("sites", "a.test", "routes", "/api", "app"), 'sites."a.test".routes."/api".app'),
        (("sites", 'a"b'), 'sites."a\\"b"'),
        (("sites", "münchen.example"), 'sites."münchen.example"'),
        (("a", "", 1, 2, "b-c_d"), 'a.""[1][2].b-c_d'),
    ],
)
def test_a_place_is_written_as_the_operator_writes_it(path, text):
    assert path_text(path) == text


keys = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters='"\\'), max_size=9
)


@given(st.lists(keys, min_size=1, max_size=4))
def test_every_key_can_be_copied_from_a_message_into_the_file(path):
    table = tomllib.loads(f"{path_text(tuple(path))} = 1")
    for key in path:
        table = table[key]
    assert table == 1


def test_a_finding_says_where_what_and_what_to_do():
    finding = Finding(("apps", "web", "x"), "unknown key", did_you_mean("y"))
    assert str(finding.problem()) == 'apps.web.x: unknown key (did you mean "y"?)'
    assert did_you_mean(None) is None


def test_the_nearest_name_is_near():
    assert nearest("wep", ["api", "web"]) == "web"
    assert nearest("wep", ["other"]) is None


def test_doubts_are_about_what_was_left_out():
    draft = Draft.of(Document(), [("apps", "web", "env", "A"), ("sites", "a.test")])

    assert draft.may_be_set(("apps", "web"), "env")
    assert not draft.may_be_set(("apps", "web"), "command")
    assert draft.may_be_set(("sites", "a.test"), "app")
    assert draft.may_be_set(("sites",), "a.test")
    assert not draft.may_be_set(("sites",), "b.test")
    assert not Draft(Document()).may_be_set((), "apps")
    assert Draft.of(Document(), [()]).may_be_set(("apps", "web"))
