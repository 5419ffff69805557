"""Rules of how requests are treated, for a site or one of its routes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portico.core.config.auth_rules import auth_findings
from portico.core.config.findings import Draft, Finding, Path
from portico.core.config.references import app_named, upstream_named
from portico.core.model.cache import Cache
from portico.core.model.mirror import Mirror
from portico.core.model.site import RequestSettings, Route, Site
from portico.core.model.variables import unknown_variables

_VARIABLES_HINT = 'write "$$" for a dollar sign; docs/reference lists the variables'


def handling_findings(
    draft: Draft, path: Path, handling: RequestSettings, targets: Sequence[str]
) -> Iterator[Finding]:
    """`targets` are the keys that say where the requests go."""
    if handling.grpc:
        yield from _target((*path, "grpc"), targets)
    yield from _wait(draft, path, handling, targets)
    for network in sorted({*handling.allow} & {*handling.deny}):
        yield Finding((*path, "deny"), f'has "{network}", which is also in allow')
    yield from _unknown_variables(path, handling)
    yield from _cache(path, handling, targets)
    yield from _basic_auth(draft, path, handling)
    if handling.auth:
        yield from auth_findings(draft, (*path, "auth"), handling.auth)
    if handling.mirror:
        yield from _mirror(draft, (*path, "mirror"), handling.mirror, targets)
        if handling.grpc:
            yield Finding((*path, "mirror"), "cannot be combined with grpc")


def _target(path: Path, targets: Sequence[str]) -> Iterator[Finding]:
    if targets in (["folder"], ["redirect"]):
        yield Finding(path, f"needs an app or an upstream, not {targets[0]}")


def _mirror(draft: Draft, path: Path, mirror: Mirror, targets: Sequence[str]) -> Iterator[Finding]:
    yield from _target(path, targets)
    if mirror.app is not None and mirror.upstream is not None:
        yield Finding(path, "has app and upstream; set only one")
    if mirror.app is mirror.upstream is None and not draft.may_be_set(path, "app", "upstream"):
        yield Finding(path, "needs app or upstream")
    if mirror.app is not None:
        yield from app_named(draft, (*path, "app"), mirror.app)
    if mirror.upstream is not None:
        yield from upstream_named(draft, (*path, "upstream"), mirror.upstream)


def _wait(
    draft: Draft, path: Path, handling: RequestSettings, targets: Sequence[str]
) -> Iterator[Finding]:
    """Discovery answers when there is an instance again, and knows only apps."""
    here: Path = (*path, "wait")
    if not handling.held or not handling.held.timeout:
        return
    if handling.grpc:
        yield Finding(here, "cannot be combined with grpc: its calls cannot be sent again")
    if isinstance(handling, Route):
        yield from _target(here, targets)
    name = handling.upstream if isinstance(handling, Site | Route) else None
    upstream = draft.document.upstreams.get(name or "")
    if upstream and not upstream.is_discovered:
        yield Finding(here, f'has no effect: upstream "{name}" has neither apps nor health')


def _unknown_variables(path: Path, handling: RequestSettings) -> Iterator[Finding]:
    tables = {"headers": handling.headers, "request_headers": handling.request_headers}
    for key, table in tables.items():
        for header, value in (table or {}).items():
            for name in unknown_variables(value):
                what = f'has "${name}", an unknown variable'
                yield Finding((*path, key, header), what, _VARIABLES_HINT)


def _cache(path: Path, handling: RequestSettings, targets: Sequence[str]) -> Iterator[Finding]:
    here: Path = (*path, "cache")
    if not handling.cache:
        return
    yield from _target(here, targets)
    for key, value in (("grpc", True), ("buffering", False)):
        if getattr(handling, key) is value:
            yield Finding(here, f"cannot be combined with {key} = {str(value).lower()}")
    if isinstance(handling.cache, Cache):
        texts: dict[Path, str] = {("key",): handling.cache.key}
        for name in ("bypass", "no_cache"):
            texts |= {(name, i): text for i, text in enumerate(getattr(handling.cache, name))}
        for place, text in texts.items():
            for name in unknown_variables(text):
                what = f'has "${name}", an unknown variable'
                yield Finding((*here, *place), what, _VARIABLES_HINT)


def _basic_auth(draft: Draft, path: Path, handling: RequestSettings) -> Iterator[Finding]:
    auth = handling.basic_auth
    here: Path = (*path, "basic_auth")
    if auth is None or draft.may_be_set(here, "users", "file"):
        return
    if not auth.users and auth.file is None:
        yield Finding(here, "needs users or a file")
    elif auth.users and auth.file is not None:
        yield Finding(here, "has users and a file; set only one")
