"""Answers that nginx has stored: removed by command, and with their site.

    HOME/nginx/cache/NAME@USER/    one of nginx's caches, made by nginx for its workers alone
    HOME/nginx/room                exists while the disk has room for more

nginx finds out by itself that a file was removed: the answer is not there (open(2), ENOENT). What
is below a folder of the workers is touched with their rights. Calls block for the disk.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from portico.core.render.cache import FOLDER, ROOM_FILE, USER_MARK, is_purged
from portico.system.account import account_of_owner
from portico.system.rights import acting_as

MIN_FREE_BYTES: Final = 32 << 20
"""nginx itself removes answers from 128 MiB on (`min_free`): this is for what others write."""
MIN_FREE_INODES: Final = 1000
_RETIRED_MARK: Final = ".retired-"
_CACHE_LINE: Final = re.compile(rf'^ *proxy_cache_path [^;]*/{FOLDER}/([^/";]+?)"? ', re.MULTILINE)
_KEY: Final = b"\nKEY: "
_HEAD_SIZE, _MAX_HEAD_SIZE = 4096, 1 << 17
"""Bytes of a file in which its key is; a request line may have 16 KiB, as may a header in it."""


class Caches:
    def __init__(self, folder: Path) -> None:
        """`folder` is HOME/nginx."""
        self._folder, self._room = folder / FOLDER, folder / ROOM_FILE

    def make(self) -> None:
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.check_room()

    def check_room(self) -> None:
        """Have nginx store no more answers while the disk is nearly full."""
        with suppress(OSError):
            disk = os.statvfs(self._folder)
            has_files = not disk.f_files or disk.f_favail >= MIN_FREE_INODES
            if has_files and disk.f_bavail * disk.f_frsize >= MIN_FREE_BYTES:
                self._room.touch(mode=0o644)
            else:
                self._room.unlink(missing_ok=True)

    def retire(self, main_text: str) -> None:
        """Take the folders that this main file does not name out of nginx's way; quick."""
        names = frozenset(_CACHE_LINE.findall(main_text))
        for folder in self._folders():
            if folder.name not in names and not folder.name.startswith(_RETIRED_MARK):
                number = folder.stat(follow_symlinks=False).st_ino
                with suppress(OSError):
                    folder.rename(folder.with_name(f"{_RETIRED_MARK}{number}"))

    def remove_retired(self) -> None:
        for folder in self._folders():
            if folder.name.startswith(_RETIRED_MARK):
                with _as_owner(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    folder.rmdir()

    def purge(self, names: Collection[str], keys: Collection[str]) -> int:
        """Remove what is stored under these keys (`is_purged`) in the folders of these names;
        returns how many answers that were.
        """
        found = [each for each in self._folders() if each.name.partition(USER_MARK)[0] in names]
        return sum(_purge(folder, keys) for folder in found)

    def _folders(self) -> Iterator[Path]:
        """Root's folder: nobody else can put something into it."""
        with suppress(OSError):
            found = list(self._folder.iterdir())
            yield from (each for each in found if each.is_dir() and not each.is_symlink())


def _purge(folder: Path, keys: Collection[str]) -> int:
    removed = 0
    with _as_owner(folder):
        for _, _, files, opened in os.fwalk(folder, follow_symlinks=False):
            for name in files:
                with suppress(OSError):  # nginx removes files too
                    if is_purged(_key(name, opened), keys):
                        os.unlink(name, dir_fd=opened)
                        removed += 1
    return removed


def _key(name: str, folder: int) -> bytes:
    """The line after `KEY: `; empty for what is no stored answer."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=folder)
    try:
        for size in (_HEAD_SIZE, _MAX_HEAD_SIZE):
            head = os.pread(file, size, 0)
            _, found, rest = head.partition(_KEY)
            key, ended, _ = rest.partition(b"\n")
            if found and ended:
                return key
    finally:
        os.close(file)
    return b""


def _as_owner(folder: Path) -> AbstractContextManager[None]:
    owner = folder.stat(follow_symlinks=False)
    return acting_as(account_of_owner(owner.st_uid, owner.st_gid))
