"""Rules of the machines of a cluster, and of what is placed on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from portico.core.config.edge_rules import Span, app_spans, edge_spans, stream_spans
from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest, path_text
from portico.core.config.placement import parts
from portico.core.model.app import App
from portico.core.model.cluster import Machine, OwnMachine
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.names import split_name
from portico.errors import Problem

NO_IDENTITY: Final = (
    "machines: has no effect: this machine is in no cluster; see `portico cluster join --help`"
)


def machine_findings(draft: Draft) -> Iterator[Finding]:
    document = draft.document
    yield from _same_addresses(document.machines)
    yield from _labels(document.machines)
    yield from _ports(document)
    if document.machines:
        yield from _placements(document.apps, document.machines)


def placement_problems(desired: Desired, identity: OwnMachine | None) -> list[Problem]:
    """What is wrong with the files of all projects together on this machine."""
    if not desired.machines:
        return []
    apps = {name: app.app for name, app in desired.apps.items()}
    found = [finding.problem() for finding in _placements(apps, desired.machines)]
    if identity and identity.name not in desired.machines:
        what = f'has no table for this machine, which is "{identity.name}" in its cluster'
        found.append(Problem("machines", what, f"add [machines.{identity.name}]"))
    return found


def stored_machines_problems(in_files: Mapping[str, Machine]) -> list[Problem]:
    """Where the store of the cluster has its machines, too."""
    what = "is set, but the machines of this cluster are in its store"
    return [Problem("machines", what, "remove the tables [machines.NAME]")] if in_files else []


def _same_addresses(machines: Mapping[str, Machine]) -> Iterator[Finding]:
    first: dict[tuple[str, int], str] = {}
    for name, machine in machines.items():
        other = first.setdefault((machine.address, machine.port), name)
        if other != name:
            what = f"is the same as {path_text(('machines', other))} has, with the same port"
            yield Finding(("machines", name, "address"), what)


def _labels(machines: Mapping[str, Machine]) -> Iterator[Finding]:
    for name, machine in machines.items():
        for place, label in enumerate(machine.labels):
            if label in machines:
                yield Finding(("machines", name, "labels", place), "is the name of a machine")


def _ports(document: Document) -> Iterator[Finding]:
    """Each machine serves the same file, so that its port meets all others of the file."""
    taken = [
        *edge_spans(document.edge, None),
        *app_spans(document, None),
        *stream_spans(document),
    ]
    for name, machine in document.machines.items():
        path = ("machines", name, "port")
        own = Span(machine.port, machine.port, path, machine.address, "tcp")
        for other in taken:
            if (port := own.common_port(other)) is not None:
                both = f"both would have port {port}"
                yield Finding(path, f"overlaps with {path_text(other.path)}: {both}")


def _placements(apps: Mapping[str, App], machines: Mapping[str, Machine]) -> Iterator[Finding]:
    known = {*machines, *(label for each in machines.values() for label in each.labels)}
    for name, app in apps.items():
        path: Path = ("apps", split_name(name)[1])
        for place, word in enumerate(app.on):
            if word not in known:
                yield _unknown_word((*path, "on", place), word, known)
        for word in app.machines.keys() - known:
            yield _unknown_word((*path, "machines", word), word, known)
        if app.machines:
            yield from _numbers(path, app, parts(name, app, machines))


def _numbers(path: Path, app: App, found: Mapping[str, int | Literal["max"]]) -> Iterator[Finding]:
    if not found:
        yield Finding((*path, "machines"), "leaves no machine that runs the app")
    together = sum(n for n in found.values() if n != "max")
    if app.total and app.total != together:
        what = f"is {app.total}, but with the numbers of its machines they run {together}"
        yield Finding((*path, "total"), what)


def _unknown_word(path: Path, word: str, known: Iterable[str]) -> Finding:
    what = f'there is no machine or label "{word}"'
    return Finding(path, what, did_you_mean(nearest(word, known)))
