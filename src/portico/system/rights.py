"""A file is touched with the rights of who can write its folder (docs/decisions/0016).

Root walks a path as long as root alone decides what a name in it means, and follows links there.
Where somebody else can put another file in its place, the rest is walked, opened and made with the
rights of the app's user, or else of the owner of what is found there: a link then leads him no
further than he could go himself. A daemon that is not root has no more rights than its own user.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from portico.system.account import Account, account_of_owner
from portico.system.ownership import writer

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE_BITS: Final = stat.S_IWGRP | stat.S_IWOTH
_MAX_LINKS: Final = 40  # as the kernel's
_NO_USER: Final = Account()
_INVALID_ID: Final = ctypes.c_uint(-1)
_SETGROUPS: Final = {"x86_64": 116, "ppc64le": 81, "i686": 206, "armv7l": 206, "s390x": 206}
_SETGROUPS_ELSEWHERE: Final = 159
_libc: Final = ctypes.CDLL(None, use_errno=True)


def open_file(path: str | Path, account: Account = _NO_USER, flags: int = os.O_RDONLY) -> int:
    """Open what is there, without waiting for a pipe; `account` is the user whose file it is.

    Raises OSError.
    """
    with _walk(path, account, follow=True) as walk:
        # Root has followed the links that it follows; one that is there now was put there since.
        links = 0 if walk.is_others else os.O_NOFOLLOW
        flags |= os.O_NONBLOCK | os.O_CLOEXEC | links
        return os.open(walk.name, flags, dir_fd=walk.folder)


@contextmanager
def folder_of(
    path: str | Path, account: Account = _NO_USER, *, make: bool = False
) -> Iterator[tuple[int, str]]:
    """The folder of a file, held open, and the file's name in it, which is not followed.

    What is done inside is done with the rights that count for this file. It belongs to one thread,
    and must not wait. With `make` missing folders are made, for the account. Raises OSError.
    """
    with _walk(path, account, make=make) as walk:
        yield walk.folder, walk.name


def only_root_writes(folder: int) -> bool:
    """Whether nobody but root can make files in a folder that is held open."""
    seen = os.fstat(folder)
    return _is_roots(seen) and not seen.st_mode & _OTHERS_WRITE_BITS


def other_writer(path: str | Path) -> str:
    """Who but root can put something else at this path, links on the way included: `ann`, `group
    staff`, `everybody`. Empty where nobody can, and where this process is not root.
    """
    if os.geteuid() != 0:
        return ""
    with ExitStack() as stack:
        walk = _Walk(Path(path), _NO_USER, stack)
        with suppress(OSError):
            walk.descend(make=False, follow=True)
            walk.passed.append(os.stat(walk.name, dir_fd=walk.folder))
        return next(filter(None, map(writer, walk.passed)), "")


def barriers(account: Account, paths: Sequence[tuple[str, bool]]) -> list[str]:
    """For each path, and whether it is a folder: the part of it that keeps the account out; empty
    where nothing does, and where nothing is there.
    """
    folders: dict[Path, str] = {}
    with acting_as(account):
        return [
            _closed_folder(Path(path), folders) if is_folder else _closed_file(Path(path), folders)
            for path, is_folder in paths
        ]


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Let this thread touch files with the rights of the account and no others.

    setfsuid(2) is the one identity that is a thread's own, and takes root's power over files away
    with it (capabilities(7)). The C library would set the groups of all threads; the system call
    sets those of this one. Threads that begin meanwhile have the same rights, and keep them. For
    a process that is not root nothing changes.
    """
    if os.geteuid() != 0:
        yield
        return
    groups = tuple(os.getgroups())
    try:
        _become(account.uid or 0, account.gid or 0, account.groups or ())
        yield
    finally:
        _become(os.geteuid(), os.getegid(), groups)


@contextmanager
def _walk(
    path: str | Path, account: Account, *, make: bool = False, follow: bool = False
) -> Iterator[_Walk]:
    with ExitStack() as stack:
        walk = _Walk(Path(path), account, stack)
        try:
            walk.descend(make=make, follow=follow)
            yield walk
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None


class _Walk:
    def __init__(self, path: Path, account: Account, stack: ExitStack) -> None:
        self._account, self._stack, self._links = account, stack, 0
        self.passed: list[os.stat_result] = []
        """What a name's meaning hung on, as far as root walked."""
        self._rest = list(reversed(path.absolute().parts[1:])) or ["."]
        self.is_others = os.geteuid() != 0
        """Whether what follows is touched with rights that are not root's."""
        self.folder, self.name = os.open("/", _FOLDER), "."
        self._stack.callback(lambda: os.close(self.folder))
        self.passed.append(os.fstat(self.folder))

    def descend(self, *, make: bool, follow: bool) -> None:
        """Go down to the folder of the last name; with `follow` to that of what it leads to."""
        while self._rest:
            self.name = self._rest.pop()
            if not self.is_others and self._is_link(follow=follow or bool(self._rest)):
                continue
            if self._rest:
                self._enter_next(make=make)

    def _is_link(self, *, follow: bool) -> bool:
        """Whether a link was taken apart. Hands over to who has placed what is there."""
        try:
            seen = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        is_link = stat.S_ISLNK(seen.st_mode)
        if not only_root_writes(self.folder) and (is_link or not _is_roots(seen)):
            self._hand_over(seen)
        elif is_link and follow:
            self._take_apart(Path(os.readlink(self.name, dir_fd=self.folder)))
            return True
        return False

    def _take_apart(self, target: Path) -> None:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.is_absolute():
            self._enter(os.open("/", _FOLDER))
        self._rest += reversed(target.parts[target.is_absolute() :] or (".",))

    def _enter_next(self, *, make: bool) -> None:
        links = 0 if self.is_others else os.O_NOFOLLOW  # root has looked whether it is one
        try:
            self._enter(os.open(self.name, _FOLDER | links, dir_fd=self.folder))
        except FileNotFoundError:
            if not make:
                raise
            self._make()

    def _make(self) -> None:
        try:
            os.mkdir(self.name, 0o755, dir_fd=self.folder)
        except FileExistsError:  # another instance's start was first
            self._enter_next(make=False)
            return
        made = os.open(self.name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.folder)
        # In a folder that others can write, what is opened need not be what was made.
        is_to_give = not self.is_others and only_root_writes(self.folder)
        if is_to_give and self._account.uid is not None:
            os.chown(f"/proc/self/fd/{made}", self._account.uid, -1)
        self._enter(made)

    def _enter(self, folder: int) -> None:
        os.close(self.folder)
        self.folder = folder
        if self.is_others:
            return
        seen = os.fstat(folder)
        self.passed.append(seen)
        if not _is_roots(seen):
            self._hand_over(seen)

    def _hand_over(self, seen: os.stat_result) -> None:
        """From here on with the rights of the app's user, or of who owns what was found."""
        self.passed.append(seen)
        account = self._account
        if not account.uid:
            if _is_roots(seen):
                raise PermissionError(errno.EPERM, "a link in a folder that others can write")
            account = account_of_owner(seen.st_uid, seen.st_gid)
        self.is_others = True
        self._stack.enter_context(acting_as(account))


def _is_roots(seen: os.stat_result) -> bool:
    return seen.st_uid == 0


def _closed_file(path: Path, folders: dict[Path, str]) -> str:
    if closed := _closed_folder(path.parent, folders):
        return closed
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return str(path)
    except OSError:
        return ""
    return ""


def _closed_folder(folder: Path, known: dict[Path, str]) -> str:
    if folder not in known:
        above = _closed_folder(folder.parent, known) if folder != folder.parent else ""
        known[folder] = above or _closed_itself(folder)
    return known[folder]


def _closed_itself(folder: Path) -> str:
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - the dot asks for the right to enter it
    except PermissionError:
        return str(folder)
    except OSError:
        return ""
    return ""


def _become(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    number = _SETGROUPS.get(platform.machine(), _SETGROUPS_ELSEWHERE)
    _libc.syscall(number, len(groups), (ctypes.c_uint * len(groups))(*groups))
    _libc.setfsgid(ctypes.c_uint(gid))
    _libc.setfsuid(ctypes.c_uint(uid))
    is_so = (_libc.setfsuid(_INVALID_ID), _libc.setfsgid(_INVALID_ID)) == (uid, gid)
    if not is_so or set(os.getgroups()) != set(groups):
        raise PermissionError(errno.EPERM, f"cannot take on the rights of user {uid}")
