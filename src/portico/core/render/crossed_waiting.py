"""Requests that have crossed to the one machine that runs an app, held there for an instance.

The machine where they came in cannot know when there is one again. So the list of this machine has
the app also while none is ready (`departures`), others send what they get, and it waits as in
`waiting`, in the server for other machines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from portico.core.model.desired import Desired
from portico.core.model.names import label_of
from portico.core.model.place import RenderContext
from portico.core.model.wait import Wait
from portico.core.render.access_log import error_log_path
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.retries import CODES, going_to
from portico.core.render.waiting import (
    PLACE_VARIABLE,
    RESOLVER_LOG_LEVEL,
    WAITED_VARIABLE,
    absent_location,
    app_to_wait_for,
    is_single,
    question,
)

NEXT_VARIABLE = "portico_crossed_next"
"""The variable with the location for what failed."""


def crossed_waits(desired: Desired) -> Mapping[str, Wait]:
    """By upstream whose requests wait here alone."""
    return {
        name: Wait(timeout=seconds)
        for name, upstream in desired.upstreams.items()
        if upstream.apps
        and not upstream.servers
        and (seconds := min(desired.held_here(desired.apps[app]) for app in upstream.apps))
    }


def crossed_wait_map(
    header: str, again: str, waits: Mapping[str, Wait], desired: Desired
) -> Directive:
    """`header` is the variable with the name of the upstream."""
    lines = [directive("volatile"), directive("default", again)]
    for name in waits:
        label = label_of(name)
        failed = ".*" if is_single(desired.upstreams[name], desired) else "wait"
        lines += [
            directive(rf'"~^{re.escape(label)}\|absent$"', f"@absent_{label}"),
            directive(rf'"~^{re.escape(label)}\|{failed}$"', f"@wait_{label}"),
        ]
    return directive(
        "map", Raw(f'"{header}|${PLACE_VARIABLE}"'), Raw(f"${NEXT_VARIABLE}"), block=lines
    )


def crossed_wait_locations(
    waits: Mapping[str, Wait],
    desired: Desired,
    context: RenderContext,
    *,
    again: str,
    end: str,
    over: str,
) -> Iterator[Directive]:
    """`over` is the variable that is 1 for what may not be tried again, which goes to `end`."""
    for name, wait in waits.items():
        label = label_of(name)
        absent = f"@absent_{label}"
        lines = (
            directive("error_page", *CODES, "=", again),
            directive("recursive_error_pages", "on"),
            directive("error_log", error_log_path(context.home), RESOLVER_LOG_LEVEL),
            directive("if", Raw(f"(${over} = 1)"), block=going_to(end)),
            directive("if", Raw(f"(${WAITED_VARIABLE})"), block=going_to(absent)),
            *question(wait, app_to_wait_for(name, desired.upstreams[name], desired), context),
        )
        yield directive("location", f"@wait_{label}", block=lines)
        yield absent_location(absent, wait, (), is_limited=False)
