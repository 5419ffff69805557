"""What an operator should look at: each trouble stands until what it is about works again."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Troubles:
    def __init__(self) -> None:
        self._standing: dict[str, str] = {}

    def report(self, subject: str, sentence: str) -> None:
        """Say it once in the log, and in `status` until it is over."""
        if self._standing.get(subject) != sentence:
            log.warning("%s: %s", subject, sentence)
            self._standing[subject] = sentence

    def over(self, subject: str) -> None:
        if self._standing.pop(subject, None):
            log.info("%s: works again", subject)

    def of(self, subject: str) -> str:
        """Empty where there is none."""
        return self._standing.get(subject, "")

    def sentences(self) -> list[str]:
        return list(self._standing.values())
