"""`./portico` in a clone: it sets itself up once, whatever happened before."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually, processor_seconds

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "flock", "head", "id", "readlink", "touch")


@pytest.fixture
def clone() -> Iterator[Path]:
    """Where other users of the machine reach it too. The one command that is run in it imports no
    library, and those are installed in test_bare_debian and test_bundle.
    """
    place = Path(tempfile.mkdtemp(prefix="portico-clone-", dir="/tmp"))
    place.chmod(0o755)
    folder = place / "a clone"
    folder.mkdir()
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("portico", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    project, found = re.subn(
        r"^dependencies = \[.*?^\]",
        "dependencies = []",
        (ROOT / "pyproject.toml").read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert found == 1
    (folder / "pyproject.toml").write_text(project)
    yield folder
    shutil.rmtree(place)


UNCOMPILED = {**os.environ, "PIP_NO_COMPILE": "0"}
"""Without byte code of pip and of what builds the package: it is written where it is imported."""


def version(program: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "version"],
        check=False,
        cwd=cwd,
        env=UNCOMPILED,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_set_up_that_was_interrupted_is_done_again_and_then_never(clone, tmp_path):
    other = tmp_path / "of another clone"
    other.mkdir()
    (other / "made-for").write_text("/elsewhere\n")
    (clone / ".venv").symlink_to(other)
    first = subprocess.Popen(
        [clone / "portico", "version"],
        env=UNCOMPILED,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually((clone / ".venv/set-up.log").exists, within=120)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    done = version(clone / "portico", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "setting up" in done.stderr
    assert [*clone.glob("src/portico/daemon/__pycache__/main.*.pyc")], "what it did not import"

    link = tmp_path / "portico"
    link.symlink_to(clone / "portico")
    again = version(link, Path("/"))
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == done.stdout
    assert [each.name for each in other.iterdir()] == ["made-for"]


def test_the_launcher_itself_takes_a_few_milliseconds(clone):
    venv = clone / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "portico"):
        (venv / "bin" / name).symlink_to("/bin/true")
    (venv / "made-for").write_text(f"{clone}\n")
    before = processor_seconds()
    for _ in range(20):
        assert version(clone / "portico", clone).returncode == 0
    assert (processor_seconds() - before) / 20 < 0.02


def test_a_user_without_python_is_told_what_to_install(clone, neighbour):
    shutil.chown(clone, neighbour.name)
    path = only(clone, *TOOLS, "apt-get")
    done = neighbour.run([clone / "portico", "up"], PATH=str(path))
    assert done.returncode == 1
    assert "Python 3.11 or later; on Debian and Ubuntu: apt install python3 python3-venv" in (
        done.stdout
    )
    assert not (clone / ".venv").exists()


def test_root_is_told_the_same_where_there_is_no_apt_get(clone):
    done = subprocess.run(
        [clone / "portico", "up"],
        check=False,
        env={"PATH": str(only(clone, *TOOLS))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Python 3.11 or later; on Debian and Ubuntu: apt install python3 python3-venv" in (
        done.stderr
    )
    assert not (clone / ".venv").exists()


def only(clone: Path, *tools: str) -> Path:
    """A PATH with these and nothing else."""
    path = clone / "bin"
    path.mkdir()
    for tool in tools:
        (path / tool).symlink_to(shutil.which(tool) or "/nowhere")
    return path
