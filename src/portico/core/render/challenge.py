"""The answer to HTTP-01 (RFC 8555 8.3), by nginx itself.

A token is answered with the thumbprint of our account's key: only who holds that key can make use
of it. So a site without a program answers every token that is no file of its folder. A program
may answer the tokens of others, and whatever else it is asked for: it is asked unless an order of
ours waits for the token, which a file of its name says. Where another program obtains the
certificate of a site, nothing is answered here. In a cluster with a store the order may be another
machine's, and no program is asked (`any_token`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.claims import trusts
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    literal,
    quote,
    variable_map,
)
from portico.core.render.scope import Scope, scopes
from portico.core.render.static import folder_of, target_name

WELL_KNOWN: Final = "/.well-known/acme-challenge/"
_CHALLENGE_PATH: Final = r"/\.well-known/acme-challenge/([-_a-zA-Z0-9]+)"
PATH: Final = f'"^{_CHALLENGE_PATH.replace("(", "(?<portico_token>")}$"'
INSECURE_VARIABLE: Final = "portico_insecure"
"""Whether a request is to be redirected to https: empty for those of an authority and of a load
balancer's check."""
FOLDER: Final = "tokens"
"""In HOME/nginx: an empty file for each token that an order of ours waits for."""
_WEBROOT: Final = "portico_webroot"
_PROGRAM: Final = "portico_token_program"
"""Whether a program of the site answers the tokens of others."""
_CHALLENGE_VARIABLE: Final = "portico_token_asked"
"""The token in the path, where no location takes it."""
_CHALLENGE_LOCATION: Final = "@portico_token"
_MAP_WORDS: Final = frozenset({"default", "hostnames", "include", "volatile"})
"""Words of `map`, which stand for themselves behind a backslash."""


def pending_tokens(home: str) -> str:
    return f"{home}/nginx/{FOLDER}"


def is_redirected(name: str, desired: Desired) -> bool:
    """Whether all plain requests of a site are. One that trusts a proxy looks at each, and one
    with a certificate of its owner passes on those of an authority.
    """
    return _redirects(name, desired) and not (
        trusts(desired.sites[name]) or desired.has_own_certificate(name)
    )


def challenge_maps(desired: Desired, context: RenderContext) -> Iterator[Directive]:
    if any(_redirects(n, desired) and desired.has_own_certificate(n) for n in desired.sites):
        exempt = [r'"~^on\|"', r'"~^\|/\.well-known/acme-challenge/"']
        exempt += [f'"|{desired.health_path}"'] if desired.health_path else []
        lines = (directive("default", "1"), *(directive(each, "") for each in exempt))
        yield directive("map", Raw('"$https|$uri"'), Raw(f"${INSECURE_VARIABLE}"), block=lines)
    if not context.thumbprint:
        return
    sites = RedirectedSites.of(desired, any_token=context.any_token)
    if sites.roots:
        yield _host_map(_WEBROOT, "/dev/null", sites.roots)
    if sites.without_program:
        yield _host_map(_PROGRAM, "1", dict.fromkeys(sites.without_program, ""))
    if any(_passes_others(each, desired, context) for each in _sites(desired)):
        yield variable_map(
            "$uri", _CHALLENGE_VARIABLE, '""', directive(rf'"~^{_CHALLENGE_PATH}$"', Raw("$1"))
        )


def shared_answer(desired: Desired, context: RenderContext, origin: str) -> Iterator[Directive]:
    """In the server for all sites whose plain requests are redirected, which is to `origin`."""
    sites = RedirectedSites.of(desired, any_token=context.any_token)
    root = Raw(f"${_WEBROOT}") if sites.roots else None
    other: tuple[Directive, ...] = ()
    if sites.any_program:
        redirect = directive("return", "308", Raw(f"{origin}$request_uri"))
        is_program = directive("if", Raw(f"(${_PROGRAM})"), block=(redirect,))
        other = (is_program if sites.without_program else redirect,)
    yield from _answer(context, root, other)


def site_answer(
    site_scopes: Sequence[Scope], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """In the server of a site that is not redirected as a whole."""
    if desired.issuance(site_scopes[0].name) is None or not context.thumbprint:
        return
    if _passes_others(site_scopes, desired, context):
        yield _if_pending(_CHALLENGE_VARIABLE, context)
        return
    root = webroot(site_scopes)
    asks = bool(site_scopes[0].site.auth)
    yield from _answer(context, literal(root) if root else None, asks=asks)


def webroot(site_scopes: Sequence[Scope]) -> str:
    """The folder in which another program may put files for tokens; empty if a site has none."""
    prefix, scope = _place(site_scopes)
    if (folder := folder_of(scope)) is None:
        return ""
    path = scope.path(folder.path).rstrip("/")
    return f"{path}/{WELL_KNOWN.removeprefix(prefix)}".rstrip("/")


@dataclass(frozen=True, slots=True)
class RedirectedSites:
    """Those whose plain requests are redirected, with certificates of an authority."""

    roots: Mapping[str, str]
    """`webroot` by every name of those that have one."""
    without_program: tuple[str, ...]
    """The names of those without, if there are any with a program."""
    any_program: bool

    @property
    def names(self) -> frozenset[str]:
        """What the maps of hosts have."""
        return frozenset((*self.roots, *self.without_program))

    @classmethod
    def of(cls, desired: Desired, *, any_token: bool = False) -> RedirectedSites:
        roots, without, any_program = dict[str, str](), list[str](), False
        for site_scopes in _sites(desired):
            name = site_scopes[0].name
            if desired.issuance(name) is None or not is_redirected(name, desired):
                continue
            names = (name, *site_scopes[0].site.aliases)
            if root := webroot(site_scopes):
                roots |= dict.fromkeys(names, root)
            if _has_program(site_scopes) and not any_token:
                any_program = True
            else:
                without += names
        return cls(roots, tuple(without) if any_program else (), any_program)


def _passes_others(site_scopes: Sequence[Scope], desired: Desired, context: RenderContext) -> bool:
    if context.any_token:
        return False
    name = site_scopes[0].name
    is_ours = desired.issuance(name) is not None and not is_redirected(name, desired)
    return is_ours and _has_program(site_scopes)


def _sites(desired: Desired) -> Iterator[Sequence[Scope]]:
    for name, site in desired.sites.items():
        yield tuple(scopes(Scope(name, site, desired.origin(name).folder)))


def _has_program(site_scopes: Sequence[Scope]) -> bool:
    return target_name(_place(site_scopes)[1]) is not None


def _place(site_scopes: Sequence[Scope]) -> tuple[str, Scope]:
    """What takes requests for tokens, and the path that it takes, with a slash."""
    site, *routes = site_scopes
    prefixes = {"/": site}
    for scope in routes:
        path = scope.key.removeprefix("^~").strip()
        if path.startswith("/") and WELL_KNOWN.startswith(prefix := f"{path.rstrip('/')}/"):
            prefixes[prefix] = scope
    prefix = max(prefixes, key=len)
    return prefix, prefixes[prefix]


def _redirects(name: str, desired: Desired) -> bool:
    site = desired.sites[name]
    return site.https and site.redirect_http


def _host_map(variable: str, default: str, values: Mapping[str, str]) -> Directive:
    keys = ((f"\\{name}" if name in _MAP_WORDS else name, text) for name, text in values.items())
    lines = (
        directive("hostnames"),
        directive("default", default),
        *(directive(n, literal(text)) for n, text in keys),
    )
    return directive("map", Raw("$host"), Raw(f"${variable}"), block=lines)


def _answer(
    context: RenderContext,
    root: Raw | WithDollar | None,
    other: Sequence[Directive] = (),
    *,
    asks: bool = False,
) -> Iterator[Directive]:
    """A location open to all, ahead of redirect and gate. `other` is the answer where no order of
    ours waits for the token; `asks`: its server has `auth`.
    """
    if not context.thumbprint:
        return
    kind = directive("default_type", "text/plain")
    pending = (_if_pending("portico_token", context),) if other else ()
    lines: tuple[Directive, ...] = (*pending, *other, _own_answer("portico_token", context))
    unasked = (directive("auth_request", "off"),) if asks else ()
    is_open = (directive("allow", "all"), directive("auth_basic", "off"), *unasked, kind)
    if root is None:
        yield directive("location", "~", Raw(PATH), block=(*is_open, *lines))
        return
    tried = (
        directive("root", root),
        directive("try_files", Raw("/$portico_token"), _CHALLENGE_LOCATION),
    )
    yield directive("location", "~", Raw(PATH), block=(*is_open, *tried))
    yield directive("location", _CHALLENGE_LOCATION, block=(kind, *lines))


def _if_pending(token: str, context: RenderContext) -> Directive:
    file = quote(WithDollar(f"{literal(pending_tokens(context.home))}/${token}"))
    return directive("if", Raw(f"(-f {file})"), block=(_own_answer(token, context),))


def _own_answer(token: str, context: RenderContext) -> Directive:
    return directive("return", "200", Raw(f'"${token}.{context.thumbprint}"'))
