"""Providers of dns-lexicon, in a child of their own: most of them ask without any time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final, Literal

from portico.adapters.acme.child.challenges.dns.publisher import Entry
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.methods import Lexicon

CHILD: Final = "portico.adapters.acme.child.challenges.dns.lexicon_child"
_WORDS: Final = {
    "check": "find the zone of",
    "create": "publish the TXT record of",
    "delete": "remove the TXT record of",
}


class Provider:
    """`resolvers` are asked for zones, as everywhere else in an order."""

    def __init__(self, settings: Lexicon, resolvers: tuple[str, ...]) -> None:
        self._settings, self._resolvers = settings, resolvers

    @property
    def publisher_name(self) -> str:
        return f"lexicon {self._settings.provider}"

    def check(self, entry: Entry, context: RunContext) -> None:
        self._ask("check", entry, context)

    def put(self, entry: Entry, context: RunContext) -> str:
        self._ask("create", entry, context)
        return ""

    def remove(self, entry: Entry, _output: str, context: RunContext) -> None:
        self._ask("delete", entry, context)

    def _ask(
        self, act: Literal["check", "create", "delete"], entry: Entry, context: RunContext
    ) -> None:
        request = {
            "act": act,
            "provider": self._settings.provider,
            "options": dict(self._settings.options),
            "resolvers": self._resolvers,
            "zone": entry.zone,
            "name": entry.name,
            "value": entry.value,
        }
        what = f"{_WORDS[act]} {entry.name} at {self._settings.provider}"
        limit = context.timeout(self._settings.deadline, f"trying to {what}")
        try:
            ran = subprocess.run(  # noqa: S603 - our own module, secrets on its standard input
                (sys.executable, "-I", "-m", CHILD),
                input=json.dumps(request),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise setup_failure(f"cannot {what}: no answer within {limit:.3g} s") from None
        if ran.returncode:
            words = ran.stderr.strip().splitlines()
            raise setup_failure(
                f"cannot {what}: {words[-1] if words else f'exit {ran.returncode}'}"
            )
