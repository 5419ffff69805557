"""What each key may hold, read from the types of the model and said in an operator's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from portico.core.model.units import Kind, Table
from portico.core.model.value_text import value_text

_WORDS: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What one key, or one element of a list, may hold."""

    words: str
    """Such as `a whole number`, `text or a table`."""
    takes: type = object
    """The Python type of the JSON value; `object` where a validator decides."""
    choices: tuple[object, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    secret: bool = False
    branches: tuple[Shape, ...] = ()
    """Of a union: one of these; each has a label."""
    label: str = ""
    """What pydantic calls a branch in the location of an error."""
    table: type[Table] | None = None
    keys: Shape | None = None
    """Of a table with free keys: what a key, and what a value is."""
    values: Shape | None = None
    """Of a table with free keys, or a list."""

    def branch_for(self, value: object) -> Shape | None:
        """The branch of a union that a JSON value was meant for; None if it fits none."""
        fitting = (b for b in self.branches if type(value) is b.takes)
        return next((b for b in fitting if not b.choices or value in b.choices), None)

    @property
    def bounds(self) -> str:
        """`between 1 and 1000`, `0.1 seconds or more`; empty if there are none."""
        unit = f" {self.unit}" if self.unit else ""
        match self.low, self.high:
            case None, None:
                return ""
            case low, None:
                return f"{low}{unit} or more"
            case None, high:
                return f"{high}{unit} or less"
            case low, high:
                return f"between {low} and {high}{unit}"


@cache
def fields_of(table: type[Table]) -> Mapping[str, Shape]:
    """The keys of a table, in the order of the model."""
    return {
        name: _shape(field.annotation, field.metadata)
        for name, field in table.model_fields.items()
    }


def alternatives(words: Iterable[str]) -> str:
    """Join alternatives: `a, b or c`."""
    *most, last = words
    if any(" or " in word for word in (*most, last)):
        return ", or ".join((*most, last))
    return f"{', '.join(most)} or {last}" if most else last


def _shape(annotation: object, metadata: Iterable[object] = ()) -> Shape:
    """`metadata` is what pydantic has taken off the annotation and put beside it."""
    base, marks = _unwrap(annotation)
    marks = [*marks, *_flatten(metadata)]
    kind = next((m for m in marks if isinstance(m, Kind)), Kind(""))
    if get_origin(base) in {Union, UnionType}:
        return _union(base, marks, kind)
    shape = _plain(base)
    return replace(
        shape,
        words=kind.text or shape.words,
        low=_limit(marks, "ge"),
        high=_limit(marks, "le"),
        unit=kind.unit,
        secret=kind.secret,
    )


def _unwrap(annotation: object) -> tuple[Any, list[object]]:
    if get_origin(annotation) is not Annotated:
        return annotation, []
    base, *marks = get_args(annotation)
    return base, list(_flatten(marks))


def _flatten(marks: Iterable[object]) -> Iterator[object]:
    for mark in marks:
        yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)


def _limit(marks: Iterable[object], name: str) -> float | None:
    return next((bound for m in marks if (bound := getattr(m, name, None)) is not None), None)


def _union(base: object, marks: list[object], kind: Kind) -> Shape:
    options = [option for option in get_args(base) if option is not NoneType]
    if len(options) == 1:
        return _shape(options[0], marks)
    branches = tuple(
        replace(_shape(option), label=TypeAdapter(option).validator.title) for option in options
    )
    return Shape(kind.text or alternatives(branch.words for branch in branches), branches=branches)


def _plain(base: Any) -> Shape:
    if isinstance(base, type) and issubclass(base, Table):
        return Shape("a table", dict, table=base)
    arguments = get_args(base)
    match get_origin(base) or base:
        case origin if origin is Literal:
            words = alternatives(value_text(choice) for choice in arguments)
            return Shape(words, type(arguments[0]), choices=arguments)
        case origin if origin is tuple:
            return Shape("a list", list, values=_shape(arguments[0]))
        case origin if origin is dict:
            return Shape("a table", dict, keys=_shape(arguments[0]), values=_shape(arguments[1]))
        case origin:
            return Shape(_WORDS.get(origin, "something else"), origin)
