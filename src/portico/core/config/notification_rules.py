"""Rules of where events are sent."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path


def notification_findings(draft: Draft) -> Iterator[Finding]:
    for name, table in draft.document.notify.items():
        path: Path = ("notify", name)
        if not draft.may_be_set(path, "url", "command"):
            if bool(table.url) == bool(table.command):
                yield Finding(path, "must have either url or command")
            if table.secret_file and table.command:
                yield Finding((*path, "secret_file"), "is only for url")
            if table.user and table.url:
                yield Finding((*path, "user"), "is only for command")
        if not table.events:
            yield Finding((*path, "events"), "must name at least one kind of event")
