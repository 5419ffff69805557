"""Counts requests from access logs, until its standard input ends: `python -I -m <this module>
FILE`, where FILE is what it stores. It may be killed at any moment, and nothing is counted twice.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
from pathlib import Path
from typing import Final

import msgspec

from portico.adapters.traffic.child.answers import rates, series
from portico.adapters.traffic.child.counter import Counter, Layout
from portico.adapters.traffic.child.exposition import exposition
from portico.system.clock import SystemClock
from portico.system.confinement import drop_rights

READ_INTERVAL: Final = 1.0
"""Seconds; nginx writes its logs as often."""
_READ_SIZE: Final = 1 << 20


class Question(msgspec.Struct):
    layout: Layout | None = None
    ask: str = ""
    of: dict[str, str] = {}


_decode = msgspec.json.Decoder(Question).decode


def main() -> None:
    file = Path(sys.argv[1])
    drop_rights()
    lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # that of a daemon which was killed stores, and ends
    _Child(Counter(file, SystemClock())).run()


class _Child:
    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._begun = b""
        """A line whose end has not come yet."""
        self._is_arranged = self._is_over = False
        self._layouts: list[Layout] = []
        self._asked: list[Question] = []

    def run(self) -> None:
        while not self._is_over:
            self._listen(READ_INTERVAL)
            for layout in self._layouts:
                self._counter.arrange(layout)
                self._is_arranged = True
            self._layouts.clear()
            for _ in self._counter.read() if self._is_arranged else ():
                self._listen(0)
                if self._is_over:
                    break
            for question in self._asked:
                self._answer(question)
            self._asked.clear()
        self._counter.save()

    def _listen(self, seconds: float) -> None:
        """An answer waits for what the logs have: a counter never goes back after a restart."""
        if not select.select([0], [], [], seconds)[0]:
            return
        data = os.read(0, _READ_SIZE)
        self._is_over = not data
        *lines, self._begun = (self._begun + data).split(b"\n")
        for question in map(_decode, lines):
            if question.layout is not None:
                self._layouts.append(question.layout)
            else:
                self._asked.append(question)

    def _answer(self, question: Question) -> None:
        if question.ask == "metrics":
            text = exposition(self._counter).encode()
        else:
            make = series if question.ask == "series" else rates
            text = msgspec.json.encode(make(self._counter, question.of))
        for data in (b"%d\n" % len(text), text):
            _write(data)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
