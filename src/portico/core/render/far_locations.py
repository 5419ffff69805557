"""The locations of a place from which requests cross to other machines (`machines`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.access_log import error_log_path
from portico.core.render.cache import cache_lines
from portico.core.render.directive import Directive, directive
from portico.core.render.machines import (
    AWAY_WAY,
    FAR_VARIABLE,
    FAR_WAY,
    QUIET_LOG,
    Crossing,
    far_name,
    far_settings,
    far_upstream,
    machine_name,
    machine_upstream,
    passing_to,
    stream_settings,
    streams_upstream,
)
from portico.core.render.mirror import mirror_lines
from portico.core.render.pages import app_errors
from portico.core.render.passing import strip_lines
from portico.core.render.retries import has_stream, retry_location, stream_location
from portico.core.render.route_locations import Location
from portico.core.render.scope import Scope
from portico.core.render.settings import (
    Settings,
    difference,
    live_settings,
    request_buffer,
    without_access_limits,
)


@dataclass(frozen=True, slots=True)
class PassedLocation:
    """A location whose requests are passed on, with all that it stands in."""

    location: Location
    name: str
    """The app or upstream."""
    desired: Desired
    context: RenderContext
    number: int
    own: Settings
    above: Settings
    crossing: Crossing

    @property
    def scope(self) -> Scope:
        return self.location.scope

    @property
    def upstream(self) -> Upstream:
        return self.desired.upstreams[self.name]

    @property
    def is_grpc(self) -> bool:
        return bool(self.scope.value(lambda handling: handling.grpc))

    @property
    def keeps_bodies(self) -> bool:
        """Whether bodies are kept that the place would pass on while they arrive: a machine is
        chosen by a try, and that of a PUT would be the only one. Those of POST have their own way.
        """
        return bool(self.crossing.choice) and has_stream(self.scope) and not self.is_grpc

    def crossing_settings(self, way: str) -> Settings:
        """`own` is that already where the app is on other machines alone."""
        if self.crossing.is_away:
            return self.own
        return far_settings(self.scope, self.own, self.name, self.upstream, self.number, way)

    def passing_lines(self, upstream: str) -> tuple[Directive, ...]:
        parts = self.name, self.upstream, self.context, self.location.stripped_prefix
        return tuple(passing_to(upstream, self.scope, *parts))

    def first_lines(self, upstream: str) -> tuple[Directive, ...]:
        """Where a request comes from its location itself."""
        return (*mirror_lines(self.scope, self.number), *self.stripped_lines(upstream))

    def stripped_lines(self, upstream: str) -> tuple[Directive, ...]:
        """The same for what stays open, of which there is no copy."""
        path = strip_lines(self.location.stripped_prefix) if self.location.stripped_prefix else ()
        return (*path, *self.passing_lines(upstream))

    @property
    def cache_lines(self) -> tuple[Directive, ...]:
        return tuple(cache_lines(self.scope, self._nginx_user))

    @property
    def choice_cache_lines(self) -> tuple[Directive, ...]:
        """Where a machine was chosen, and others may answer what it does not take."""
        return tuple(cache_lines(self.scope, self._nginx_user, is_choice=True))

    @property
    def _nginx_user(self) -> str:
        return self.context.user(self.desired.edge.user)


def crossing_locations(place: PassedLocation, end: str) -> Iterator[Directive]:
    if place.crossing.can_cross and not place.crossing.is_away:
        yield from _far_locations(place, end)
    if place.crossing.choice:
        yield from _machine_locations(place)


def _far_locations(place: PassedLocation, end: str) -> Iterator[Directive]:
    """Where requests cross for which no own instance is left."""
    scope, above, crossing = place.scope, place.above, place.crossing_settings(FAR_WAY)
    passed = place.passing_lines(far_upstream(place.name))
    again, live = far_name(place.number), far_name(place.number, live=True)
    is_intercepting = bool(app_errors(scope))
    entered = without_access_limits(crossing, above) if is_intercepting else crossing
    lines = (*difference(entered, above), *place.cache_lines)
    kept = place.keeps_bodies
    yield from retry_location(
        scope,
        again,
        again,
        lines,
        passed,
        end,
        intercepts=is_intercepting,
        sent=FAR_VARIABLE,
        is_kept=kept,
    )
    open_long = difference({**crossing, **live_settings(scope)}, above)
    yield from retry_location(
        scope, live, live, open_long, passed, end, sent=FAR_VARIABLE, is_kept=kept
    )


def _machine_locations(place: PassedLocation) -> Iterator[Directive]:
    """Where requests cross for which a machine was chosen. What it does not take goes the way of
    all others.
    """
    scope, above, number = place.scope, place.above, place.number
    crossing = place.crossing_settings(AWAY_WAY)
    passed = place.first_lines(machine_upstream(place.name))
    quiet = directive("error_log", error_log_path(place.context.home), QUIET_LOG)
    lines = (*difference(crossing, above), *place.choice_cache_lines, quiet)
    open_long = (*difference({**crossing, **live_settings(scope)}, above), quiet)
    yield from retry_location(
        scope, machine_name(number), f"@again_{number}", lines, passed, "",
        intercepts=bool(app_errors(scope)),
    )  # fmt: skip
    live = machine_name(number, live=True)
    passed = place.stripped_lines(machine_upstream(place.name))
    yield from retry_location(scope, live, f"@live_{number}", open_long, passed, "")


def machine_streams(place: PassedLocation) -> Iterator[Directive]:
    """The same for bodies that cannot be sent twice: this machine is among those that take them,
    by its own server for crossings.
    """
    settings = {} if place.is_grpc else _stream_settings(place)
    kind = "stream" if place.upstream.is_placed_by_key else "bound"
    passed = place.first_lines(streams_upstream(place.name))
    lines = tuple(difference({**place.own, **settings}, place.above))
    yield from stream_location(place.scope, f"@{kind}_{place.number}", lines, passed)


def _stream_settings(place: PassedLocation) -> Settings:
    crossing = stream_settings(place.crossing_settings(AWAY_WAY))
    return {**crossing, "request buffering": request_buffer(place.scope)}
