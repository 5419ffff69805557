"""Questions that come up together are answered by one look at the machine, in a thread.

A thousand instances that end in one moment would otherwise read all of /proc a thousand times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batch(Generic[Question, Answer]):
    def __init__(
        self, look: Callable[[Sequence[Question]], Sequence[Answer]], *, rest: float = 0.0
    ) -> None:
        """`look` gives an answer for each question, in their order. After each look comes a rest,
        in times of what the look took.
        """
        self._look, self._rest = look, rest
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._looking = False

    def ask(self, question: Question) -> asyncio.Future[Answer]:
        """Answered by a look that begins after this call."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._begin()
        return future

    def _begin(self) -> None:
        if self._looking or not self._waiting:
            return
        asked, self._waiting, self._looking = self._waiting, [], True
        questions = [question for question, _ in asked]
        loop = asyncio.get_running_loop()
        begun, job = loop.time(), loop.run_in_executor(None, self._look, questions)

        def looked(job: asyncio.Future[Sequence[Answer]]) -> None:
            self._tell([future for _, future in asked], job)
            loop.call_later(self._rest * (loop.time() - begun), go_on)

        def go_on() -> None:
            self._looking = False
            self._begin()

        job.add_done_callback(looked)

    @staticmethod
    def _tell(
        futures: Sequence[asyncio.Future[Answer]], job: asyncio.Future[Sequence[Answer]]
    ) -> None:
        waiting = [future for future in futures if not future.done()]
        if job.cancelled():
            for future in waiting:
                future.cancel()
        elif error := job.exception():
            for future in waiting:
                future.set_exception(error)
        else:
            for future, answer in zip(futures, job.result(), strict=True):
                if not future.done():
                    future.set_result(answer)
