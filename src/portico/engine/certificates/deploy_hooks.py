"""Gives a certificate that is served to other programs: their files, and the operator's hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from portico.core.model.certificate import Certificate, Lineage, RenewalState
from portico.core.planning import renewal_state
from portico.core.planning.hooks import hook_sentence
from portico.core.planning.renewal_state import Attempt
from portico.engine.engine import Engine
from portico.ports.certificates import Hooks, Lineages, PemFiles

HOOK_TIMEOUT: Final = 60.0
MAX_HOOKS: Final = 4
"""Certificates whose hooks run at a time."""

Command = tuple[str, ...]


class DeployHooks:
    """What fails is remembered and tried again, also by the next daemon, until it ends well."""

    def __init__(
        self, engine: Engine, *, hooks: Hooks, lineages: Lineages, pem_files: PemFiles
    ) -> None:
        self._clock, self._state, self._troubles = engine.clock, engine.state, engine.troubles
        self._events = engine.events
        self._hooks, self._lineages, self._pem_files = hooks, lineages, pem_files
        self._runs = asyncio.Semaphore(MAX_HOOKS)

    async def run(self, lineage: Lineage, current: Certificate) -> None:
        """All of a certificate that was not served before."""
        await self._run(lineage, current, lineage.hooks)

    async def run_again(self, lineage: Lineage) -> None:
        """Those that have failed; all, if the file has others since."""
        current = self._lineages.current(lineage.name)
        if current is None:  # it was removed meanwhile
            return
        left = self._state.renewal_state(lineage.name).hooks_left
        is_known = set(left) <= set(lineage.hooks)
        await self._run(lineage, current, left if is_known else lineage.hooks)

    async def keep(self, lineage: Lineage, renewal: RenewalState) -> None:
        """Files as the file in force has them now, and in `status` what has not ended well."""
        self.report(lineage, renewal)
        current = self._lineages.current(lineage.name)
        subject = f"files for other programs of {lineage.name}"
        wrong: Sequence[str] = ()
        if lineage.files and current and current.serial == renewal.served:
            wrong = await self._pem_files.write(current, lineage.files)
        if wrong and not renewal.hook_trouble:
            self._troubles.report(
                subject, f"{lineage.name}: {'; '.join(wrong)}", of=f"certificate {lineage.name}"
            )
        else:
            self._troubles.resolve(subject)

    def report(self, lineage: Lineage, renewal: RenewalState) -> None:
        """In `status`, as long as it has not ended well."""
        subject = f"hook of {lineage.name}"
        if sentence := hook_sentence(renewal):
            self._troubles.report(subject, sentence, of=f"certificate {lineage.name}")
        else:
            self._troubles.resolve(subject)

    async def _run(self, lineage: Lineage, current: Certificate, hooks: Sequence[Command]) -> None:
        async with self._runs:
            wrong = await self._pem_files.write(current, lineage.files)
            left = tuple(hooks)
            if not wrong:  # else programs would be told of files that are the old ones
                left, wrong = await self._run_each(lineage, hooks)
        attempt = Attempt(current, self._clock.now(), self._clock.jitter())
        before = self._state.renewal_state(lineage.name)
        renewal = renewal_state.after_hooks(before, left, "; ".join(wrong), attempt)
        self._state.put_renewal_state(renewal)
        self.report(lineage, renewal)

    async def _run_each(
        self, lineage: Lineage, hooks: Sequence[Command]
    ) -> tuple[tuple[Command, ...], list[str]]:
        """One by one, as certbot does; those that failed, and why."""
        environ = {
            "RENEWED_LINEAGE": self._lineages.folder(lineage.name),
            "RENEWED_DOMAINS": " ".join(lineage.names),
        }
        failed, wrong = [], []
        for hook in hooks:
            trouble = await self._hooks.run(hook, environ, HOOK_TIMEOUT)
            result = trouble or "ended well"
            self._events.note("hook", lineage.name, result)
            if trouble:
                failed.append(hook)
                wrong.append(trouble)
        return tuple(failed), wrong
