"""The locations of a site: each path, and where its requests go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.model.wait import Wait
from portico.core.render.cache import cache_settings
from portico.core.render.choice import choice_header
from portico.core.render.client_certificates import certificate_gate
from portico.core.render.directive import Directive, WithDollar, directive, literal
from portico.core.render.far_locations import (
    PassedLocation,
    crossing_locations,
    machine_streams,
)
from portico.core.render.headers import request_headers
from portico.core.render.holding import hold_gate, hold_locations, hold_settings
from portico.core.render.machines import (
    AWAY_WAY,
    FAR_VARIABLE,
    NEAR_VARIABLE,
    crossing_of,
    far_name,
    far_passing,
    far_settings,
    machine_choice_page,
    stream_settings,
    stream_way,
)
from portico.core.render.mirror import mirror_lines, mirror_location
from portico.core.render.pages import app_errors, maintenance_gate, own_pages, retry_after
from portico.core.render.passing import pass_to_upstream, strip_lines
from portico.core.render.redirect import redirect_lines, redirect_of
from portico.core.render.relay import is_relayed, relayed_upstream
from portico.core.render.retries import (
    FAILED_LOCATION,
    FULL_LOCATION,
    SENT_VARIABLE,
    first_try_lines,
    has_stream,
    intercepting_location,
    retry_location,
    stream_location,
    upstream_or_retry,
)
from portico.core.render.route_locations import Choice, Location, site_locations
from portico.core.render.scope import INTERNAL_PREFIX, Scope
from portico.core.render.settings import (
    ACCESS_LIMITS,
    Settings,
    common_settings,
    difference,
    live_settings,
    request_buffer,
    settings,
    without_access_limits,
    without_compression,
)
from portico.core.render.static import (
    cache_header,
    directory_redirect,
    folder_of,
    static_files,
    twin_location,
    vary_header,
)
from portico.core.render.waiting import (
    absent_location,
    app_to_wait_for,
    next_try,
    wait_location,
    wait_of,
)

Way: TypeAlias = Callable[[Scope, str, Upstream, RenderContext, str], Iterator[Directive]]
"""What passes requests on, as `passing`."""


def locations(
    scopes: Sequence[Scope], above: Settings, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """`scopes` are a site and then its routes; `above` is what its server block says."""
    for number, location in enumerate(site_locations(scopes)):
        if isinstance(location, Choice):
            yield from location.directives()
            continue
        is_site = location.scope is scopes[0]
        own = above if is_site else _settings(location)
        vary = tuple(choice_header(location.scope, location.group))
        own = {**own, "headers": (*own["headers"], *vary)} if vary else own
        own = cache_settings(location.scope, own, location.stripped_prefix)
        if location.is_internal:
            own = _internal_settings(location.scope, own, above)
        place = _target(location, desired, context, number, own, above)
        own = place.own if place else own
        gate = (*maintenance_gate(location.scope), *certificate_gate(location.scope))
        lines = (*gate, *difference(own, above))
        redirect = redirect_of(location.scope)
        passed = ""
        if place is not None:
            kept = () if app_errors(location.scope) else place.cache_lines
            to_app = _proxy_lines(place)
            proxied = (*lines, *kept, *to_app)
            if location.has_files:
                passed = _location_name("passed", number)
                yield directive("location", passed, block=proxied)
            else:
                yield from location.directives(proxied)
            yield from _retry_lines(place)
        elif redirect is not None:
            answer = tuple(redirect_lines(location.scope, redirect))
            yield from _redirect(location, answer, lines, own, number)
        elif not location.has_files:
            answer = tuple(_without_files(location))
            yield from location.directives((*lines, *own_pages(location.scope), *answer))
        if location.has_files:
            local = above if is_site else common_settings(location.scope)
            local = {**local, "headers": (*local["headers"], *vary)} if vary else local
            if location.is_internal:
                local = _internal_settings(location.scope, local, above)
            yield from _file_locations(location, local, above, gate, number, passed)


def _target(
    location: Location,
    desired: Desired,
    context: RenderContext,
    number: int,
    own: Settings,
    above: Settings,
) -> PassedLocation | None:
    """None where it passes nothing on."""
    if location.name is None:
        return None
    crossing = crossing_of(desired.upstreams[location.name], desired, context)
    place = PassedLocation(location, location.name, desired, context, number, own, above, crossing)
    return replace(place, own=_cluster_settings(place))


def _settings(location: Location) -> Settings:
    """What nginx answers by itself does without what is for proxying, and gRPC has its own."""
    if location.name is None or location.scope.value(lambda handling: handling.grpc):
        return common_settings(location.scope)
    headers = request_headers(location.scope, prefix=location.stripped_prefix)
    return {**settings(location.scope), "request headers": headers}


def _proxy_lines(place: PassedLocation) -> Iterator[Directive]:
    location, desired, number = place.location, place.desired, place.number
    if (seconds := desired.holds.get(location.scope.name)) is not None:
        yield from hold_gate(location.scope, number, seconds)
        return
    upstream, choice = place.upstream, place.crossing.choice
    again, stream, live = (_location_name(kind, number) for kind in ("again", "stream", "live"))
    after_failure = next_try(again, _wait_of(place), upstream, desired)
    if choice:
        stream = stream_way(upstream, number)
        yield machine_choice_page(number)
    yield from first_try_lines(location.scope, after_failure, stream, live, choice)
    if app_errors(location.scope):
        yield directive("try_files", INTERNAL_PREFIX, _location_name("first", number))
        return
    yield from mirror_lines(location.scope, number)
    yield from _strip_lines(location)
    yield from _pass_request(place, place.name)


def _pass_request(place: PassedLocation, target: str) -> Iterator[Directive]:
    """To an upstream here, or to other machines where the app is on those alone."""
    way: Way = far_passing if place.crossing.is_away else pass_to_upstream
    return way(place.scope, target, place.upstream, place.context, place.location.stripped_prefix)


def _retry_lines(place: PassedLocation) -> Iterator[Directive]:
    """The path is taken off already where a request comes again."""
    location, name, desired, context = place.location, place.name, place.desired, place.context
    number, own, above = place.number, place.own, place.above
    scope, upstream = location.scope, place.upstream
    # Where all peers have as many connections as they may, others would be counted anew.
    is_limited = desired.has_max_conns(upstream)
    target, end = (
        (name, FULL_LOCATION) if is_limited else (upstream_or_retry(name), FAILED_LOCATION)
    )
    repeated, strip = tuple(difference(own, above)), tuple(_strip_lines(location))
    if (seconds := desired.holds.get(scope.name)) is not None:
        held = difference(hold_settings(own, seconds), above)
        yield from hold_locations(
            scope,
            number,
            seconds,
            context=context,
            settings=(*held, *strip),
            headers=own["headers"],
        )
    wait = _wait_of(place)
    if wait:
        end = _location_name("absent", number)
        headers = own["headers"]
        yield wait_location(
            _location_name("wait", number),
            scope,
            wait,
            app_to_wait_for(name, upstream, desired),
            context=context,
            settings=difference({**own, "headers": (*headers, retry_after(wait.timeout))}, above),
            end=end,
        )
        yield absent_location(end, wait, headers, is_limited=is_limited)
    sent, is_kept = SENT_VARIABLE, place.keeps_bodies
    ends = {"again": end, "live": end}
    if place.crossing.is_away:
        target, sent = name, FAR_VARIABLE
    elif place.crossing.can_cross:
        ends = {"again": far_name(number), "live": far_name(number, live=True)}
        sent = NEAR_VARIABLE
    if not place.is_grpc:
        again, live = _location_name("again", number), _location_name("live", number)
        tried = tuple(_pass_request(place, target))
        kept = place.cache_lines
        after = next_try(again, wait, upstream, desired)
        entered = (*repeated, *kept)
        if intercepts := app_errors(scope):
            first = _location_name("first", number)
            entered = (*difference(without_access_limits(own, above), above), *kept)
            passed = (*mirror_lines(scope, number), *strip, *_pass_request(place, name))
            yield intercepting_location(scope, first, after, entered, passed)
        yield from retry_location(
            scope,
            again,
            after,
            entered,
            tried,
            ends["again"],
            intercepts=bool(intercepts),
            sent=sent,
            is_kept=is_kept,
        )
        open_long = difference({**own, **live_settings(scope)}, above)
        after = next_try(live, wait, upstream, desired)
        yield from retry_location(
            scope,
            live,
            after,
            open_long,
            (*strip, *tried),
            ends["live"],
            sent=sent,
            is_kept=is_kept,
        )
        yield from crossing_locations(place, end)
    yield from _stream_lines(place)
    yield from mirror_location(scope, number, desired, context, location.stripped_prefix)


def _stream_lines(place: PassedLocation) -> Iterator[Directive]:
    """Where bodies go that cannot be sent twice."""
    if not has_stream(place.scope):
        return
    if place.crossing.choice:
        yield from machine_streams(place)
        if place.upstream.is_placed_by_key:
            return
    scope, own, number = place.scope, place.own, place.number
    if not place.is_grpc:
        own = {**own, "request buffering": request_buffer(scope)}
        own = stream_settings(own) if place.crossing.is_away else own
    relayed = is_relayed(place.upstream, place.desired, place.context)
    once = _pass_request(place, relayed_upstream(place.name) if relayed else place.name)
    lines = (*mirror_lines(scope, number), *_strip_lines(place.location), *once)
    repeated, tries = tuple(difference(own, place.above)), 0 if relayed else 3
    yield from stream_location(scope, _location_name("stream", number), repeated, lines, tries)


def _cluster_settings(place: PassedLocation) -> Settings:
    """With the headers of a crossing, where the app is on other machines alone."""
    own = place.own
    if place.keeps_bodies:
        own = {**own, "request buffering": (directive("proxy_request_buffering", "on"),)}
    if place.is_grpc or not place.crossing.is_away:
        return own
    return far_settings(place.scope, own, place.name, place.upstream, place.number, AWAY_WAY)


def _wait_of(place: PassedLocation) -> Wait | None:
    """What another machine may take is not held."""
    return None if place.crossing.can_cross else wait_of(place.scope, place.upstream)


def _strip_lines(location: Location) -> Iterator[Directive]:
    if location.stripped_prefix:
        yield from strip_lines(location.stripped_prefix)


def _location_name(kind: str, number: int) -> str:
    """The name of a location for the requests of the one with this number."""
    return f"@{kind}_{number}"


def _redirect(
    location: Location,
    answer: Sequence[Directive],
    lines: Sequence[Directive],
    own: Settings,
    number: int,
) -> Iterator[Directive]:
    """`return` answers before nginx looks who may come in, a named location after that."""
    if not any(own[part] for part in ACCESS_LIMITS):
        yield from location.directives((*lines, *answer))
        return
    target = _location_name("redirect", number)
    pages = own_pages(location.scope)
    yield from location.directives(
        (*lines, *pages, directive("try_files", INTERNAL_PREFIX, target))
    )
    yield directive("location", target, block=(*own["headers"], *answer))


def _internal_settings(scope: Scope, own: Settings, above: Settings) -> Settings:
    """The app has let the client in already: what the route says itself holds, and not its site's
    passwords and networks.
    """
    kept = {
        "passwords": scope.request_settings.basic_auth is not None,
        "networks": bool(scope.request_settings.allow or scope.request_settings.deny),
        "decision": scope.request_settings.auth is not None,
    }
    return {
        **without_access_limits(own, above),
        **{part: own[part] for part, is_own in kept.items() if is_own},
    }


def _without_files(location: Location) -> Iterator[Directive]:
    """What nginx answers by itself: nothing, or a folder's path with its slash."""
    if folder_of(location.scope) is None or location.is_internal:
        yield directive("return", "404")
    else:
        yield directive("return", "308", WithDollar(literal(location.prefix) + "$is_args$args"))


def _file_locations(
    location: Location,
    own: Settings,
    above: Settings,
    gate: Sequence[Directive],
    number: int,
    passed: str,
) -> Iterator[Directive]:
    """`passed` is the location of what no file answers, empty where that is 404."""
    scope, folder = location.scope, folder_of(location.scope)
    if folder is None:
        return
    headers = (*own["headers"], *cache_header(scope), *vary_header(scope))
    twins = f"{INTERNAL_PREFIX}/twin_{number}"
    files = tuple(static_files(scope, folder, location.prefix, twins, passed))
    if location.is_chosen_folder:
        files = (directory_redirect(), *files)
    if location.is_internal:
        files = (directive("internal"), *files)
    lines, pages = difference({**own, "headers": headers}, above), tuple(own_pages(scope))
    yield from location.directives((*gate, *lines, *pages, *files))
    without = {
        group: lines for group, lines in without_compression(own).items() if group != "headers"
    }
    rules = (*difference(without, above), *headers, *pages)
    yield from twin_location(scope, twins, rules)
