"""How long the daemon takes to answer while something else goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from portico.client import wire
from portico.errors import Unreachable

EVERY = 0.02


@dataclass
class Answers:
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def longest_ms(self) -> float:
        return max(self.seconds, default=0.0) * 1000

    def later_than(self, seconds: float) -> int:
        return sum(each > seconds for each in self.seconds)


@contextmanager
def asked(socket: Path, target: str = "/v1/status") -> Iterator[Answers]:
    """Ask again and again, from a connect to the last byte, until the block ends."""
    answers, done = Answers(), threading.Event()

    def ask() -> None:
        while not done.wait(EVERY):
            begun = time.monotonic()
            try:
                wire.ask(socket, "GET", target, seconds=60)
            except Unreachable as error:
                answers.failed.append(str(error))
            else:
                answers.seconds.append(time.monotonic() - begun)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()
