"""Questions of nginx that are answered later: when it knows an endpoint of an app, or when
requests of a site are not held any more.

nginx repeats a question every five seconds while a request waits for it, so one that is forgotten
here, or by the death of the daemon, comes again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

REPEAT_TIME: Final = 10.0
"""Seconds after which nobody waits for an answer that was not asked for again."""
MIN_WAIT: Final = 0.2
"""Seconds. That an instance has exited is known within a few milliseconds; a request that was
refused by it must not come back before that, and use up its tries."""
MAX_QUESTIONS: Final = 4096
"""For one app: nginx asks once a second for each worker and site, and each of two holds."""

MAX_SUBJECTS: Final = 4096
"""Apps and sites. What asks for more of them is not nginx."""


@dataclass(slots=True)
class _Question:
    asked: float
    repeated: float
    answer: Callable[[], object]


@dataclass(slots=True)
class WaitingQuestions:
    """By what they wait for. `add` and `take` are given seconds of the same clock."""

    _questions: dict[str, dict[Hashable, _Question]] = field(default_factory=dict)

    def add(self, app: str, key: Hashable, answer: Callable[[], object], now: float) -> None:
        """One with the same key is the same question, repeated."""
        if app not in self._questions and len(self._questions) >= MAX_SUBJECTS:
            del self._questions[next(iter(self._questions))]
        questions = self._questions.setdefault(app, {})
        known = questions.pop(key, None)
        for old in list(questions):
            if now - questions[old].repeated <= REPEAT_TIME and len(questions) < MAX_QUESTIONS:
                break  # those that follow were repeated later
            del questions[old]
        questions[key] = _Question(known.asked if known else now, now, answer)

    def has(self, app: str) -> bool:
        return app in self._questions

    def take(self, app: str, *, asked_before: float = math.inf) -> Iterator[Callable[[], object]]:
        """What sends the answers, each once."""
        questions = self._questions.get(app, {})
        for key, question in list(questions.items()):
            if question.asked <= asked_before:
                del questions[key]
                yield question.answer
        if not questions:
            self._questions.pop(app, None)
