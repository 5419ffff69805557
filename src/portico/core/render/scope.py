"""Where requests are handled: a site, or one of its routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, TypeVar

from portico.core.model.desired import absolute
from portico.core.model.site import RequestSettings, Route, Site, Target

T = TypeVar("T")
INTERNAL_PREFIX: Final = "/.portico"
"""Paths below it are internal: a client gets 404 there."""
MAX_NAME_LENGTH: Final = 200  # with room for what stands around it


@dataclass(frozen=True, slots=True)
class Scope:
    """A site, or one of its routes; what a route leaves unset is as in its site."""

    name: str
    """The site's."""
    site: Site
    folder: str = "/"
    """Where relative paths of the operator's file start."""
    key: str = ""
    """The route's, `= /exact`; empty for the site itself."""
    route: Route | None = None
    secret: str = ""
    """As in `RenderContext`."""
    identity: tuple[str, ...] = ()
    """Headers that no client may set here (`identity_names`)."""
    index: int = 0
    """Among the routes with this key."""
    encoders: frozenset[str] = frozenset()
    """What nginx can compress with besides gzip: `brotli`, `zstd`."""
    http3: bool = False
    """As in `Listeners`."""

    @property
    def is_chosen(self) -> bool:
        """Whether the request decides that this route of its path takes it."""
        return bool(self.index or (self.route and self.route.match))

    @property
    def target(self) -> Target:
        """Where requests go: a route that says nothing of it is served as its site is."""
        route = self.route
        has_target = route and (route.app or route.upstream or route.folder or route.redirect)
        return route if route and has_target else self.site

    @property
    def label(self) -> str:
        """The route in logs and numbers: its path as written, and which of those with this path;
        empty for the site itself.
        """
        return f"{self.key} #{self.index + 1}" if self.index else self.key

    @property
    def request_settings(self) -> RequestSettings:
        """What was written at this very place."""
        return self.route or self.site

    @property
    def slug(self) -> str:
        """A name for files and zones of this place; no two have the same."""
        name = file_name(self.name).replace(":", "_").replace("*", "_")  # `_` is in no domain
        number = f"-{self.index}" if self.index else ""
        return f"{name}-{digest(self.key)}{number}" if self.key else name

    def value(self, setting: Callable[[RequestSettings], T | None]) -> T | None:
        """What holds here: the route's, or else the site's."""
        if self.route is None or (own := setting(self.route)) is None:
            return setting(self.site)
        return own

    def origin(self, setting: Callable[[RequestSettings], T | None]) -> Scope:
        """Where the value that holds here was written."""
        is_own = self.route is None or setting(self.route) is not None
        return self if is_own else replace(self, key="", route=None)

    def path(self, text: str) -> str:
        return absolute(text, self.folder)


def scopes(whole: Scope) -> Iterator[Scope]:
    """A site, then each of its routes; a route that is only a name becomes a table. The last of
    those with the same path has no `match`: what fits none is served as the site is.
    """
    yield whole
    for key, routes in whole.site.routes.items():
        every = routes if isinstance(routes, tuple) else (_table(routes),)
        rest = (Route(),) if every and every[-1].match else ()
        for index, route in enumerate((*every, *rest)):
            yield replace(whole, key=key, route=route, index=index)


def _table(route: Route | str) -> Route:
    """Not checked again: the name is one of those of all projects, not as a file has it."""
    return Route().model_copy(update={"app": route}) if isinstance(route, str) else route


def file_name(site: str) -> str:
    """The site's name, cut where a file could not be called so: 255 bytes at most."""
    return site if len(site) <= MAX_NAME_LENGTH else f"{site[:MAX_NAME_LENGTH]}-{digest(site)}"


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
