"""What one line of the API's table says, and what a handler gets to see of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from portico.core.model.views import View
from portico.engine.control import Control

Body = TypeVar("Body", bound=View)
Given = View | str | Sequence[View] | AsyncIterator[View]


class Nothing(View):
    """The body of a request whose path says everything."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Body]):
    """One request that has been let in and read."""

    control: Control
    who: str
    """`root (pid 4711)`, as the system names the other end of the socket."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class Resource(Generic[Body]):
    """One line of the table: what may be asked, what it takes and what it gives."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    says: str
    handle: Callable[[Call[Body]], Awaitable[Given]]
    takes: type[Body]
    gives: type[View]
    shape: Literal["one", "list", "stream", "text"] = "one"
    """A stream is one JSON value a line, as long as the connection holds; a text is no JSON."""
    status: int = 200
    query: Mapping[str, str] = field(default_factory=dict)
    """Name to description."""

    @property
    def name(self) -> str:
        return self.handle.__name__
