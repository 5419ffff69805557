"""A load beside a test: `tests.load`, in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess

from tests.daemons import FORK_TIMEOUT
from tests.load import LONGEST_RUN, Report, run_forked
from tests.network import thread_network

FORKED = multiprocessing.get_context("forkserver")
"""Loads begin as forks of a Python that has imported all of them."""
FORKED.set_forkserver_preload(["tests.load"])


@contextmanager
def running_load(url: str, work: Mapping[str, object], network: str = "") -> Iterator[RunningLoad]:
    """Work is what `tests.load` takes. In the network of that path, else in this thread's."""
    if not network and os.geteuid() == 0:
        network = thread_network()
    ours, its = FORKED.Pipe()
    given = {"url": url, "seconds": 120} | dict(work)
    process = FORKED.Process(target=run_forked, args=(its, network, given), daemon=True)
    process.start()
    its.close()
    running = RunningLoad(process, ours)
    try:
        yield running
    finally:
        running.stop()


class RunningLoad:
    def __init__(self, process: ForkServerProcess, pipe: Pipe) -> None:
        self._process, self._pipe = process, pipe
        self._report: Report | None = None
        assert self._received(FORK_TIMEOUT) is None

    def stop(self) -> Report:
        """End the load and return what it saw."""
        if self._report is None:
            self._process.terminate()
        return self.report()

    def report(self) -> Report:
        """Wait until the load has ended by itself and return what it saw."""
        if self._report is None:
            self._report = self._received(LONGEST_RUN)
            assert self._report
            self._process.join()
            self._pipe.close()
            print(f"load: {json.dumps(vars(self._report))}")
        return self._report

    def _received(self, within: float) -> Report | None:
        assert self._pipe.poll(within), f"the load did not say anything within {within} s"
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            raise AssertionError(f"the load ended with {self._process.exitcode}") from None
