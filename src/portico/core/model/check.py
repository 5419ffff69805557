"""A check: how Portico asks an instance whether it is well. Tables `[apps.NAME.health]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from portico.core.model.headers import HeaderName, HeaderValue
from portico.core.model.units import Duration, Kind, Table, Words

MAX_PROBE_TIME: Final = 5.0
"""Seconds, where no timeout is set."""
CheckPath = Annotated[str, Field(pattern=r"^/[!-~]*$"), Kind('a path that starts with "/"')]
_Times = Annotated[int, Field(ge=1, le=1000)]


def parse_body(text: str) -> str:
    """Text to find, or `~` and a regular expression (as Python's `re` has them)."""
    if text.startswith("~"):
        import regex  # noqa: PLC0415 - 2 MB, and rarely used

        try:
            regex.compile(text[1:].strip())
        except (regex.error, RecursionError, OverflowError) as error:
            raise ValueError(f"is not a regular expression: {error}") from None
    return text


class HttpRequest(Table):
    """What an HTTP check requests, and which answers are good."""

    path: CheckPath | None = Field(None, description="HTTP path to request.")
    method: Literal["GET", "HEAD"] = Field("GET", description="HTTP method of the request.")
    host: Annotated[str, Field(pattern=r"^[!-~]+$"), Kind("a host name")] | None = Field(
        None, description="The Host header to send."
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Other headers to send."
    )
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = Field(
        (), description="Status codes that count as good; default: 200 to 399."
    )
    body: Annotated[str, AfterValidator(parse_body), Field(min_length=1), Kind("text")] | None = (
        Field(
            None,
            description="Text that the first 256 KiB of the answer must contain; with a leading "
            "~, a regular expression.",
        )
    )


class Check(HttpRequest):
    """The health check of an instance, before it gets requests and while it runs. With `path` it
    is an HTTP check; `command` and `grpc` are other kinds. Without any of them a TCP connection
    is enough.
    """

    # what else may be asked
    command: Words | None = Field(
        None,
        description="Program to run in the environment of the instance, instead of a request to "
        "its port; exit code 0 is good.",
    )
    grpc: (
        bool
        | Annotated[
            str, Field(pattern=r"^[A-Za-z0-9_./-]{1,100}$"), Kind("the name of a gRPC service")
        ]
    ) = Field(
        False,
        description="Use grpc.health.v1; true for the whole server, or the name of a service.",
    )

    # when, and what follows
    interval: Duration = Field(
        5.0,
        ge=0.1,
        description="Time between two probes of an instance. It is shorter while an answer is "
        "more than a second late, so that a hung program gets no requests after fall intervals "
        "and a second.",
    )
    timeout: Duration | None = Field(
        None,
        ge=0.01,
        description="A probe that takes longer has failed; default: the interval, at most 5s.",
    )
    rise: _Times = Field(1, description="Good probes in a row before an instance gets requests.")
    fall: _Times = Field(
        3, description="Failed probes in a row before an instance gets no more requests."
    )
    grace: Duration = Field(
        0.0, description="Time after its start in which failed probes of an instance do not count."
    )
    restart: bool = Field(
        True, description="Restart an instance that keeps failing for another fall intervals."
    )

    @property
    def limit(self) -> float:
        """Seconds that a probe may take."""
        return min(MAX_PROBE_TIME, self.interval) if self.timeout is None else self.timeout


class ServerCheck(HttpRequest):
    """The health check of servers elsewhere. With `path` it is an HTTP check, and HTTPS where the
    upstream has `tls`; without it a TCP connection is enough.
    """

    interval: Duration = Field(5.0, ge=0.1, description="Time between two probes of a server.")
    timeout: Duration | None = Field(
        None,
        ge=0.01,
        description="A probe that takes longer has failed; default: the interval, at most 5s.",
    )
    rise: _Times = Field(
        1, description="Good probes in a row before a server gets requests again."
    )
    fall: _Times = Field(
        3, description="Failed probes in a row before a server gets no more requests."
    )

    @property
    def as_check(self) -> Check:
        """The same as one of instances."""
        return Check(**{name: getattr(self, name) for name in type(self).model_fields})


@dataclass(frozen=True, slots=True)
class TlsToServer:
    name: str
    """Sent as SNI, and verified."""
    is_verified: bool = True
    authorities: str | None = None
    """PEM file; the system's if None."""
