"""What the API does with a verb: the method of the engine that is called, and with what."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from portico.core.model import (
    certificate_views,
    cluster_views,
    member_views,
    nginx_views,
    requests,
    traffic_views,
    views,
)
from portico.core.model.event import Requester
from portico.core.model.verb import Verb
from portico.core.model.views import View

VIEWS: Final[Mapping[str, type[View]]] = {
    name: each
    for module in (
        requests,
        views,
        certificate_views,
        cluster_views,
        member_views,
        nginx_views,
        traffic_views,
    )
    for name, each in vars(module).items()
    if isinstance(each, type) and issubclass(each, View)
}
"""What rows of verbs name as requests and answers."""

Result = View | str | Sequence[View] | AsyncIterator[View]


class EmptyBody(View):
    """The body of a request whose path says everything."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the engine, called by the names of what is in the path, the query and the body.

    It is told `who` asked, as the system names the other end of the socket, if it wants to know,
    and gets the body whole as `request`, or else its fields.
    """

    verb: Verb[Any]
    body: type[View]

    @classmethod
    def of(cls, verb: Verb[Any]) -> Call:
        return cls(verb, VIEWS[verb.request] if verb.request else EmptyBody)

    async def __call__(
        self,
        operations: object,
        who: Requester,
        path: Mapping[str, str],
        query: Mapping[str, str],
        body: View,
    ) -> Result:
        method = getattr(operations, self.verb.name)
        known: dict[str, object] = dict.fromkeys(self.verb.parameters)
        known |= {name: query.get(name) for name in self.verb.query}
        known |= {**path, **dict(body), "who": who, "request": body}
        wanted = inspect.signature(method).parameters
        result = method(**{name: known[name] for name in wanted})
        return await result if inspect.isawaitable(result) else result  # type: ignore[no-any-return]  # of the verb's answer


def answer_model(verb: Verb[Any]) -> type[View]:
    """`EmptyBody` for text."""
    if verb.answer == "str":
        return EmptyBody
    return VIEWS.get(verb.answer) or _machine_view(verb.answer)


def _machine_view(name: str) -> type[View]:
    """Only a daemon of a cluster has use for them, and the description of the API."""
    from portico.core.model import machine_views  # noqa: PLC0415

    found: type[View] = getattr(machine_views, name)
    return found
