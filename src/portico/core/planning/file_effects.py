"""What a file leaves as it runs, and what it changes that may not be meant: for who applies it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.names import split_name

MAX_NAMED_APPS: Final = 8
"""More apps than so many are counted instead of named."""


def running_unchanged(before: Desired, after: Desired) -> list[str]:
    """The apps that go on with the instances they have. A stopped one has none, one that was never
    ready is still to come up, and one that runs once, or at its times, is not replaced.
    """
    return [
        name
        for name, app in after.apps.items()
        if (now := before.apps.get(name)) is not None
        and (now.spec.id, now.instances) == (app.spec.id, app.instances)
        and app.app.comes_back
        and not now.stopped
        and now.good is not None
    ]


def unchanged_sites(before: Desired, after: Desired) -> frozenset[str]:
    """The names of the sites that are as they were, where nginx listens as it did."""
    if (before.edge, before.listeners) != (after.edge, after.listeners):
        return frozenset()
    return frozenset(n for n, site in after.sites.items() if before.sites.get(n) == site)


def scale_notes(before: Desired, after: Desired) -> Iterator[str]:
    """Of each app whose number of instances changes, that it does: `portico scale` may have set
    the one that is lost.
    """
    for name, app in after.apps.items():
        now = before.apps.get(name)
        if now is not None and now.instances != app.instances:
            yield f"{name}: {_instances(app)}, as in the file; it had {now.instances}"


def removed_names(before: Desired, after: Desired) -> list[str]:
    """The apps, sites and streams that are no longer wanted."""
    apps = sorted(before.apps.keys() - after.apps.keys())
    sites = sorted(before.sites.keys() - after.sites.keys())
    streams = sorted(before.streams.keys() - after.streams.keys())
    return [
        *(f"app {split_name(app)[1]}" for app in apps),
        *(f"site {site}" for site in sites),
        *(f"stream {stream}" for stream in streams),
    ]


def moved_ports(before: Desired, after: Desired) -> str:
    """Where nginx listens instead, for sites; empty if it does not move."""
    old, new = before.listeners, after.listeners
    if not (before.sites and after.sites) or (old.http, old.https) == (new.http, new.https):
        return ""
    return f"from {old.http} and {old.https} to {new.http} and {new.https}"


def is_move_unset(before: Desired, after: Desired) -> bool:
    """Whether a port changes because no file sets it any more."""
    old, new, edge = before.listeners, after.listeners, after.edge
    http, https = old.http != new.http, old.https != new.https
    return (http and edge.http is None) or (https and edge.https is None)


def unchanged_text(names: Sequence[str]) -> str:
    """`web is unchanged; `portico reload web` replaces it`; empty without names."""
    match names:
        case []:
            return ""
        case [name]:
            return f"{name} is unchanged; `portico reload {name}` replaces it"
        case _ if len(names) > MAX_NAMED_APPS:
            return f"{len(names)} apps are unchanged; `portico reload APP` replaces one"
        case _:
            return f"{', '.join(names)} are unchanged; `portico reload APP` replaces one"


def relinked_text(spec: Spec, links: Mapping[str, str]) -> str:
    """That an app does not run where its links lead now; empty if it does."""
    for named, folder in links.items():
        if (was := spec.links.get(named, folder)) != folder:
            return (
                f"{spec.app_name} runs in {was}, and {named} leads to {folder} now; "
                f"`portico reload {spec.app_name}` replaces it"
            )
    return ""


def _instances(app: DesiredApp) -> str:
    return "1 instance" if app.instances == 1 else f"{app.instances} instances"
