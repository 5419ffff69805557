"""Generations of nginx files: numbered folders, each complete, one of them current.

    HOME/nginx/generations/000012/    nginx.conf, ..., and generation.json about it
    HOME/nginx/current                a link to the one that a start or a reload reads
    HOME/nginx/serving.json           which one a master process was seen to serve
    HOME/nginx/seeds/                 peers for a new nginx to begin with; exists for moments only

Calls block for the disk: everything that a start would read is there, whole, after a power cut.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from portico.adapters.nginx.workers import account_of_workers
from portico.core.model.place import Build
from portico.core.render.limits import HTPASSWD
from portico.system.files import link, sync_folder, write, write_new
from portico.system.folders import (
    begin_folder,
    finish_folder,
    numbers,
    remove_folder,
    remove_folders,
)

MAIN: Final = "nginx.conf"
GENERATIONS_KEPT: Final = 5
_ABOUT_FILE: Final = "generation.json"


@dataclass(frozen=True, slots=True)
class Generation:
    number: int
    fingerprint: str
    program: str
    """The nginx that has tested it and is to serve it."""
    served: bool = False
    """Whether an nginx was seen to serve it: one to go back to."""
    version: str = ""
    """Of that nginx."""
    discovery: str = ""
    """Where its upstreams ask. A master that serves it keeps that address; empty: none does."""


@dataclass(frozen=True, slots=True)
class ServedGeneration:
    """What a master process serves. It is gone when nginx is to be stopped."""

    generation: Generation
    pid: int
    started: float
    file: str = ""
    """The identity of its program's file, which changes when another is put in its place."""

    @property
    def is_outdated(self) -> bool:
        """Whether the file of its program was replaced since it was started."""
        now = file_identity(self.generation.program)
        return bool(now and self.file) and now != self.file

    def fingerprint(self, discovery: str) -> str:
        """Never what is wanted, where it asks discovery elsewhere."""
        elsewhere = (
            "" if self.generation.discovery == discovery else f"@{self.generation.discovery}"
        )
        return self.generation.fingerprint + elsewhere


def file_identity(program: str) -> str:
    with suppress(OSError):
        file = Path(program).stat()
        return f"{file.st_ino}:{file.st_size}:{file.st_mtime_ns}"
    return ""


@dataclass(frozen=True, slots=True)
class _ServingFile:
    """The content of `serving.json`."""

    generation: int
    pid: int
    started: float
    file: str = ""


_GENERATION: Final = TypeAdapter(Generation)
_SERVING_FILE: Final = TypeAdapter(_ServingFile)


class Generations:
    def __init__(self, folder: Path) -> None:
        """`folder` is HOME/nginx."""
        self._root, self._all = folder, folder / "generations"
        self._link, self._serving = folder / "current", folder / "serving.json"
        self._bootstrap_folder = folder / "seeds"

    def folder(self, number: int) -> Path:
        return self._all / f"{number:06}"

    @property
    def main_file(self) -> Path:
        """What nginx reads."""
        return self._link / MAIN

    def write(
        self, files: Mapping[str, str], fingerprint: str, build: Build, discovery: str = ""
    ) -> Generation:
        """Write a new one, under the next number. Names may not lead out of its folder.

        Files with passwords are for nginx's workers, all others for its master alone.
        """
        readers = _group_of_workers(files.get(MAIN, ""))
        self._all.mkdir(mode=0o711, parents=True, exist_ok=True)
        number = max(numbers(self._all), default=0) + 1
        generation = Generation(
            number,
            fingerprint,
            build.program,
            version=build.version_text,
            discovery=discovery,
        )
        remove_folders(self._all)
        unfinished = begin_folder(self._all)
        for name, text in files.items():
            path = _path_inside(unfinished, name)
            write_new(path, text)
            if name.startswith(HTPASSWD):
                _share(path, readers, 0o640)
        write_new(unfinished / _ABOUT_FILE, _GENERATION.dump_json(generation))
        finish_folder(unfinished, self.folder(generation.number))
        return generation

    def read(self, number: int) -> Generation | None:
        """None where it does not exist, or its generation.json is damaged."""
        with suppress(OSError, ValueError):
            return _GENERATION.validate_json((self.folder(number) / _ABOUT_FILE).read_bytes())
        return None

    def remove(self, number: int) -> None:
        remove_folder(self.folder(number))

    def current(self) -> Generation | None:
        with suppress(OSError, ValueError):
            return self.read(int(self._link.readlink().name))
        return None

    def set_current(self, generation: Generation | None) -> None:
        """Make it the current one, in one step; None: there is none."""
        if generation is None:
            self._link.unlink(missing_ok=True)
        else:
            folder = self.folder(generation.number)
            _share(folder, _group_of_workers((folder / MAIN).read_text("utf-8")), 0o710)
            link(self._link, f"{self._all.name}/{folder.name}")
        sync_folder(self._root)

    def served_generation(self) -> ServedGeneration | None:
        with suppress(OSError, ValueError):
            seen = _SERVING_FILE.validate_json(self._serving.read_bytes())
            if generation := self.read(seen.generation):
                return ServedGeneration(generation, seen.pid, seen.started, seen.file)
        return None

    def record_serving(self, serving: ServedGeneration | None) -> None:
        """Record what was seen to be served, and remove generations that no rollback needs."""
        if serving is None:
            self._serving.unlink(missing_ok=True)
            return
        number = serving.generation.number
        about = replace(serving.generation, served=True)
        write(self.folder(number) / _ABOUT_FILE, _GENERATION.dump_json(about))
        seen = _ServingFile(number, serving.pid, serving.started, serving.file)
        write(self._serving, _SERVING_FILE.dump_json(seen))
        self.prune()

    def write_bootstrap_peers(self, files: Mapping[str, str]) -> None:
        """Have the next start begin with these peers, instead of any that were there."""
        self.remove_bootstrap_peers()
        if not files:
            return
        unfinished = self._root / ".seeds"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        for name, text in files.items():
            write_new(_path_inside(unfinished, name), text)
        unfinished.rename(self._bootstrap_folder)

    def remove_bootstrap_peers(self) -> bool:
        """Let no start begin with peers any more; whether one did."""
        there = self._bootstrap_folder.exists()
        if there:
            shutil.rmtree(self._bootstrap_folder)
        return there

    @property
    def has_bootstrap_peers(self) -> bool:
        return self._bootstrap_folder.exists()

    def prune(self) -> None:
        """Keep the current one, the last that were served, and the last that were tested. Only the
        current one is open to workers.
        """
        current = self.current()
        everything = [found for number in numbers(self._all) if (found := self.read(number))]
        keep = {current.number} if current else set()
        for served in (True, False):
            keep |= set(
                [found.number for found in everything if found.served is served][
                    -GENERATIONS_KEPT:
                ]
            )
        for number in numbers(self._all):
            if number not in keep:
                self.remove(number)
            elif current is None or number != current.number:
                self.folder(number).chmod(0o700)


def discovery_of(folder: Path) -> str:
    """Where the files in force ask discovery; empty if there are none. `folder` is HOME/nginx."""
    current = Generations(folder).current()
    return current.discovery if current else ""


def _path_inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of a generation's folder")
    return path


def _group_of_workers(main_text: str) -> int | None:
    """None where they are who writes the files."""
    account = account_of_workers(main_text) if os.geteuid() == 0 else None
    return account.gid if account else None


def _share(path: Path, group: int | None, mode: int) -> None:
    if group is not None:
        os.chown(path, -1, group)
        path.chmod(mode)
