"""Rules of an app's schedules: what runs at its times, and what is replaced at them."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.model.app import App

_CONTINUOUS_KEYS = ("restart_schedule", "max_age", "max_memory", "health", "watch")


def run_findings(draft: Draft, path: Path, app: App) -> Iterator[Finding]:
    if app.schedule is not None:
        yield from _schedule_faults(draft, path, app)
    elif app.timeout is not None and not draft.may_be_set(path, "schedule"):
        yield Finding((*path, "timeout"), "needs a schedule")
    timed = app.schedule or app.restart_schedule
    if (
        app.tz is not None
        and not timed
        and not draft.may_be_set(path, "schedule", "restart_schedule")
    ):
        yield Finding((*path, "tz"), "needs a schedule")


def _schedule_faults(draft: Draft, path: Path, app: App) -> Iterator[Finding]:
    if app.listens and not draft.may_be_set(path, "port"):
        hint = "write port = false"
        yield Finding((*path, "schedule"), "is only for a program without a port", hint)
    if app.instances != 1:
        yield Finding((*path, "instances"), "must be 1 with schedule: one run at a time")
    for word, table in app.machines.items():
        its = (*path, "machines", word)
        if table.instances not in {None, 0, 1}:
            yield Finding((*its, "instances"), "must be 0 or 1 with schedule: one run at a time")
        if table.max_memory:
            yield Finding(
                (*its, "max_memory"),
                "cannot be combined with schedule: each run exits by itself",
            )
    for key in _CONTINUOUS_KEYS:
        if getattr(app, key):
            yield Finding(
                (*path, key), "cannot be combined with schedule: each run exits by itself"
            )
    if app.wait_ready:
        yield Finding(
            (*path, "wait_ready"), "cannot be combined with schedule: nothing waits for it"
        )
