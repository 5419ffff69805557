"""Another try for a request that failed: where, how often, and for which requests.

nginx tries each request once, on one instance. What fails comes to a named location, which looks
at what became of all tries so far and tries once more or gives up:

    to nobody was anything sent      any request is tried again: no program has seen it
    it was sent, no answer began     a safe request without a body is repeated, `retries` times
    an answer began, or none came    the request is over: it was carried out, or is too slow
    in time

Every try chooses among the peers that are there now, without those that failed in this second:
a process that is being killed takes connections until its last moment, and would be chosen for
the repetition too. Where that leaves nobody, all peers are asked by turns, in an upstream of its
own; and what meets there the instance that it comes from is sent on once more.

Requests that may stay open for long (`$portico_live`: WebSockets, and streams of events) have a
location of their own, with other times and no buffer, and are tried again there.

A body that is passed on while it arrives cannot be sent twice, and no call of gRPC is repeated.
For these nginx's own way is exact: a POST goes on to the next peer only if nothing was sent to
this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from portico.core.render.directive import Directive, Raw, directive, variable_map
from portico.core.render.headers import UPGRADE
from portico.core.render.identity import auth_of, sign_in_page
from portico.core.render.pages import app_error_pages, app_errors, error_pages, own_pages
from portico.core.render.scope import Scope

ONCE_VARIABLE, SENT_VARIABLE, NO_PEER_VARIABLE, TIMED_OUT_VARIABLE, STREAMS_VARIABLE = (
    f"portico_{name}" for name in ("once", "sent", "nobody", "timed_out", "streams")
)
EVENTS_VARIABLE, LIVE_VARIABLE = "portico_events", "portico_live"
FAILED_LOCATION, FULL_LOCATION = "@failed", "@full"
"""Where requests end that are not tried again; the second where peers have `max_conns`."""
_STREAM_CODE: Final = "418"
_LIVE_CODE: Final = "419"
"""Codes that nginx never answers with by itself."""
_EVENT_TYPES: Final = (
    *("text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl"),
    *("application/json-seq", "application/stream+json"),
)
"""What is sent piece by piece (HTML 9.2, RFC 7464)."""
DEFAULT_RETRIES: Final = 1
MAX_TRIES: Final = 7
"""Tries of one request. nginx follows ten redirects inside, each try is one."""
CODES: Final = ("502", "504")
RETRY_SUFFIX, MACHINE_SUFFIX = ".again", ".machine"
"""Of the names of upstreams: the same peers once more, and the machine that is chosen first."""
NO_PEER_AT_ALL: Final = "-"
"""`$portico_sent` where not even `retry_upstream` has a peer."""


def retry_maps(*, is_clustered: bool = False) -> tuple[Directive, ...]:
    """`$portico_sent` is empty while nothing was sent, 1 to 3 where a request that may be repeated
    was sent so often, and `over` otherwise.

    nginx keeps a list for each of these variables, `127.0.0.1:3000 : 127.0.0.1:3001`. Where no
    peer was to be had, it has the name of the upstream instead of an address. In a cluster that
    may be the one of which a machine is chosen: it says nothing of own instances.
    """
    not_machine = rf"(?![^ ]+\{MACHINE_SUFFIX}( |$))" if is_clustered else ""
    return (
        directive(
            "map",
            Raw('"$request_method:$content_length:$http_transfer_encoding"'),
            Raw(f"${ONCE_VARIABLE}"),
            block=(directive("default", "1"), directive('"~^(GET|HEAD|OPTIONS):0?:$"', "")),
        ),
        sent_map(SENT_VARIABLE, MAX_TRIES, NO_OWN_PEER),
        directive(
            "map",
            Raw("$upstream_addr"),
            Raw(f"${NO_PEER_VARIABLE}"),
            block=(
                directive("volatile"),
                directive("default", ""),
                directive(rf'"~(^| ){not_machine}[^:, ]+( : [^ ,]+)*$"', RETRY_SUFFIX),
            ),
        ),
        directive(
            "map",
            Raw("$upstream_status"),
            Raw(f"${TIMED_OUT_VARIABLE}"),
            block=(directive("default", ""), directive('"~504$"', "1")),
        ),
        directive(
            "map",
            Raw("$request_method"),
            Raw(f"${STREAMS_VARIABLE}"),
            block=(directive("default", ""), directive('"~^(POST|PATCH|LOCK)$"', "1")),
        ),
        # One after the other, with a pattern for the header alone: one over both took 1,400
        # instructions more, for every request of a browser.
        variable_map(
            "$http_accept", EVENTS_VARIABLE, '""', directive(f'"~*{_events_pattern()}"', "1")
        ),
        variable_map(
            f"${UPGRADE}", LIVE_VARIABLE, "1", directive('""', Raw(f"${EVENTS_VARIABLE}"))
        ),
    )


NO_OWN_PEER: Final = (r'"~^[^|]*\|([^|]* )?[^|: ]+\.again\|"', NO_PEER_AT_ALL)


def sent_map(variable: str, max_tries: int, *cases: tuple[str, str]) -> Directive:
    """What became of all tries so far. The `cases` are of one way alone: patterns of the text of
    these variables, `ONCE|ADDRESSES|STATUSES|RECEIVED|SENT`, and what they mean.
    """
    columns = ("addr", "status", "bytes_received", "bytes_sent")
    tries = "|".join((f"${ONCE_VARIABLE}", *(f"$upstream_{column}" for column in columns)))
    sent = r"[^|1-9]*[1-9][0-9]*"
    return directive(
        "map",
        Raw(f'"{tries}"'),
        Raw(f"${variable}"),
        block=(
            directive("volatile"),
            directive("default", "over"),
            directive(rf'"~^[^|]*\|([^|]* : ){{{max_tries - 1}}}"', "over"),
            *(directive(pattern, value) for pattern, value in cases),
            directive(r'"~\|[^|]*504[^|]*504\|"', "over"),
            directive(r'"~\|[^|]*[1-9][^|]*\|[^|]*$"', "over"),  # an answer began
            directive(r'"~\|[^|1-9]*$"', ""),
            directive(r'"~\|([^|]* )?504\|"', "over"),
            # Again to the same, because all others have just failed: that one is dying.
            directive(
                r'"~^\|([^|]* : )?([^| ]+) : [^|: ]+( : \2){1,2}\|.*\|[^|]*[1-9][^|]*$"', "1"
            ),
            *(directive(rf'"~^\|.*\|({sent}){{1,{n}}}[^|1-9]*$"', str(n)) for n in (1, 2, 3)),
        ),
    )


def _events_pattern() -> str:
    """Each of the types from its first `s` on, with what is before it looked up backwards: what
    browsers accept has hardly an `s`, and PCRE finds that many characters at a time.
    """
    parts = (each.partition("s") for each in _EVENT_TYPES)
    return (
        "s(?:" + "|".join(rf"(?<={re.escape(f'{a}s')}){re.escape(b)}" for a, _, b in parts) + ")"
    )


def first_try_lines(
    scope: Scope,
    next_try: str,
    stream_name: str,
    live_name: str,
    choice: tuple[Directive, ...] = (),
) -> Iterator[Directive]:
    """First in a location that passes requests on: where go those that failed, those that nginx
    itself may try again, and those that stay open. A location that has one error_page has none
    of its server's. Where errors of the app get pages, it passes nothing on itself. `choice` is of
    those for which a machine is chosen first.
    """
    grpc = _is_grpc(scope)
    if app_errors(scope):
        yield directive("error_page", _LIVE_CODE, "=", live_name)
    elif grpc:
        yield directive("grpc_next_upstream", "off")
    else:
        yield directive("error_page", *CODES, "=", next_try)
        yield directive("error_page", _LIVE_CODE, "=", live_name)
    if has_stream(scope):
        yield directive("error_page", _STREAM_CODE, "=", stream_name)
    yield from sign_in_page(scope)
    yield from error_pages(scope.site, without=() if grpc or app_errors(scope) else CODES)
    yield directive("recursive_error_pages", "on")
    if has_stream(scope):
        yield directive(
            "if", Raw(f"(${STREAMS_VARIABLE})"), block=(directive("return", _STREAM_CODE),)
        )
    if not grpc:
        yield from choice
        yield directive("if", Raw(f"(${LIVE_VARIABLE})"), block=(directive("return", _LIVE_CODE),))


def intercepting_location(
    scope: Scope,
    name: str,
    next_try: str,
    settings: Iterable[Directive],
    passing: Iterable[Directive],
) -> Directive:
    """The first try where errors of the app get pages."""
    lines = (
        *settings,
        directive("error_page", *CODES, "=", next_try),
        *app_error_pages(scope, without=CODES),
        directive("recursive_error_pages", "on"),
        *passing,
    )
    return directive("location", name, block=lines)


def retry_location(  # noqa: PLR0913 - a location in all that it has
    scope: Scope,
    retry_name: str,
    next_try: str,
    settings: Iterable[Directive],
    passing: Iterable[Directive],
    end: str,
    *,
    intercepts: bool = False,
    sent: str = SENT_VARIABLE,
    is_kept: bool = False,
) -> Iterator[Directive]:
    """Where requests come again, and those that stay open come from the first time on. `passing`
    passes them to `upstream_or_retry`. A named location has nothing of the location it is entered
    from, only of the server: `settings` are repeated in it. If it `intercepts`, it has pages for
    errors of the app. `sent` is the variable of its way. Without an `end` none is over yet.
    `is_kept`: the body can be sent again, although the place says that it is not kept.
    """
    of_app = tuple(app_error_pages(scope, without=CODES)) if intercepts else ()
    lines = (
        *settings,
        directive("error_page", *CODES, "=", next_try),
        *(of_app or (*sign_in_page(scope), *error_pages(scope.site, without=CODES))),
        directive("recursive_error_pages", "on"),
        *(end_lines(scope, end, variable=sent, is_kept=is_kept) if end else ()),
        *passing,
    )
    yield directive("location", retry_name, block=lines)


def end_lines(
    scope: Scope, end: str, *, also: str = "", variable: str = SENT_VARIABLE, is_kept: bool = False
) -> Iterator[Directive]:
    """Which requests are over, and go to `end`; those with `also` in the variable are not."""
    retries = scope.value(lambda handling: handling.retries)
    going_on = "123"[: DEFAULT_RETRIES if retries is None else retries] + also
    conditions = [f'(${variable} ~ "{f"[^{going_on}]" if going_on else "."}")']
    conditions += [f"(${ONCE_VARIABLE})"] if has_stream(scope) and not is_kept else []
    for condition in conditions:
        yield directive("if", Raw(condition), block=going_to(end))


def going_to(location: str) -> tuple[Directive, ...]:
    """The lines by which another location answers a request."""
    return (directive("error_page", *CODES, "=", location), directive("return", "502"))


def may_repeat(scope: Scope) -> bool:
    """Whether a safe request may come to a second instance."""
    return scope.value(lambda handling: handling.retries) != 0


def stream_location(
    scope: Scope,
    stream_name: str,
    settings: Iterable[Directive],
    passing: Iterable[Directive],
    tries: int = 3,
) -> Iterator[Directive]:
    """Of a place that `has_stream`; `tries` as in `tries_of_stream`."""
    protocol = "grpc" if _is_grpc(scope) else "proxy"
    # A 401 of the program that decides about the request is not told from one of the app.
    intercepts = app_errors(scope) and not auth_of(scope)
    lines = (
        *settings,
        *(app_error_pages(scope, also=CODES) if intercepts else own_pages(scope)),
        *tries_of_stream(protocol, tries),
        *passing,
    )
    yield directive("location", stream_name, block=lines)


def tries_of_stream(protocol: str, tries: int = 3) -> Iterator[Directive]:
    """By nginx itself, as long as nothing was sent: `tries` of one request; 0: as many as there
    are peers.
    """
    yield directive(f"{protocol}_next_upstream", "error", "timeout")
    yield directive(f"{protocol}_next_upstream_tries", str(tries))
    yield directive(f"{protocol}_next_upstream_timeout", "10s")


@cache
def failed_location() -> Directive:
    """Where a request ends that is not tried again: with the code of its last try, and the page
    of the server for it.
    """
    return directive(
        "location", FAILED_LOCATION, block=(_timeout_answer(), directive("return", "502"))
    )


@cache
def full_location() -> Directive:
    """The same where peers have `max_conns`: 503 when all have as many as they may."""
    nobody = directive("if", Raw(f"(${NO_PEER_VARIABLE})"), block=(directive("return", "503"),))
    return directive(
        "location", FULL_LOCATION, block=(_timeout_answer(), nobody, directive("return", "502"))
    )


def _timeout_answer() -> Directive:
    return directive("if", Raw(f"(${TIMED_OUT_VARIABLE})"), block=(directive("return", "504"),))


def retry_upstream(name: str) -> str:
    """No app or upstream of an operator is called so: their names have no dot."""
    return f"{name}{RETRY_SUFFIX}"


def upstream_or_retry(name: str) -> str:
    """The same upstream, or `retry_upstream` once a try has found nobody in it."""
    return f"{name}${NO_PEER_VARIABLE}"


def has_stream(scope: Scope) -> bool:
    unbuffered = scope.value(lambda handling: handling.request_buffering) is False
    return unbuffered or _is_grpc(scope)


def _is_grpc(scope: Scope) -> bool:
    return bool(scope.value(lambda handling: handling.grpc))
