"""Questions that come up together are answered by one scan of the machine, in a thread.

A thousand instances that end in one moment would otherwise read all of /proc a thousand times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

ANSWERS_AT_ONCE: Final = 20

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batch(Generic[Question, Answer]):
    def __init__(
        self, answer_all: Callable[[Sequence[Question]], Sequence[Answer]], *, rest: float = 0.0
    ) -> None:
        """`answer_all` gives an answer for each question, in their order. Each call is followed by
        `rest` times the time that it took.
        """
        self._answer_all, self._rest = answer_all, rest
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._is_busy = False

    def ask(self, question: Question) -> asyncio.Future[Answer]:
        """Answered by a call of `answer_all` that begins after this one."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._begin()
        return future

    def _begin(self) -> None:
        if self._is_busy or not self._waiting:
            return
        asked, self._waiting, self._is_busy = self._waiting, [], True
        questions = [question for question, _ in asked]
        loop = asyncio.get_running_loop()
        start, job = loop.time(), loop.run_in_executor(None, self._answer_all, questions)

        def on_answers(job: asyncio.Future[Sequence[Answer]]) -> None:
            self._resolve([future for _, future in asked], job)
            loop.call_later(self._rest * (loop.time() - start), begin_next)

        def begin_next() -> None:
            self._is_busy = False
            self._begin()

        job.add_done_callback(on_answers)

    @staticmethod
    def _resolve(
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
            _resolve_by_turns(zip(futures, job.result(), strict=True))


def _resolve_by_turns(answers: Iterator[tuple[asyncio.Future[Answer], Answer]]) -> None:
    """A few at a time, because what waits for a thousand of them would hold up all else."""
    for future, answer in (some := list(islice(answers, ANSWERS_AT_ONCE))):
        if not future.done():
            future.set_result(answer)
    if some:
        asyncio.get_running_loop().call_soon(_resolve_by_turns, answers)
