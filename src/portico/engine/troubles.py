"""What an operator should look at: each trouble stands until what it is about works again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from portico.errors import PorticoError

log = logging.getLogger(__name__)

INTERNAL_ERROR: Final = "internal error (a bug in portico); details in porticod.log"
"""What an operator reads of an error that nobody raised on purpose."""


class Troubles:
    def __init__(self) -> None:
        self._by_subject: dict[str, tuple[str, str]] = {}
        """The app or certificate that it goes with, if any, and the sentence."""

    def report(self, subject: str, sentence: str, *, of: str = "") -> None:
        """Say it once in the log, and in `status` until it is over."""
        if self.of(subject) != sentence:
            is_named = sentence.startswith(subject)
            log.warning("%s", sentence if is_named else f"{subject}: {sentence}")
            self._by_subject[subject] = of, sentence

    @contextmanager
    def fence(self, subject: str, *, of: str = "") -> Iterator[None]:
        """Contain whatever goes wrong inside, foreseen or not: it is a trouble of `subject` until
        the same ends well. What nobody foresaw has its traceback in the log.
        """
        fence = f"fence of {subject}"
        try:
            yield
        except PorticoError as error:
            self.report(fence, f"{subject}: {error}", of=of)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is contained here
            self.report_bug(fence, subject, error, of=of)
        else:
            self.resolve(fence)

    def report_bug(self, subject: str, what: str, error: Exception, *, of: str = "") -> None:
        """Report an error that nobody raised on purpose; `what` has failed by it."""
        sentence = f"{what}: internal error (a bug in portico), {error!r}; details in porticod.log"
        if self.of(subject) != sentence:
            log.error("%s: internal error (a bug in portico)", what, exc_info=error)
        self.report(subject, sentence, of=of)

    def resolve(self, subject: str) -> None:
        if self._by_subject.pop(subject, None):
            log.info("%s: resolved", subject)

    def resolve_all_of(self, thing: str) -> None:
        """The app or certificate is removed, and all that was wrong with it."""
        for subject in [each for each, (of, _) in self._by_subject.items() if of == thing]:
            del self._by_subject[subject]

    def of(self, subject: str) -> str:
        """Empty where there is none."""
        return self._by_subject.get(subject, ("", ""))[1]

    def sentences(self) -> list[str]:
        return [sentence for _, sentence in self._by_subject.values()]
