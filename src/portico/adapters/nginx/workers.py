"""The user of nginx's workers where Portico is root: one of their own, in whose group nobody is.

A build's own user (`nobody`, of the group `users` in the wheel) is that of other programs and
people too, who could then read what only the workers are to read.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import pwd
import re
import shutil
from typing import Final

from portico.system.account import Account, account_of
from portico.system.programs import STDOUT, Program, StartProgram, running

log = logging.getLogger(__name__)

NAME: Final = "portico-nginx"
USERADD_TIMEOUT: Final = 30.0
"""Seconds; useradd waits for others that change the same files."""
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_USER: Final = re.compile(r"^user (\S+?)(?: (\S+))?;$", re.MULTILINE)


async def user_of_workers(start_program: StartProgram, name: str = NAME) -> str:
    """Words for nginx's `user`: of the user of that name, which is made where there is none."""
    if not _exists(name):
        trouble = await _make(start_program, name)
        if not _exists(name):  # another daemon may have been first
            log.warning(
                "nginx's workers run as user nobody instead of their own user: %s", trouble
            )
            return _user_nobody()
    return name


def account_of_workers(main_text: str) -> Account | None:
    """Who reads what a generation has for its workers; None where its main file names nobody."""
    named = _USER.search(main_text)
    try:
        return account_of(named[1], named[2] or named[1]) if named else None
    except ValueError:
        return None  # nginx refuses the file


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


async def _make(start_program: StartProgram, name: str) -> str:
    """Why it could not be made, if it could not."""
    program = shutil.which("useradd", path=_PATH)
    if program is None:
        return "useradd is not installed"
    nothing = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    argv = (program, "--system", "--user-group", *nothing, name)
    try:
        async with running(start_program, Program(argv, {}), stderr=STDOUT) as process:
            async with asyncio.timeout(USERADD_TIMEOUT):
                output, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        return f"{program}: {error}"
    return output.decode(errors="replace").strip()


def _user_nobody() -> str:
    try:
        nobody = pwd.getpwnam("nobody")
        return f"nobody {grp.getgrgid(nobody.pw_gid).gr_name}"
    except KeyError:
        return ""
