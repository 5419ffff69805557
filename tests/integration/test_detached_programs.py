"""What an instance has started ends with it, in whatever session it is: nothing of it is left on
the port, which is pinned, when the next one starts.

With a control group for each instance nothing can escape. Without, as in most containers, what is
left behind is told by descent and by its environment.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from portico.adapters.processes.groups import folder_for
from tests import without_groups
from tests.addresses import free_port
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually as within_15_seconds
from tests.waiting import is_gone

SITE = "web.localhost"
eventually = partial(within_15_seconds, within=60)  # where a daemon starts each time
APART = pytest.mark.skipif(os.geteuid() != 0, reason="needs a namespace of mounts")


class Running:
    """An app of one instance, and who answers for it."""

    def __init__(self, stack: Stack, manner: str) -> None:
        self.stack = stack
        program = f"python3 {PROGRAMS / 'detached.py'} {manner}"
        stack.up(
            f"[apps.web]\ncommand = '{program}'\nport = {free_port()}\nbackoff = 0.1\n"
            f"ready_timeout = 60\n[sites.'{SITE}']\napp = 'web'\n"
        )

    def answers(self, *, not_of: int = 0) -> dict[str, int]:
        """Who answers, once the instance is ready with another process than this one, and
        nginx asks the one that it has started.
        """

        def look() -> dict[str, int] | None:
            found = self.stack.instances("web")
            if not found or found[0]["state"] != "ready" or found[0]["pid"] == not_of:
                return None
            answer = self.stack.get(SITE)
            own = answer.status == 200 and answer.json["parent"] == found[0]["pid"]
            return answer.json if own else None

        return eventually(look)


@pytest.mark.parametrize("manner", ["unmarked", pytest.param("orphan", marks=APART)])
def test_a_detached_child_ends_with_its_instance(stack, manner):
    if manner == "orphan":
        stack.program = without_groups.__name__
    elif not _has_groups():
        pytest.skip("this machine lets nobody here make a control group")
    running = Running(stack, manner)
    first = running.answers()
    stack.done("reload", "web")
    second = running.answers(not_of=first["parent"])
    assert is_gone(first["pid"])

    os.kill(second["parent"], signal.SIGKILL)
    third = running.answers(not_of=second["parent"])
    assert is_gone(second["pid"])

    stack.kill_daemon()
    os.kill(third["parent"], signal.SIGKILL)
    assert not is_gone(third["pid"])
    stack.status()  # begins the next one
    fourth = running.answers(not_of=third["parent"])
    assert is_gone(third["pid"])

    stack.done("stop", "web")
    assert is_gone(fourth["pid"])
    stack.done("start", "web")
    fifth = running.answers()
    stack.done("down", "--now")
    assert is_gone(fifth["pid"])


def _has_groups() -> bool:
    return folder_for(os.getpid(), Path("/tmp")) is not None
