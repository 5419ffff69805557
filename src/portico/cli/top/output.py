"""The last lines of one instance, for the pane of `portico top`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from portico.cli.tail import Tail
from portico.cli.top.rows import Row
from portico.client.client import Client
from portico.core.model import verbs
from portico.system.account import account_if_known
from portico.system.harmless import harmless

LINES: Final = 10
_OUTPUT: Final = frozenset({"stdout", "stderr"})


def last_lines(client: Client, row: Row) -> list[str]:
    """Of its files, what was written last at the bottom; at most `LINES`."""
    files = client.ask(verbs.LOGS, app=row.name)
    tails = [
        Tail(Path(file.path), lines=LINES, account=account_if_known(file.user or None, None))
        for file in files
        if file.stream in _OUTPUT and _is_of(file.instance, row)
    ]
    found = list[str]()
    try:
        for tail in sorted(tails, key=lambda tail: tail.written):
            found += [*tail.earlier, *tail.more()]
    except OSError as error:
        return [f"cannot read {error.filename}: {error.strerror}"]
    finally:
        for tail in tails:
            tail.close()
    return [harmless(line) for line in found[-LINES:]]


def _is_of(name: str, row: Row) -> bool:
    """`name` is an app's slot, `shop/web.2`; an instance's own name has a number more."""
    return row.instance is None or name.rpartition(".")[2] == str(row.instance.slot)
