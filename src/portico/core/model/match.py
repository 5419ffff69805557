"""What a request must have for a route that others share their path with. Tables `match`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from portico.core.model.units import Kind, Table

MatchText = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]*$"),
    Kind('one line of text, or "~ regex"'),
]
MatchValue = bool | MatchText
"""Whether there is one at all, or what it is."""
Method = Annotated[str, Field(pattern=r"^[A-Z]+$"), Kind('a method such as "POST"')]
_NAME = r"^[A-Za-z0-9-]+$"
_COOKIE = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_ARGUMENT = r"^[^\x00-\x20\x7f&=#]+$"


class Match(Table):
    """Conditions that a request must all fulfil. A value is compared exactly; `"~ regex"` and
    `"~* regex"` (any case) are regular expressions, `true` is any value and `false` none. Of
    several cookies or arguments with the name the first one counts.
    """

    method: Method | tuple[Method, ...] = Field(
        (), description="One of these methods; GET includes HEAD."
    )
    header: dict[
        Annotated[str, Field(pattern=_NAME), Kind("the name of a header, without _")], MatchValue
    ] = Field(
        default_factory=dict,
        description='Headers and their values; several of one name are joined by ", ".',
    )
    cookie: dict[
        Annotated[str, Field(pattern=_COOKIE), Kind("the name of a cookie")], MatchValue
    ] = Field(default_factory=dict, description="Cookies and their values.")
    query: dict[
        Annotated[str, Field(pattern=_ARGUMENT), Kind("the name of an argument")], MatchValue
    ] = Field(
        default_factory=dict,
        description="Arguments of the query and their values, as the client encodes them; `?name` "
        "has an empty value.",
    )

    @property
    def methods(self) -> tuple[str, ...]:
        named = (self.method,) if isinstance(self.method, str) else self.method
        return tuple(dict.fromkeys((*named, *(("HEAD",) if "GET" in named else ()))))

    @property
    def values(self) -> tuple[tuple[str, str, bool | str], ...]:
        """Each with the key of its table and its name."""
        tables = {"header": self.header, "cookie": self.cookie, "query": self.query}
        return tuple((key, n, v) for key, table in tables.items() for n, v in table.items())
