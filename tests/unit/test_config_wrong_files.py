"""Wrong files in great number: each is refused, and the key that is wrong is named."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portico.core.config.findings import Path, path_text
from tests.documents import full, places, problems_of
from tests.examples import examples

NEVER: list[Any] = [{"zz z": [[]]}, [[[]]]]  # no key, table or list of a file may be like these
JARGON = re.compile(
    r"pydantic|Input|should be|valid |(?<!failed_)(?<!re)validat|constrained|None|literal|tuple|"
    r"dict"
)
FREE = {  # tables whose keys the operator names
    "apps", "upstreams", "sites", "env", "slots", "routes", "headers", "request_headers",
    "error_pages", "users",
}  # fmt: skip
MAY_BE_TEXT = {"command", "args", "folder", "include", "watch"}
EVERYWHERE = [(path, value) for path, value in places(full()) if path]


@given(st.data())
@examples(60)
def test_whatever_is_wrong_with_a_file_is_named_by_its_key(data):
    table = full()
    path = _spoil(table, data)
    problems = problems_of(table)
    assert any(_names(path, problem) for problem in problems), (path_text(path), problems)
    assert not any(JARGON.search(_told(problem)) for problem in problems), problems


@given(st.data())
@examples(25)
def test_no_mistake_hides_another(data):
    table = full()
    parts = data.draw(st.lists(st.sampled_from(PARTS), min_size=2, max_size=4, unique=True))
    apart = [_spoil(table, data, within=part) for part in parts]
    problems = problems_of(table)
    for path in apart:
        assert any(_names(path, problem) for problem in problems), (path_text(path), problems)


PARTS: list[Path] = [
    *((kind, name) for kind in ("apps", "upstreams", "sites") for name in full()[kind]),
    ("tls",),
    ("edge",),
]


def _spoil(table: dict[str, Any], data: st.DataObject, within: Path = ()) -> Path:
    """Make one thing wrong; return where."""
    inside = [(path, value) for path, value in EVERYWHERE if path[: len(within)] == within]
    path, value = data.draw(st.sampled_from(inside))
    kinds = [_unlike_anything]
    may_be_text = MAY_BE_TEXT.intersection(path[-1:]) or path[-2:-1] in {("servers",), ("query",)}
    if isinstance(value, dict) and not FREE.intersection(path[-1:]):
        kinds.append(_unknown_key)
    if not isinstance(value, str) and not may_be_text and "env" not in path:
        kinds.append(_text_instead)
    if type(value) is int and "env" not in path:
        kinds.append(_out_of_range)
    return data.draw(st.sampled_from(kinds))(table, path, data)


def _unlike_anything(table: dict[str, Any], path: Path, data: st.DataObject) -> Path:
    _put(table, path, data.draw(st.sampled_from(NEVER)))
    return path


def _unknown_key(table: dict[str, Any], path: Path, data: st.DataObject) -> Path:
    key = data.draw(
        st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32), min_size=1)
    )
    return _put(table, (*path, f"{key}?"), data.draw(st.sampled_from([1, "x", True, [], {}])))


def _text_instead(table: dict[str, Any], path: Path, data: st.DataObject) -> Path:
    return _put(table, path, data.draw(st.sampled_from(["many", "4 of them", "\x01", "yes"])))


def _out_of_range(table: dict[str, Any], path: Path, data: st.DataObject) -> Path:
    far = st.integers(max_value=-1) | st.integers(min_value=1 << 60)
    return _put(table, path, data.draw(far))


def _put(table: dict[str, Any], path: Path, value: Any) -> Path:
    inner: Any = table
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return path


def _names(path: Path, problem: str) -> bool:
    return problem.startswith(tuple(path_text(path) + end for end in ":.["))


def _told(problem: str) -> str:
    """What is said in our words, without what the file says."""
    return re.sub(r'"(\\.|[^"\\])*"', "", problem)
