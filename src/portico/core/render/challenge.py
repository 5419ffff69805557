"""The answer to HTTP-01 (RFC 8555 8.3), by nginx itself and without a file.

Every token is answered with the thumbprint of our account's key: only who holds that key can
make use of it, and nothing has to be known of the tokens. Where another program obtains the
certificate of a site, or has put a file for a token there, that answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.claims import trusts
from portico.core.render.directive import Directive, Raw, WithDollar, d, literal
from portico.core.render.scope import Scope, scopes
from portico.core.render.static import folder_of

WELL_KNOWN: Final = "/.well-known/acme-challenge/"
PATH: Final = r'"^/\.well-known/acme-challenge/(?<portico_token>[-_a-zA-Z0-9]+)$"'
INSECURE: Final = "portico_insecure"
"""Whether a request is to be redirected to https: empty for those of an authority."""
_WEBROOT: Final = "portico_webroot"
_OURS: Final = "@portico_token"
_RESERVED: Final = frozenset({"default", "hostnames", "include", "volatile"})
"""Words of `map`, which stand for themselves behind a backslash."""


def is_redirected(name: str, desired: Desired) -> bool:
    """Whether all plain requests of a site are. One that trusts a proxy looks at each, and one
    with a certificate of its owner passes on those of an authority.
    """
    return _redirects(name, desired) and not (
        trusts(desired.sites[name]) or desired.has_own_certificate(name)
    )


def challenge_maps(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    if any(_redirects(n, desired) and desired.has_own_certificate(n) for n in desired.sites):
        exempt = (r'"~^on\|"', r'"~^\|/\.well-known/acme-challenge/"')
        lines = (d("default", "1"), *(d(each, "") for each in exempt))
        yield d("map", Raw('"$https|$uri"'), Raw(f"${INSECURE}"), block=lines)
    if context.thumbprint and (roots := webroots(desired)):
        keys = ((f"\\{name}" if name in _RESERVED else name, root) for name, root in roots.items())
        lines = (d("default", "/dev/null"), *(d(name, literal(root)) for name, root in keys))
        block = (d("hostnames"), *lines)
        yield d("map", Raw("$host"), Raw(f"${_WEBROOT}"), block=block)


def shared_answer(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    """In the server for all sites whose plain requests are redirected."""
    root = Raw(f"${_WEBROOT}") if webroots(desired) else None
    yield from _answer(context, root)


def site_answer(
    site_scopes: Sequence[Scope], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """In the server of a site that is not redirected as a whole."""
    if desired.issuing(site_scopes[0].name) is not None:
        root = webroot(site_scopes)
        asks = bool(site_scopes[0].site.auth)
        yield from _answer(context, literal(root) if root else None, asks=asks)


def webroot(site_scopes: Sequence[Scope]) -> str:
    """The folder in which another program may put files for tokens; empty if a site has none."""
    site, *routes = site_scopes
    prefixes = {"/": site}
    for scope in routes:
        path = scope.key.removeprefix("^~").strip()
        if path.startswith("/") and WELL_KNOWN.startswith(prefix := f"{path.rstrip('/')}/"):
            prefixes[prefix] = scope
    prefix = max(prefixes, key=len)
    if (folder := folder_of(prefixes[prefix])) is None:
        return ""
    path = prefixes[prefix].path(folder.path).rstrip("/")
    return f"{path}/{WELL_KNOWN.removeprefix(prefix)}".rstrip("/")


def webroots(desired: Desired) -> Mapping[str, str]:
    """By every name of the sites whose plain requests are redirected."""
    roots: dict[str, str] = {}
    for name, site in desired.sites.items():
        root = webroot(tuple(scopes(Scope(name, site, desired.origin(name).folder))))
        if root and is_redirected(name, desired) and desired.issuing(name) is not None:
            roots |= dict.fromkeys((name, *site.aliases), root)
    return roots


def _redirects(name: str, desired: Desired) -> bool:
    site = desired.sites[name]
    return site.https and site.redirect_http


def _answer(
    context: RenderContext, root: Raw | WithDollar | None, *, asks: bool = False
) -> Iterator[Directive]:
    """A location open to all, ahead of redirect and gate. `asks`: its server has `auth`."""
    if not context.thumbprint:
        return
    kind = d("default_type", "text/plain")
    answer = d("return", "200", Raw(f'"$portico_token.{context.thumbprint}"'))
    lines: tuple[Directive, ...] = (answer,)
    if root is not None:
        lines = (d("root", root), d("try_files", Raw("/$portico_token"), _OURS))
    unasked = (d("auth_request", "off"),) if asks else ()
    is_open = (d("allow", "all"), d("auth_basic", "off"), *unasked, kind)
    yield d("location", "~", Raw(PATH), block=(*is_open, *lines))
    if root is not None:
        yield d("location", _OURS, block=(kind, answer))
