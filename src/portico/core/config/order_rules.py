"""Rules of `after`: what apps can wait for, and that no app waits for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest
from portico.core.model.app import App


def order_findings(draft: Draft) -> Iterator[Finding]:
    apps = draft.document.apps
    for name, app in apps.items():
        if app.after and app.schedule is not None:
            yield Finding(("apps", name, "after"), "cannot be combined with schedule")
        for index, other in enumerate(app.after):
            yield from _order_faults(draft, ("apps", name, "after", index), other)
    reported: set[str] = set()
    for name in apps:
        circle = _circle(name, apps)
        if circle and reported.isdisjoint(circle):
            reported |= set(circle)
            yield _wrong_order(circle, apps)


def _order_faults(draft: Draft, path: Path, other: str) -> Iterator[Finding]:
    app = draft.document.apps.get(other)
    if app is None:
        if not draft.may_be_set(("apps",), other):
            right = nearest(other, draft.document.apps)
            yield Finding(path, f'there is no app "{other}"', did_you_mean(right))
    elif app.schedule is not None:
        yield Finding(path, f'app "{other}" runs on a schedule, so nothing can wait for it')


def _circle(start: str, apps: Mapping[str, App]) -> tuple[str, ...]:
    """The shortest way from an app back to itself, without its end; empty if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for other in apps[way[-1]].after:
            if other == start:
                return way
            if other in apps and other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _wrong_order(circle: tuple[str, ...], apps: Mapping[str, App]) -> Finding:
    first, second = circle[0], circle[1 % len(circle)]
    path: Path = ("apps", first, "after", apps[first].after.index(second))
    if len(circle) == 1:
        return Finding(path, "an app cannot start after itself")
    way = " after ".join(f'"{name}"' for name in (*circle, first))
    return Finding(path, f"these apps wait for each other: {way}")
