"""Has a child count requests (see `wire`), starts it, and asks it.

A child of its own, because 20,000 requests a second are a tenth of a core, of which no part may
hold up the daemon's loop; and because what it reads was written by strangers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from portico.adapters.traffic.wire import MODULE
from portico.core.model.traffic import CountedInstance, CountedSite, Rates
from portico.core.model.views import TrafficView
from portico.ports.clock import Clock
from portico.system.observation import Observation
from portico.system.programs import (
    MAX_OUTPUT_KEPT,
    PIPE,
    Program,
    RunningProgram,
    read_tail,
    running,
    start_here,
)

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that an answer is waited for; commands do without."""
RATES_TIMEOUT: Final = 0.05
"""The same for a status, which then has the rates known last."""
SILENCE_TIMEOUT: Final = 60.0
"""Seconds after which a child without an answer is ended. After a start it first reads what was
written meanwhile.
"""
MAX_COUNTING_DELAY: Final = 30.0
"""Seconds; more of it is said in `status`."""
KEEP_TIME: Final = 1.0
"""Seconds for which rates are not asked for again."""
_NONE: Final = Rates({}, {}, {})
_NO_RATES: Final = Rates(
    {}, {}, {}, "the program that counts requests does not answer; what it missed is counted later"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    asked: float
    answer: asyncio.Future[bytes]


class CountingChild:
    """Implements `Traffic`."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """`file` is where the child stores what it has counted."""
        self._file, self._clock = file, clock
        self._child: RunningProgram | None = None
        self._questions: deque[_Question] = deque()
        """Those that are not answered yet, whether or not their askers still wait."""
        self._rates = _NONE
        self._observation = Observation(
            self._ask_for_rates, clock.monotonic, fresh=KEEP_TIME, timeout=RATES_TIMEOUT
        )
        self.is_new = False

    async def run(self) -> str:
        program = Program((sys.executable, "-I", "-m", MODULE, str(self._file)))
        try:
            async with running(start_here, program, stdin=PIPE) as child:
                self._child, self.is_new = child, True
                await self._read(child)
                errors = (await read_tail(child.stderr, MAX_OUTPUT_KEPT)).decode(errors="replace")
                return (errors.strip().splitlines() or ["it was killed"])[-1]
        except OSError as error:
            return f"cannot start it: {error}"
        finally:
            self._child, self.is_new, self._rates = None, False, _NONE
            self._observation.forget()
            while self._questions:
                self._questions.popleft().answer.cancel()

    async def arrange(
        self, sites: Sequence[CountedSite] | None, instances: Sequence[CountedInstance]
    ) -> None:
        if (child := self._child) is None:
            return
        logs = None
        if sites is not None:
            self.is_new = False
            logs = {
                each.log: {"project": each.project, "site": each.site, "apps": dict(each.apps)}
                for each in sites
            }
        layout = {"layout": {"sites": logs, "instances": instances}}
        text = await asyncio.to_thread(json.dumps, layout)
        if child is self._child:
            child.write(f"{text}\n".encode())

    async def rates(self) -> Rates:
        if self._child is None or self.is_new:
            return _NONE
        await self._observation.ask()
        return self._rates

    async def _ask_for_rates(self) -> None:
        answer = await self._ask("rates", {})
        self._rates = _rates(json.loads(answer)) if answer else _NO_RATES

    async def metrics(self) -> str:
        return (await self._ask("metrics", {})).decode()

    async def series(self, of: Mapping[str, str]) -> Mapping[str, Any] | None:
        answer = await self._ask("series", of)
        found: Mapping[str, Any] | None = json.loads(answer) if answer else None
        return found

    async def _ask(self, what: str, of: Mapping[str, str]) -> bytes:
        """Empty without an answer in time."""
        if self._child is None or self.is_new:
            return b""
        question = _Question(self._clock.monotonic(), asyncio.get_running_loop().create_future())
        self._questions.append(question)
        self._child.write(f"{json.dumps({'ask': what, 'of': dict(of)})}\n".encode())
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await asyncio.shield(question.answer)
        except TimeoutError:
            self._end_if_silent()
        except asyncio.CancelledError:
            if not question.answer.cancelled():
                raise  # it is the asker who was cancelled
        return b""

    def _end_if_silent(self) -> None:
        waited = self._clock.monotonic() - self._questions[0].asked if self._questions else 0.0
        if self._child and waited > SILENCE_TIMEOUT:
            log.warning("the program that counts requests does not answer; it is started again")
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    async def _read(self, child: RunningProgram) -> None:
        """Hand out answers, which come in the order of the questions, until the child ends."""
        assert child.stdout is not None  # noqa: S101 - it was asked for
        with suppress(asyncio.IncompleteReadError):
            while length := await child.stdout.readline():
                answer = await child.stdout.readexactly(int(length))
                question = self._questions.popleft()
                if not question.answer.done():
                    question.answer.set_result(answer)


def _rates(answer: Mapping[str, Any]) -> Rates:
    sites, apps, instances = (
        {name: TrafficView(*rate) for name, rate in answer[kind].items()}
        for kind in ("sites", "apps", "instances")
    )
    return Rates(sites, apps, instances, _problem(answer))


def _problem(answer: Mapping[str, Any]) -> str:
    if answer["unsaved"]:
        return f"cannot store how many requests were counted: {answer['unsaved']}"
    if answer["behind_seconds"] > MAX_COUNTING_DELAY:
        return (
            f"access logs are counted {answer['behind_seconds']:.0f} seconds late; "
            f"{answer['behind_bytes']} bytes remain"
        )
    return ""
