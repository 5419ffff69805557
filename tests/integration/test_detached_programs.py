"""What an instance has started ends with it, in whatever session it is: nothing of it is left on
the port, which is pinned, when the next one starts.

With a control group for each instance nothing can escape. Without, as in most containers, what is
left behind is told by descent and by its environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from portico.adapters.processes.groups import folder_for
from tests.stack import PROGRAMS, Stack, free_port, is_gone
from tests.stack import eventually as within_15_seconds

SITE = "web.localhost"
eventually = partial(within_15_seconds, within=60)  # where a daemon starts each time
WITHOUT_GROUPS = ("unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/cgroup; exec "$@"', "-")
APART = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a namespace of mounts"
)


class Running:
    """`portico run` of one app, and who answers for it."""

    def __init__(self, stack: Stack, manner: str, under: tuple[str, ...]) -> None:
        self.stack, self._under = stack, under
        program = f"python3 {PROGRAMS / 'detached.py'} {manner}"
        self._file = str(
            stack.write(
                f"[apps.web]\ncommand = '{program}'\nport = {free_port()}\nbackoff = 0.1\n"
                f"ready_timeout = 60\n[sites.'{SITE}']\napp = 'web'\n"
            )
        )

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        with self.stack.running("run", self._file, under=self._under) as process:
            eventually(self._is_up)
            yield process

    def _is_up(self) -> bool:
        with suppress(OSError):
            return self.stack.get(SITE).status == 200 and self.stack.is_settled()
        return False

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


@pytest.mark.parametrize(
    ("manner", "under"),
    [
        ("unmarked", ()),
        pytest.param("orphan", WITHOUT_GROUPS, marks=APART),
    ],
)
def test_a_detached_child_ends_with_its_instance(stack, manner, under):
    running = Running(stack, manner, under)
    if manner == "unmarked" and not _has_groups():
        pytest.skip("this machine lets nobody here make a control group")
    with running.daemon() as daemon:
        first = running.answers()
        stack.done("reload", "web")
        second = running.answers(not_of=first["parent"])
        assert is_gone(first["pid"])

        os.kill(second["parent"], signal.SIGKILL)
        third = running.answers(not_of=second["parent"])
        assert is_gone(second["pid"])

        daemon.kill()
        daemon.wait(60)
        os.kill(third["parent"], signal.SIGKILL)
        assert not is_gone(third["pid"])
    with running.daemon():
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
