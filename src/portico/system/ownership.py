"""Whose a folder is: who could write in it, or put another one in its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from portico.errors import Refused
from portico.system.account import account_of_owner, group_with_members


def assert_own(home: Path, uid: int) -> None:
    """Refused unless this user alone, beside root, decides what the home is and what is in it.

    All folders on the way to it count, those of links too, as sshd does it for its files. In one
    that others may write, such as /tmp, the sticky bit keeps them from what is not theirs.
    """
    if (owner := home.stat().st_uid) != uid:
        raise Refused(f"cannot use {home} as PORTICO_HOME: it belongs to {_user(owner)}")
    way, seen = [home], set[Path]()
    while way:
        at = way.pop()
        for folder in (at, *at.parents):
            if folder in seen:
                continue
            seen.add(folder)
            if wrong := _problem(folder, uid, sticky=folder != home):
                raise Refused(f"cannot use {home} as PORTICO_HOME: {wrong}")
            if folder.is_symlink():
                way.append(folder.parent / folder.readlink())


def writer(seen: os.stat_result, uid: int = 0, *, sticky: bool = True) -> str:
    """Who but root and this user can write it, or make and rename files in it: `ann`, `group
    staff`, `everybody`. Empty where nobody can. `sticky` says whether its sticky bit is enough.
    """
    if seen.st_uid not in {0, uid}:
        return account_of_owner(seen.st_uid, seen.st_gid).name or f"user {seen.st_uid}"
    if stat.S_ISLNK(seen.st_mode) or (sticky and seen.st_mode & stat.S_ISVTX):
        return ""
    if seen.st_mode & stat.S_IWOTH:
        return "everybody"
    return group_with_members(seen.st_gid, uid) if seen.st_mode & stat.S_IWGRP else ""


def _problem(path: Path, uid: int, *, sticky: bool) -> str:
    found = path.lstat()
    who = writer(found, uid, sticky=sticky)
    if found.st_uid not in {0, uid}:
        return f"{path} belongs to {_user(found.st_uid)}, who could replace it"
    return f"{who} can write in {path}; run `chmod go-w {path}`" if who else ""


def _user(uid: int) -> str:
    return f"user {account_of_owner(uid, -1).name or uid}"


def assert_talks_to_owner(home: Path) -> None:
    """Refused where a daemon that answers in the home could be a stranger's. Root may talk to
    everybody's.
    """
    try:
        owner = home.stat().st_uid
    except OSError:
        return  # there is none
    if os.geteuid() != 0 and owner not in {0, os.geteuid()}:
        raise Refused(f"cannot use {home} as PORTICO_HOME: it belongs to {_user(owner)}")
    assert_own(home, owner)
