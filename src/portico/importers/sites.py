"""Sites in front of what a PM2 file runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portico.errors import ConfigError, Problem

Table = Mapping[str, object]


def with_site(
    table: Table, asked: str, source: str, folders: Mapping[str, Table] = {}
) -> dict[str, object]:
    """The table with one more site; `asked` is `NAME`, or `NAME=TARGET` where that is needed.

    nginx itself shows one of the `folders`, by the names of their apps, which are not needed then.
    ConfigError says which targets there are when one must be named.
    """
    name, _, target = asked.partition("=")
    choices = _choices(table)
    sites = tables(table.get("sites"))
    if name in sites:
        raise _config_error(source, f"{name} is already a site of the file")
    if not target and len(choices) == 1:
        (target,) = choices
    kind = choices.get(target) or ("app" if target in tables(table.get("apps")) else None)
    if kind is None:
        listed = ", ".join(f"{name}={choice}" for choice in choices) or "no app"
        what = f"there is no app or upstream {target}" if target else "its target is required"
        raise _config_error(source, what, f"possible: --site {listed}")
    if target in folders:
        others = {each: app for each, app in tables(table.get("apps")).items() if each != target}
        return {**table, "apps": others, "sites": {**sites, name: {"folder": folders[target]}}}
    return {**table, "sites": {**sites, name: {kind: target}}}


def served_apps(table: Table) -> frozenset[str]:
    """The apps that a site reaches, directly or in an upstream."""
    apps, upstreams = tables(table.get("apps")), tables(table.get("upstreams"))
    targets = set(_targets(table))
    within = {app for name in targets & upstreams.keys() for app in _apps_of(upstreams[name])}
    return frozenset((targets & apps.keys()) | within)


def tables(value: object) -> dict[str, Table]:
    """The tables of a table, as far as they are any: the rest is for the validator to refuse."""
    found = value if isinstance(value, Mapping) else {}
    return {name: each for name, each in found.items() if isinstance(each, Mapping)}


def _choices(table: Table) -> dict[str, str]:
    """What a site could show: name to `app` or `upstream`. What listens comes before workers."""
    upstreams, apps = tables(table.get("upstreams")), tables(table.get("apps"))
    joined = {app for upstream in upstreams.values() for app in _apps_of(upstream)}
    listening = {
        name: "app"
        for name, app in apps.items()
        if name not in joined and app.get("port") is not False
    }
    found = dict.fromkeys(upstreams, "upstream") | listening
    return found or {name: "app" for name in apps if name not in joined}


def _targets(table: Table) -> Iterator[str]:
    for site in tables(table.get("sites")).values():
        yield from _target(site)
        routes = site.get("routes")
        for value in routes.values() if isinstance(routes, Mapping) else ():
            for route in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(route, str):
                    yield route
                elif isinstance(route, Mapping):
                    yield from _target(route)


def _target(table: Table) -> Iterator[str]:
    for key in ("app", "upstream"):
        if isinstance(name := table.get(key), str):
            yield name


def _apps_of(upstream: Table) -> list[str]:
    apps = upstream.get("apps")
    return [app for app in apps if isinstance(app, str)] if isinstance(apps, (list, tuple)) else []


def _config_error(source: str, what: str, hint: str | None = None) -> ConfigError:
    return ConfigError(source, [Problem("--site", what, hint)])
