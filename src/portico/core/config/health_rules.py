"""Rules of an app's check: one kind of question, and times that fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.model.app import App
from portico.core.model.check import Check, ServerCheck

_KINDS = ("path", "command", "grpc")
_HTTP_KEYS = ("method", "host", "headers", "status", "body")
_CONNECTION_KEYS = {
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""RFC 9110 6.4, 7.6.1, 7.8 and 10.1: they promise what follows the request, or how it is sent."""
_DEFAULT_CHECK = Check()


def health_findings(draft: Draft, app_path: Path, app: App) -> Iterator[Finding]:
    path: Path = (*app_path, "health")
    check = app.check
    has_command = check.command is not None or draft.may_be_set(path, "command")
    if app.health is not None and not app.listens and not has_command:
        yield Finding(path, "needs a command, because port is false")
    yield from _kind(path, check)
    yield from http_findings(draft, path, check)


def http_findings(draft: Draft, path: Path, check: Check | ServerCheck) -> Iterator[Finding]:
    """What holds for checks of instances, and of servers elsewhere."""
    yield from _http(draft, path, check)
    limit = check.interval if check.timeout is None else check.timeout
    if limit > check.interval and not draft.may_be_set(path, "interval"):
        yield Finding(
            (*path, "timeout"),
            f"must be at most interval, {check.interval:g} seconds, not {limit:g}",
        )


def _kind(path: Path, check: Check) -> Iterator[Finding]:
    kinds = [kind for kind in _KINDS if getattr(check, kind)]
    if len(kinds) > 1:
        yield Finding(path, f"has {' and '.join(kinds)}; set only one")
    if check.command is not None and not "".join(check.command).strip():
        yield Finding((*path, "command"), "must name a program")


def _http(draft: Draft, path: Path, check: Check | ServerCheck) -> Iterator[Finding]:
    if check.path is None and not draft.may_be_set(path, "path"):
        for key in _HTTP_KEYS:
            if getattr(check, key) != getattr(_DEFAULT_CHECK, key):
                yield Finding((*path, key), "is for a path, but none is set")
    if check.method == "HEAD" and check.body is not None:
        yield Finding((*path, "body"), "cannot match: an answer to HEAD has no body")
    for name in check.headers:
        if name.lower() == "host":
            yield Finding((*path, "headers", name), "is set by the key host")
        if name.lower() in _CONNECTION_KEYS:
            yield Finding((*path, "headers", name), "is set by Portico: a check has no body")
