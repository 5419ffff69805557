"""Releases behind a link `current`: which one runs, whatever ends, restarts or is taken back."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

FILE = f"""
[apps.web]
command = "python3 {PROGRAMS}/echo.py"
env_file = ".env"
backoff = "100ms"
"""


class Releases:
    """A folder for each, and the link that leads to one of them: the folder of the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.folder = stack, stack.root / "releases"
        stack.folder.rmdir()
        stack.folder = stack.root / "current"
        self.switch("1")
        stack.write(FILE)

    def switch(self, release: str, environment: str = "") -> None:
        """Deploy a release, which has the file that is in force."""
        new, link = self.folder / release, self.stack.root / "new"
        new.mkdir(parents=True, exist_ok=True)
        if self.stack.folder.exists():
            shutil.copy(self.stack.folder / "portico.toml", new)
        (new / ".env").write_text(environment)
        link.symlink_to(new)
        link.rename(self.stack.folder)

    def running(self) -> str:
        """The release in which the only instance runs."""
        [web] = self.stack.instances("web")
        assert web["state"] == "ready"
        return Path(f"/proc/{web['pid']}/cwd").readlink().name

    def kill_instance(self) -> None:
        [web] = self.stack.instances("web")
        os.kill(web["pid"], signal.SIGKILL)
        eventually(lambda: self.stack.instances("web")[0]["restarts"] > web["restarts"])
        eventually(lambda: self.stack.instances("web")[0]["state"] == "ready")


@pytest.fixture
def releases(stack: Stack) -> Releases:
    return Releases(stack)


def test_what_runs_is_the_release_that_was_deployed_until_another_one_is(stack, releases):
    stack.environ["PWD"] = str(stack.folder)  # as a shell in `current` has it
    stack.done("up")
    del stack.environ["PWD"]
    assert releases.running() == "1"

    releases.switch("2", environment="CRASH=1")
    failed = stack.portico("reload", "web")
    assert failed.returncode == 1
    assert "the previous version is serving" in failed.stderr
    assert releases.running() == "1"
    releases.kill_instance()
    assert releases.running() == "1"

    releases.switch("3")
    unchanged = stack.up().stderr
    assert f"web runs in {releases.folder}/1, and {stack.folder} leads to " in unchanged
    assert releases.running() == "1"
    stack.done("reload", "web")
    assert releases.running() == "3"
    assert stack.status()["apps"][0]["cwd"] == str(releases.folder / "3")

    back = stack.done("rollback")
    assert back.stdout.startswith("done: rollback /")
    assert f"{stack.folder} leads to {releases.folder}/3 now" in back.stderr
    assert releases.running() == "1"
    stack.kill_daemon()
    releases.kill_instance()
    assert releases.running() == "1"

    releases.switch("4")
    shutil.rmtree(releases.folder / "3")
    refused = stack.portico("rollback")
    assert refused.returncode == 2
    gone = f"folder {releases.folder}/3, to which {stack.folder} led, does not exist"
    assert gone in refused.stderr
    assert releases.running() == "1"


def test_a_restart_without_the_link_starts_the_same_release_and_a_deploy_is_refused(
    stack, releases
):
    link = stack.folder
    stack.done("up", str(link))
    link.unlink()
    stack.folder = stack.root
    releases.kill_instance()
    assert releases.running() == "1"

    again = stack.done("restart", "web").stderr
    missing = f"folder {link} does not exist"
    assert f"web: {missing}; it starts in {releases.folder}/1, as before" in again
    assert releases.running() == "1"

    refused = stack.portico("reload", "web")
    assert (refused.returncode, f"{missing}; nothing was changed" in refused.stderr) == (2, True)
    (releases.folder / "1").rename(releases.folder / "removed")
    refused = stack.portico("restart", "web")
    assert (refused.returncode, f"{missing}; nothing was changed" in refused.stderr) == (2, True)
    assert stack.instances("web")[0]["state"] == "ready"
