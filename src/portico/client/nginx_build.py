"""Compiles nginx in a folder of this user alone, and keeps the program in the home."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from portico.client.nginx_source import Source, assert_own_tree, copy_tree
from portico.client.wire import IDLE_INTERVAL
from portico.core.model.nginx_source import CONFIGURE, configure_arguments
from portico.errors import Failed, Refused
from portico.system.commands import run_in_group, run_tool
from portico.system.files import write_new
from portico.system.folders import begin_folder, finish_folder, remove_folder, remove_folders
from portico.system.home import Home
from portico.system.programs import SEARCH_PATH
from portico.system.waiting import wait_for

BUILD_TIMEOUT: Final = 1800.0
"""Seconds for each step; a minute is usual on two cores."""
TOOL_TIMEOUT: Final = 30.0
LOG_TAIL: Final = 12
"""Lines of the compiler in an error."""
NICENESS: Final = 10
"""What serves on this machine goes first."""
_TOOLS: Final = {"make": "make"}
_HEADERS: Final = {
    # the package of Debian and Ubuntu that has it
    "crypt.h": "libc6-dev",
    "openssl/ssl.h": "libssl-dev",
    "pcre2.h": "libpcre2-dev",
    "zlib.h": "zlib1g-dev",
}
_OBJECT: Final = re.compile(r"^objs/\S+\.o:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Progress:
    step: str
    done: int = 0
    total: int = 0
    """Files; 0 where the step has no count."""

    def __str__(self) -> str:
        return f"{self.step}: {self.done} of {self.total} files" if self.total else self.step


Report = Callable[[Progress], None]
"""Called every `IDLE_INTERVAL` seconds."""


def missing_packages(environ: Mapping[str, str]) -> list[str]:
    """Packages of Debian and Ubuntu whose files a build needs and this machine lacks."""
    tools = [
        package for tool, package in _TOOLS.items() if not shutil.which(tool, path=SEARCH_PATH)
    ]
    compiler = environ.get("CC", "cc")
    if not shutil.which(compiler.split()[0], path=SEARCH_PATH):
        return ["gcc", *tools, *_HEADERS.values()]
    return tools + [
        package for header, package in _HEADERS.items() if not _has_header(compiler, header)
    ]


def _has_header(compiler: str, header: str) -> bool:
    text = f"#define PCRE2_CODE_UNIT_WIDTH 8\n#include <{header}>\n"
    command = (*compiler.split(), "-E", "-x", "c", "-o", "/dev/null", "-")
    return (
        run_tool(command, {"PATH": SEARCH_PATH}, seconds=TOOL_TIMEOUT, text=text).returncode == 0
    )


def build_nginx(
    source: Source,
    modules: Sequence[Path],
    home: Home,
    environ: Mapping[str, str],
    report: Report,
) -> Path:
    """The program, at a path that is its own: `VERSION-HASH/nginx`. Raises Failed with what the
    compiler said, and leaves nothing behind; the whole of that is in logs/nginx-build.log.
    """
    for module in modules:
        if not (module / "config").is_file():
            raise Refused(f"cannot build {module} into nginx: it has no `config` of a module")
        assert_own_tree(module)
    home.make()
    home.nginx_builds.mkdir(mode=0o700, exist_ok=True)
    with _alone(home.nginx_builds):
        remove_folders(home.nginx_builds)
        work = begin_folder(home.nginx_builds)
        try:
            program = _compile(source, modules, work, home.logs, environ, report)
            return _install(program, source.version, home.nginx_builds)
        except OSError as error:
            raise Failed(f"cannot build nginx {source.version}: {error}") from None
        finally:
            remove_folder(work)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"another build is running in {folder}; nothing was changed") from None
        yield


def _compile(
    source: Source,
    modules: Sequence[Path],
    work: Path,
    logs: Path,
    environ: Mapping[str, str],
    report: Report,
) -> Path:
    report(Progress("unpacking"))
    tree = work / "nginx"
    source.unpack(tree)
    copies = [work / f"module{number}" for number, _ in enumerate(modules)]
    for module, copy in zip(modules, copies, strict=True):
        copy_tree(module, copy)
    (work / "tmp").mkdir(mode=0o700)
    environment = {
        "PATH": SEARCH_PATH,
        "HOME": str(work),
        "TMPDIR": str(work / "tmp"),
        "LC_ALL": "C",
        **({"CC": environ["CC"]} if "CC" in environ else {}),
    }
    configure = next(each for each in CONFIGURE if (tree / each).is_file())
    jobs = len(os.sched_getaffinity(0))
    with (logs / "nginx-build.log").open("wb") as log:
        os.fchmod(log.fileno(), 0o600)
        step = _Step(tree, environment, log, report)
        step.run(["sh", configure, *configure_arguments([str(each) for each in copies])])
        step.run(["make", f"-j{jobs}"])
    return tree / "objs/nginx"


@dataclass(frozen=True, slots=True)
class _Step:
    tree: Path
    environment: Mapping[str, str]
    log: IO[bytes]
    report: Report

    def run(self, words: Sequence[str]) -> None:
        """In a process group of its own, which ends with it, whatever ends it."""
        start = self.log.tell()
        objects = self._objects()
        step = "compiling" if objects else "configuring"

        def has_ended() -> bool:
            done = sum(1 for _ in (self.tree / "objs").rglob("*.o")) if objects else 0
            self.report(Progress(step, done, objects))
            return process.poll() is not None

        with run_in_group(
            ("nice", "-n", str(NICENESS), *words),
            self.environment,
            cwd=self.tree,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            umask=0o077,
        ) as process:
            if not wait_for(has_ended, BUILD_TIMEOUT, IDLE_INTERVAL):
                raise Failed(f"cannot build nginx: {words[0]} took {BUILD_TIMEOUT:g} seconds")
        if process.returncode:
            raise Failed(self._failure(words, start))

    def _objects(self) -> int:
        try:
            return len(_OBJECT.findall((self.tree / "objs/Makefile").read_text()))
        except OSError:
            return 0

    def _failure(self, words: Sequence[str], start: int) -> str:
        path = Path(self.log.name)
        lines = path.read_bytes()[start:].decode(errors="replace").splitlines()[-LOG_TAIL:]
        what = " ".join(words[:2])
        return "\n  ".join(
            (f"cannot build nginx: `{what}` failed; all of it is in {path}", *lines)
        )


def _install(program: Path, version: str, builds: Path) -> Path:
    content = program.read_bytes()
    target = builds / f"{version}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not (target / "nginx").is_file():
        unfinished = begin_folder(builds)
        write_new(unfinished / "nginx", content, 0o755)
        finish_folder(unfinished, target)
    return target / "nginx"
