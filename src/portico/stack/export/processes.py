"""The processes of a file, each with all that a process manager starts it with."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.names import InstanceId
from portico.core.model.upstream import Server, Upstream
from portico.core.planning.command_line import CommandLine, command_line
from portico.core.planning.environment import (
    INSTANCE,
    environment,
    instance_variables,
    parse_env_file,
)
from portico.system.text import read_text

FIRST_PORT: Final = 19000
"""Of processes whose file names no port: below those that Portico and Linux give out."""
_OTHER_VARIABLES: Final = frozenset({INSTANCE, "HOME", "LOGNAME", "SHELL", "USER"})
"""Variables that Portico, or whatever starts the process, sets by itself."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of an app."""

    name: str
    """`web-1`, or `web` if the app has one instance."""
    app_name: str
    app: App
    slot: int
    port: int
    """0 for a worker."""
    argv: tuple[str, ...]
    """The program is an absolute path where one was found."""
    cwd: str
    environment: Mapping[str, str]
    """Without what `env_files` hold."""
    env_files: tuple[str, ...]
    from_files: Mapping[str, str]
    """What the env_files hold and `environment` does not set."""


def ports_of(desired: Desired) -> dict[str, tuple[int, ...]]:
    """Fixed ports for every instance that listens, by app: those of the file, else free ones."""
    pinned = {
        (name, slot): port
        for name, app in desired.apps.items()
        for slot in range(1, app.instances + 1)
        if (port := app.app.pinned_port(slot))
    }
    taken = {*pinned.values(), desired.listeners.http, desired.listeners.https}
    free = (port for port in range(FIRST_PORT, 65536) if port not in taken)
    return {
        name: tuple(pinned.get((name, slot)) or next(free) for slot in range(1, app.instances + 1))
        for name, app in desired.apps.items()
        if app.app.listens
    }


def with_servers(desired: Desired, ports: Mapping[str, tuple[int, ...]]) -> Desired:
    """With fixed addresses in the place of apps, as nginx alone can find them."""
    return replace(
        desired,
        upstreams={
            name: upstream.model_copy(
                update={
                    "apps": (),
                    "health": None,
                    "servers": tuple(_servers(upstream, desired, ports)),
                }
            )
            for name, upstream in desired.upstreams.items()
        },
    )


def _servers(
    upstream: Upstream, desired: Desired, ports: Mapping[str, tuple[int, ...]]
) -> Iterator[Server]:
    for name in upstream.apps:
        app = desired.apps[name].app
        for slot, port in enumerate(ports[name], 1):
            special = app.slot(slot)
            own = app.model_fields_set  # a default of an app counts on Portico, which knows more
            limits = {
                key: getattr(app, key) for key in ("max_fails", "fail_timeout") if key in own
            }
            yield Server(
                address=f"127.0.0.1:{port}",
                weight=special.weight or app.weight,
                max_conns=app.max_conns,
                backup=app.backup if special.backup is None else special.backup,
                down=app.down if special.down is None else special.down,
                **limits,
            )
    yield from upstream.servers


def processes(
    desired: Desired, ports: Mapping[str, tuple[int, ...]], environ: Mapping[str, str]
) -> list[Process]:
    """Looks for the programs and reads the env_files; blocks. Raises Failed for one that cannot
    be read, ValueError for a command that names no program.
    """
    return [
        _process(app, slot, ports.get(app.name, ()), environ)
        for app in desired.apps.values()
        for slot in range(1, app.instances + 1)
    ]


def _process(
    wanted: DesiredApp, slot: int, ports: tuple[int, ...], environ: Mapping[str, str]
) -> Process:
    spec, app = wanted.spec, wanted.app
    port = ports[slot - 1] if ports else 0
    named = f"{wanted.name}-{slot}" if wanted.instances > 1 else wanted.name
    own = instance_variables(app, wanted.name, InstanceId(f"{wanted.name}.{slot}"), slot, port)
    cwd = spec.working_folder
    env_files = tuple(spec.path(each) for each in _as_tuple(app.env_file))
    read = [parse_env_file(read_text(Path(each)), each) for each in env_files]
    line = command_line(app, environment(spec, {"PWD": cwd}, read, own), own)
    kept = environment(spec, {}, [], own) | _assignments(line, spec, read, own, cwd)
    return Process(
        named,
        wanted.name,
        app,
        slot,
        port,
        (_program_path(line, cwd, environ), *line.arguments),
        cwd,
        {
            name: value
            for name, value in kept.items()
            if name in app.env or name not in _OTHER_VARIABLES
        },
        env_files,
        {name: value for each in read for name, value in each.items() if name not in kept},
    )


def _assignments(
    line: CommandLine,
    spec: Spec,
    read: Sequence[Mapping[str, str]],
    own: Mapping[str, str],
    cwd: str,
) -> dict[str, str]:
    """The `NAME=value` words before the command."""
    before = environment(spec, {"PWD": cwd}, read, own)
    return {name: value for name, value in line.environment.items() if before.get(name) != value}


def _program_path(line: CommandLine, cwd: str, environ: Mapping[str, str]) -> str:
    """The program's path, or its best name where it is not on this machine."""
    for name in line.programs:
        if "/" not in name:
            if found := shutil.which(name, path=environ.get("PATH")):
                return found
        elif os.access(path := posixpath.normpath(posixpath.join(cwd, name)), os.X_OK):
            return path
    return line.programs[0]


def _as_tuple(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given
