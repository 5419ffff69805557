"""The start of one instance: everything looked up afresh, then one fork and exec.

The program gets a session of its own, /dev/null to read, its log files to write, and nothing
that ties it to this process: no pipe, no open file, no ignored signal.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from portico.adapters.processes import line_stamper
from portico.adapters.processes.finding import mark
from portico.core.model.desired import Spec, plain_path
from portico.core.model.instance import LogFiles
from portico.core.model.launch import Launch
from portico.core.planning.command_line import CommandLine, command_line
from portico.core.planning.environment import (
    NoticePaths,
    environment,
    instance_variables,
    parse_env_file,
    with_preload,
)
from portico.errors import Failed
from portico.system.account import Account, account_of
from portico.system.programs import DEVNULL, Child, Program, StartProgram
from portico.system.rights import (
    barriers,
    folder_of,
    only_root_writes,
    open_file,
    other_writer,
)
from portico.system.text import line_of

log = logging.getLogger(__name__)

MAX_ENV_FILE_SIZE: Final = 1 << 20
STAMP_PROGRAM: Final = str(Path(line_stamper.__file__))
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY
# O_NONBLOCK: to open a pipe that nobody reads would wait for ever.
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """A program that was found, and everything it is started with."""

    program: str
    arguments: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    account: Account
    logs: LogFiles
    stdin: str = "empty"
    timestamp: str | None = None

    def as_program(self, folder: int) -> Program:
        """`folder` is the working folder, as `entered` holds it open."""
        return Program(
            (self.program, *self.arguments),
            self.environment,
            folder,
            self.account.uid,
            self.account.gid,
            self.account.groups,
            umask=0o022,
        )


def start(
    launch: Launch, folder: Path, notices: NoticePaths | None, start_program: StartProgram
) -> Child:
    """Start it; `folder` is where logs lie. Raises Failed with all reasons."""
    found, problems = prepare(launch, folder, notices)
    if found is None:
        raise Failed(f"could not be started: {'; '.join(problems)}")
    try:
        # Before the folders of an app's own files, which belong to its user.
        apps = folder / "apps"
        for each in (apps, (apps / launch.spec.app_name).parent):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {**found.environment, **mark(folder)}
        return _run(replace(found, environment=environment), start_program)
    except (OSError, ValueError) as error:
        raise Failed(f"could not be started: {_explanation(error, found)}") from error


def prepare(
    launch: Launch, folder: Path, notices: NoticePaths | None = None
) -> tuple[Start | None, list[str]]:
    """All that is needed, or everything that is in the way."""
    spec, problems = launch.spec, list[str]()
    logs = LogFiles.of(spec, launch.slot, str(folder))
    account = _attempt(problems, account_of, spec.app.user, spec.app.group)
    rights = account or Account()
    _attempt(problems, _check_logs, logs, rights)
    cwd = _attempt(problems, _working_folder, spec, rights)
    files = _attempt(problems, _env_files, spec, rights)
    if account is None or cwd is None or files is None:
        return None, problems
    if (line := _attempt(problems, _command_line, launch, cwd, files, account)) is None:
        return None, problems
    program = _attempt(problems, _find_program, line, cwd)
    variables = line.environment
    if notices is not None and (spec.app.wait_ready or spec.app.port_fallback):
        unreadable = list[str]()
        _attempt(unreadable, _check_preload, Path(notices.preload), account)
        problems += unreadable if spec.app.wait_ready else []
        if not unreadable:  # without it, only the fallback is missing
            variables = with_preload(variables, notices, spec.app)
    if program is None or problems:
        return None, problems
    stdin, timestamp = spec.app.stdin, spec.app.logs.timestamp
    return Start(program, line.arguments, cwd, variables, account, logs, stdin, timestamp), []


def _attempt(
    problems: list[str], act: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    try:
        return act(*args, **kwargs)
    except ValueError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(f"{error.filename}: {error.strerror}")
    return None


def links_of(spec: Spec) -> dict[str, str]:
    """`Spec.links` as they lead now, with the rights of the app's user. Raises Failed."""
    named = replace(spec, links={})
    try:
        account = account_of(spec.app.user, spec.app.group)
        found = {spec.named_folder: _working_folder(named, account)}
        with suppress(OSError):  # what is not his to enter is looked into by nobody
            found[spec.folder] = _resolve_links(spec.folder, account)
    except ValueError as error:
        raise Failed(str(error)) from error
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from error
    paths = ((plain_path(each), target) for each, target in found.items())
    return {path: target for path, target in paths if path != target and _is_kept(path, target)}


def _is_kept(path: str, target: str) -> bool:
    """Files past a link are found by where it led. A link of somebody else's that leads to what is
    root's alone is not kept: root would no longer know that it was his who led it there.
    """
    return not other_writer(path) or bool(other_writer(target))


def _working_folder(spec: Spec, account: Account) -> str:
    folder = spec.working_folder
    try:
        return _resolve_links(folder, account)
    except FileNotFoundError:
        raise ValueError(_no_folder(spec)) from None
    except NotADirectoryError:
        raise ValueError(f"{Path(folder)} is not a folder") from None


def _no_folder(spec: Spec) -> str:
    if spec.working_folder == spec.named_folder:
        return f"folder {Path(spec.named_folder)} does not exist"
    return (
        f"folder {spec.working_folder}, to which {Path(spec.named_folder)} led, does not exist; "
        f"`portico reload {spec.app_name}` follows the link again"
    )


def _resolve_links(path: str, account: Account) -> str:
    folder = open_file(path, account, _FOLDER)
    try:
        return str(Path(f"/proc/self/fd/{folder}").readlink())
    finally:
        os.close(folder)


def _env_files(spec: Spec, account: Account) -> list[dict[str, str]]:
    named = spec.app.env_file
    names = (named,) if isinstance(named, str) else named
    return [_env_file(Path(spec.path(name)), account) for name in names]


def _env_file(path: Path, account: Account) -> dict[str, str]:
    raw = _read(path, account)
    if len(raw) > MAX_ENV_FILE_SIZE:
        raise ValueError(f"env_file {path} is larger than 1 MiB")
    try:
        return parse_env_file(raw.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} line {line_of(error)}: not UTF-8 text") from error


def _read(path: Path, account: Account) -> bytes:
    try:
        with os.fdopen(open_file(path, account), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"env_file {path} is not a file")
            return file.read(MAX_ENV_FILE_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"env_file {path} does not exist") from None
    except OSError as error:
        why = f"{error.strerror}{_rights_text(account)}"
        raise ValueError(f"cannot read env_file {path}: {why}") from error


def _command_line(
    launch: Launch, cwd: str, files: list[dict[str, str]], account: Account
) -> CommandLine:
    spec = launch.spec
    own = instance_variables(spec.app, spec.app_name, launch.instance, launch.slot, launch.port)
    place = {**account.variables, "PWD": cwd}
    line = command_line(spec.app, environment(spec, place, files, own), own)
    return replace(
        line,
        programs=tuple(map(spec.resolve_path, line.programs)),
        arguments=tuple(map(spec.resolve_path, line.arguments)),
        script=line.script and spec.resolve_path(line.script),
    )


def _find_program(line: CommandLine, cwd: str) -> str:
    # A folder too: Node runs its index.js, Python its __main__.py.
    if line.script is not None and not Path(cwd, line.script).exists():
        raise ValueError(f"file {Path(cwd, line.script)} does not exist")
    path = line.environment["PATH"]
    for name in line.programs:
        if "/" not in name:
            if found := shutil.which(name, path=path):
                return found
        elif (file := Path(cwd, name)).is_file():
            if not os.access(file, os.X_OK):
                raise ValueError(f"{file} is not executable; chmod +x it, or set interpreter")
            return str(file)
    raise ValueError(_no_program(line, cwd, path))


def _no_program(line: CommandLine, cwd: str, path: str) -> str:
    names = [f'"{name}"' for name in line.programs if "/" not in name]
    what = f"there is no program {' or '.join(names)} in PATH ({path})"
    if not names or line.programs[0].startswith("./"):
        what = f"file {Path(cwd, line.programs[0])} does not exist"
    return f"{what}: {line.hint}" if line.hint else what


def _check_logs(logs: LogFiles, account: Account) -> None:
    for path in (Path(logs.stdout), Path(logs.stderr)):
        if path.is_symlink():
            raise ValueError(
                f"log file {path} is a symbolic link; use the path of the file itself"
            )
        if path.is_dir():
            raise ValueError(f"log file {path} is a folder")
        nearest = next(each for each in (path, *path.parents) if each.exists())
        if nearest != path and not nearest.is_dir():
            raise ValueError(f"cannot create log file {path}: {nearest} is not a folder")
        _check_is_writable(path, nearest, account)


def _check_is_writable(path: Path, nearest: Path, account: Account) -> None:
    with folder_of(nearest, account) as (folder, name):
        # effective_ids: access(2) would ask for who started us
        if not os.access(name, os.W_OK, dir_fd=folder, effective_ids=True):
            why = f"{nearest} is not writable{_rights_text(account)}"
            raise ValueError(f"cannot write log file {path}: {why}")


def _rights_text(account: Account) -> str:
    """Root itself may read and write everything."""
    if os.geteuid() != 0:
        return ""
    return f" for {account.name}" if account.uid else " for the owner of its folder"


def _check_preload(file: Path, account: Account) -> None:
    """Node ends a program at once whose --require it cannot read."""
    if account.uid in {None, 0}:
        return
    for folder in file.parents:
        seen = folder.stat()
        groups = {account.gid, *(account.groups or ())}
        shift = 6 if seen.st_uid == account.uid else 3 if seen.st_gid in groups else 0
        if not seen.st_mode >> shift & stat.S_IXOTH:
            raise ValueError(
                f"wait_ready needs {file.parent}, and {account.name or account.uid} may not enter "
                f"{folder}; choose another PORTICO_HOME, or chmod it"
            )


def _run(start: Start, start_program: StartProgram) -> Child:
    account, logs = start.account, start.logs
    with (
        enter_folder(start) as folder,
        _open_log(logs.stdout, account) as out,
        _open_log(logs.stderr, account) as err,
        _input(start.stdin) as stdin,
    ):
        return start_program(_with_stamper(start.as_program(folder), start), stdin, out, err)


def _with_stamper(program: Program, start: Start) -> Program:
    """The program, or what runs it with the time before each of its lines."""
    if start.timestamp is None:
        return program
    needed = [(sys.executable, False), (STAMP_PROGRAM, False)]
    if start.account.uid and (closed := next(filter(None, barriers(start.account, needed)), "")):
        log.warning("no times in %s: %s is closed to its user", start.logs.stdout, closed)
        return program
    before = (sys.executable, "-I", "-S", STAMP_PROGRAM, start.timestamp, start.program)
    return replace(program, words=(*before, *program.words))


@contextmanager
def _input(kind: str) -> Iterator[int]:
    """Empty, or a pipe that the program itself holds open for writing: it ends with no daemon."""
    if kind == "empty":
        yield DEVNULL
        return
    reading, writing = os.pipe()
    try:
        both = os.open(f"/proc/self/fd/{reading}", os.O_RDWR)
        try:
            yield both
        finally:
            os.close(both)
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def enter_folder(start: Start) -> Iterator[int]:
    """The working folder, for a child to change to before it is the app's user: held open with his
    rights, so that a link put there meanwhile leads into nothing that is closed to him.
    """
    folder = open_file(start.cwd, start.account, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _open_log(path: str, account: Account) -> Iterator[int]:
    """A log file to append to, made for the account where it is not there."""
    with folder_of(path, account, make=True) as (folder, name):
        try:
            file = os.open(name, _APPEND, dir_fd=folder)
        except FileNotFoundError:
            file = _create_log(folder, name, account)
    try:
        os.set_blocking(file, True)
        yield file
    finally:
        os.close(file)


def _create_log(folder: int, name: str, account: Account) -> int:
    try:
        file = os.open(name, _APPEND | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=folder)
    except FileExistsError:  # another instance's start was first
        return os.open(name, _APPEND, dir_fd=folder)
    # What he can write in is his already; what others can write in stays root's, who rotates it.
    if account.uid is not None and only_root_writes(folder):
        os.fchown(file, account.uid, account.gid or -1)
    return file


def _explanation(error: OSError | ValueError, start: Start) -> str:
    if not isinstance(error, OSError):
        return str(error)
    who = start.account.name or "this user"
    match error.errno:
        case errno.ENOENT if error.filename == start.program:
            return f"the #! line of {start.program} names a program that does not exist"
        case errno.ENOEXEC:
            return f"{start.program} is not an executable for this machine and has no #! line"
        case errno.EACCES if error.filename == start.program:
            return f"{who} may not execute {start.program}"
        case _:
            return f"{error.filename or start.program}: {os.strerror(error.errno or 0)}"
