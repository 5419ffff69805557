"""A bare Debian 12 in a folder: what debootstrap makes, with git and nothing of this machine.

Its packages come from where this machine's apt and pip get theirs. The folder is made once a month
and kept in the cache of the user; each test gets a copy. Programs in it have the network of this
machine and a PID namespace of their own, so that none outlives its test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stack import CHECKOUT
from tests.waiting import eventually

SUITE = "bookworm"
NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
PIP = ("/etc/pip.conf", "/etc/xdg/pip", "~/.config/pip", "~/.pip")


class BareDebian:
    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def running(self, command: str, within: float) -> Iterator[str]:
        """What a command printed until it ended; the processes that it left end at the exit."""
        printed = self.root.parent / "printed"
        inside = f"{command}; echo ended with $?; read -r _"
        enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -c "$1"'
        with printed.open("w") as output:
            process = subprocess.Popen(
                [*NAMESPACES, "sh", "-c", enter, str(self.root), inside],
                env=_environ(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        try:
            eventually(
                lambda: "ended with" in printed.read_text() or process.poll() is not None, within
            )
            yield printed.read_text()
        finally:
            print(printed.read_text())
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With the shell inside, the first process of its namespace, the kernel ends all others."""
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(60)


@contextmanager
def bare_debian() -> Iterator[BareDebian]:
    """Skips the test where none can be made."""
    if os.geteuid() != 0 or not shutil.which("apt-get") or not shutil.which("unshare"):
        pytest.skip("a bare Debian needs root, apt-get and unshare")
    made = cache_folder() / f"{SUITE}-{datetime.now(UTC):%Y-%m}"
    if not made.exists():
        _make(made)
    folder = Path(tempfile.mkdtemp(prefix="portico-debian-", dir="/tmp"))
    try:
        _run("cp", "--archive", made, folder / "root")
        _copy_settings(folder / "root")
        yield BareDebian(folder / "root")
    finally:
        shutil.rmtree(folder)


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portico-tests"


def _make(made: Path) -> None:
    """Made beside its place and moved there: one that was interrupted is never used."""
    mirror = _mirror()
    if not shutil.which("debootstrap"):
        _run(CHECKOUT / "scripts/packages", "a test makes a bare Debian", "debootstrap")
    made.parent.mkdir(parents=True, exist_ok=True)
    for old in made.parent.glob(f"{SUITE}-*"):
        shutil.rmtree(old)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=made.parent))
    try:
        options = ("--variant=minbase", "--include=git,ca-certificates")
        _run("debootstrap", *options, SUITE, new / "root", mirror)
        _run("chroot", new / "root", "apt-get", "clean")
        with suppress(FileExistsError):  # another run of the tests was faster
            (new / "root").rename(made)
    finally:
        shutil.rmtree(new)


def _mirror() -> str:
    """Where this machine's apt gets the suite from."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    for site, suite in (line.split() for line in targets.splitlines()):
        if suite == SUITE:
            return site
    pytest.skip(f"apt on this machine knows no source of Debian's {SUITE}")


def _copy_settings(root: Path) -> None:
    for name in (*NETWORK, *PIP):
        source = Path(name).expanduser()
        target = root / Path(name.replace("~", "/root")).relative_to("/")
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _run("cp", "--recursive", "--dereference", source, target)
    settings = subprocess.run(
        ["apt-config", "dump"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    acquire = [line for line in settings.splitlines() if line.startswith("Acquire::")]
    acquire.append('Acquire::Languages "none";')
    (root / "etc/apt/apt.conf.d/99machine").write_text("\n".join(acquire) + "\n")
    # Nobody needs this Debian after a loss of power: without this dpkg waits for each file.
    (root / "etc/dpkg/dpkg.cfg.d/machine").write_text("force-unsafe-io\n")


def _environ() -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if key.startswith("PIP_") or key.lower().endswith("_proxy")
    }
    kept |= {
        "PIP_NO_COMPILE": "0"
    }  # means: without byte code, which is written where it is needed
    return kept | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
