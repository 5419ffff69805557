"""Rules of an app by itself: what it runs, its times and its slots."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.config.health_rules import health_findings
from portico.core.config.run_rules import run_findings
from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.value_text import value_text


def app_findings(draft: Draft) -> Iterator[Finding]:
    for name, app in draft.document.apps.items():
        path: Path = ("apps", name)
        yield from _program(draft, path, app)
        yield from _total(path, app)
        yield from _slots(draft, path, app)
        yield from _own_port(draft, path, app)
        yield from health_findings(draft, path, app)
        yield from run_findings(draft, path, app)
        if app.backoff > app.backoff_limit:
            yield Finding(
                (*path, "backoff_limit"),
                f"must be at least backoff, {app.backoff:g} seconds, not {app.backoff_limit:g}",
            )
        yield from whole_seconds((*path, "fail_timeout"), app.fail_timeout)


def whole_seconds(path: Path, seconds: float) -> Iterator[Finding]:
    """What nginx takes as a fail_timeout; it refuses `500ms`."""
    if not seconds.is_integer():
        yield Finding(path, f"must be whole seconds, not {seconds:g}")


def _program(draft: Draft, path: Path, app: App) -> Iterator[Finding]:
    match app.command, app.script:
        case None, None:
            if not draft.may_be_set(path, "command", "script"):
                yield Finding(path, "needs a command or a script")
        case (str() | tuple()) as command, None:
            first = command.strip() if isinstance(command, str) else next(iter(command), "")
            if not first:
                yield Finding(
                    (*path, "command"), f"must name a program, not {value_text(command)}"
                )
            for key in ("interpreter", "interpreter_args"):
                if getattr(app, key) and not draft.may_be_set(path, "script"):
                    yield Finding((*path, key), "is for a script, but the app has a command")
        case None, _:
            pass
        case _:
            yield Finding(path, "has a command and a script; set only one")


def _total(path: Path, app: App) -> Iterator[Finding]:
    if app.total and app.instances != 1:  # kept as JSON, a file names every key
        yield Finding((*path, "total"), "cannot be combined with instances; set only one")
    if app.total and app.schedule:
        yield Finding((*path, "total"), "cannot be combined with schedule: one run at a time")
    for word, table in app.machines.items() if app.total else ():
        if table.instances == "max":
            its = (*path, "machines", word, "instances")
            yield Finding(its, "must be a number, because the app has a total")


def _slots(draft: Draft, path: Path, app: App) -> Iterator[Finding]:
    numbers = [n for n in app.numbers if n != "max"]
    if app.total or len(numbers) < len(app.numbers) or draft.may_be_set(path, "instances"):
        return
    most = max(numbers)
    for slot in app.slots:
        if int(slot) > most:
            count = "1 instance" if most == 1 else f"{most} instances"
            yield Finding((*path, "slots", slot), f"is not a slot of the app, which has {count}")


def _own_port(draft: Draft, path: Path, app: App) -> Iterator[Finding]:
    if not app.find_port:
        return
    if app.port is not None and not draft.may_be_set(path, "port"):
        yield Finding((*path, "find_port"), "cannot be combined with port, which sets the port")
    several = any(n not in {0, 1} for n in app.numbers) and not app.port_fallback
    if several and not draft.may_be_set(path, "instances", "total", "port_fallback"):
        yield Finding(
            (*path, "find_port"),
            "is for one instance; several cannot listen on the same port",
            "or set port_fallback, for a Node program",
        )


def user_findings(document: Document) -> Iterator[Finding]:
    """What only root may do: run programs as somebody else."""
    places: list[Path] = [
        ("apps", name, key)
        for name, app in document.apps.items()
        for key in ("user", "group")
        if getattr(app, key)
    ]
    places += [("notify", name, "user") for name, each in document.notify.items() if each.user]
    if document.edge.user:
        places.append(("edge", "user"))
    for place in places:
        yield Finding(place, "can be set only where Portico runs as root")
