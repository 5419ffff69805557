"""The user and group that an instance runs as, and that its files are touched as."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """None stands for what this process is itself."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def account_of(user: str | None, group: str | None) -> Account:
    """ValueError if there is no such user or group, or only root could become it."""
    if user is None and group is None:
        return Account()
    found = None if user is None else _user(user)
    gid = found.pw_gid if found and group is None else _group(group or "")
    if os.geteuid() != 0:
        if (found is None or found.pw_uid == os.geteuid()) and gid == os.getegid():
            return Account()
        raise ValueError(
            f"cannot run as {user or f'group {group}'}: only root can; remove user and group, "
            "or run Portico as root"
        )
    if found is None:
        return Account(None, None, gid, (gid,))
    variables = {"HOME": found.pw_dir, "USER": found.pw_name, "LOGNAME": found.pw_name}
    return Account(
        found.pw_name,
        found.pw_uid,
        gid,
        tuple(os.getgrouplist(found.pw_name, gid)),
        {**variables, "SHELL": found.pw_shell or "/bin/sh"},
    )


def account_if_known(user: str | None, group: str | None) -> Account:
    """The same for files that are there already: of a user who is gone since, nobody's."""
    try:
        return account_of(user, group)
    except ValueError:
        return Account()


def home_folder_of(uid: int) -> str | None:
    """None of a user whom the password database does not have, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return None


def account_of_owner(uid: int, gid: int) -> Account:
    """Of who owns a file; a user without a name is in the file's group only."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Account(None, uid, gid, (gid,))
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return Account(found.pw_name, uid, found.pw_gid, groups)


def group_with_members(gid: int, uid: int = 0) -> str:
    """`group staff`; empty where nobody but root and this user is in it."""
    try:
        name, members = (found := grp.getgrgid(gid)).gr_name, set(found.gr_mem)
    except KeyError:
        return f"group {gid}"
    members |= {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid}
    own = {user.pw_name for user in pwd.getpwall() if user.pw_uid in {0, uid}}
    return f"group {name}" if members - own else ""


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ValueError(f'there is no user "{name}"') from None


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f'there is no group "{name}"') from None
