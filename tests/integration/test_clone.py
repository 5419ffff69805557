"""`./portico` in a clone: it sets itself up once, whatever happened before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.stack import eventually

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "flock", "head", "readlink", "touch")


@pytest.fixture
def clone(tmp_path) -> Path:
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("portico", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def version(program: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "version"],
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.slow
def test_a_set_up_that_was_interrupted_is_done_again_and_then_never(clone, tmp_path):
    first = subprocess.Popen(
        [clone / "portico", "version"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    eventually((clone / ".venv/set-up.log").exists, within=60)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    done = version(clone / "portico", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "setting up" in done.stderr

    link = tmp_path / "portico"
    link.symlink_to(clone / "portico")
    again = version(link, Path("/"))
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == done.stdout


@pytest.mark.alone
def test_the_launcher_itself_takes_a_few_milliseconds(clone):
    venv = clone / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "portico"):
        (venv / "bin" / name).symlink_to("/bin/true")
    (venv / "made-for").write_text(f"{clone}\n")
    begun = time.monotonic()
    for _ in range(20):
        assert version(clone / "portico", clone).returncode == 0
    assert (time.monotonic() - begun) / 20 < 0.05


def test_a_machine_without_python_is_told_what_to_install(clone, tmp_path):
    path = tmp_path / "bin"
    path.mkdir()
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool) or "/nowhere")
    done = subprocess.run(
        [clone / "portico", "up"],
        check=False,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert "Python 3.11 or later" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert not (clone / ".venv").exists()
