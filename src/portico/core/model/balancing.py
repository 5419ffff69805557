"""How requests are spread over the peers of an upstream, in nginx's own words.

The grammar is that of nginx's directives, so that a line of an existing upstream can be
copied: `ip_hash`, `hash $request_uri consistent`, `least_time last_byte inflight`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from portico.core.model.units import Duration, Kind, Table
from portico.core.model.value_text import value_text


class Method(StrEnum):
    ROUND_ROBIN = "round_robin"
    LEAST_CONN = "least_conn"
    LEAST_TIME = "least_time"
    RANDOM = "random"
    HASH = "hash"
    IP_HASH = "ip_hash"


_WORDS: dict[Method, tuple[tuple[str, ...], ...]] = {
    # method: every list of words that may follow it (hash, with its key, is apart)
    Method.ROUND_ROBIN: ((),),
    Method.LEAST_CONN: ((),),
    Method.IP_HASH: ((),),
    Method.RANDOM: ((), ("two",), ("two", "least_conn")),
    Method.LEAST_TIME: (
        ("header",),
        ("header", "inflight"),
        ("last_byte",),
        ("last_byte", "inflight"),
    ),
}
_STREAM_WORDS = _WORDS | {
    Method.LEAST_TIME: tuple(
        (moment, *more)
        for moment in ("connect", "first_byte", "last_byte")
        for more in ((), ("inflight",))
    )
}
_METHOD = Kind(f"a balancing method ({', '.join(Method)})")
_METHODS = frozenset(method.value for method in Method)
_KEY = re.compile(r"([A-Za-z0-9_./:@%=&,?-]|\$[a-z][a-z0-9_]*|\$\{[a-z][a-z0-9_]*\})+")


@dataclass(frozen=True, slots=True)
class Balance:
    """A balancing method with its words: `("last_byte", "inflight")`, or a hash's key first."""

    method: Method = Method.ROUND_ROBIN
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: object) -> Balance:
        return cls._parse(value, _WORDS)

    @classmethod
    def parse_for_stream(cls, value: object) -> Balance:
        """As nginx's stream has them; ip_hash, which it has not, is a hash of the address."""
        return cls._parse(value, _STREAM_WORDS)

    @classmethod
    def _parse(
        cls, value: object, allowed_words: dict[Method, tuple[tuple[str, ...], ...]]
    ) -> Balance:
        if isinstance(value, Balance):
            return value
        first, *words = (value.rstrip("; ").split() if isinstance(value, str) else ()) or [""]
        if first not in _METHODS:
            raise ValueError(f"must be {_METHOD.text}, not {value_text(value)}")
        method = Method(first)
        if method is Method.HASH:
            return cls._hash(words)
        second = next((word for word in words if word in _METHODS), None)
        if second and (method, second) != (Method.RANDOM, Method.LEAST_CONN):
            raise ValueError(f"{first} and {second} are two methods; an upstream has one")
        if tuple(words) not in allowed_words[method]:
            allowed = (value_text(" ".join((first, *more))) for more in allowed_words[method])
            raise ValueError(f"must be {' or '.join(allowed)}, not {value_text(value)}")
        return cls(method, tuple(words))

    @classmethod
    def _hash(cls, words: list[str]) -> Balance:
        match words:
            case [key] | [key, "consistent"] if _KEY.fullmatch(key) and "$" in key:
                return cls(Method.HASH, tuple(words))
            case _:
                raise ValueError(
                    'hash needs one key with an nginx variable: "hash $request_uri" or "hash '
                    '$cookie_user consistent"'
                )

    @property
    def variables(self) -> tuple[str, ...]:
        """The nginx variables in a hash's key, without `$`."""
        key = self.words[0] if self.method is Method.HASH else ""
        return tuple(re.findall(r"\$\{?([a-z][a-z0-9_]*)", key))

    @property
    def is_keyed(self) -> bool:
        """Whether a key of the request chooses the peer."""
        return self.method in {Method.HASH, Method.IP_HASH}

    @property
    def has_backup(self) -> bool:
        """Whether nginx lets a peer be a backup under this method."""
        return self.method not in {Method.HASH, Method.IP_HASH, Method.RANDOM}

    def __str__(self) -> str:
        return " ".join((self.method, *self.words))


BalanceField = Annotated[
    Balance,
    PlainValidator(Balance.parse),
    PlainSerializer(str),
    _METHOD,
    WithJsonSchema(
        {
            "type": "string",
            "examples": [
                "round_robin",
                "least_conn",
                "least_time last_byte inflight",
                "ip_hash",
                "hash $request_uri consistent",
                "random two least_conn",
            ],
        }
    ),
]
StreamBalanceField = Annotated[
    Balance,
    PlainValidator(Balance.parse_for_stream),
    PlainSerializer(str),
    _METHOD,
    WithJsonSchema(
        {
            "type": "string",
            "examples": [
                "round_robin",
                "least_conn",
                "least_time connect inflight",
                "hash $remote_addr consistent",
                "random two least_conn",
            ],
        }
    ),
]


class Sticky(Table):
    """A cookie that keeps a client on the peer that answered first (nginx `sticky cookie`)."""

    cookie: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$"), Kind("a name of letters, digits, - and _")
    ] = Field("portico", description="The cookie's name.")
    expires: Duration | None = Field(
        None, ge=1, description="How long a browser keeps it; default: the browser session."
    )
    domain: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$"), Kind("a domain name")] | None
    ) = Field(None, description="The domain it is sent to; default: the site's own.")
    path: (
        Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]*$"), Kind('a path that starts with "/"')]
        | None
    ) = Field("/", description="The path it is sent with.")
    httponly: bool = Field(True, description="Hide it from scripts in the page.")
    secure: bool = Field(True, description="Send it over HTTPS only.")
    samesite: Literal["strict", "lax", "none"] | None = Field(
        "lax", description="Whether it is sent with cross-site requests."
    )
