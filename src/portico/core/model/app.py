"""An app: what the operator runs, and how its instances live. Tables `[apps.NAME]`."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from portico.core.model.balancing import BalanceField, Sticky
from portico.core.model.check import Check, CheckPath
from portico.core.model.cluster import MachineName
from portico.core.model.cron import Cron
from portico.core.model.name_types import AppName
from portico.core.model.units import Count, Duration, FilePath, Kind, Port, Size, Table, Words

MAX_INSTANCES: Final = 1000
_CONNECTS: Final = Check()
_asks_for = lru_cache(lambda path: Check(path=path))

Weight = Annotated[int, Field(ge=1, le=65535)]
EnvName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Kind("a name of letters, digits and _ that does not start with a digit"),
]
EnvValue = Annotated[str | int | float | bool, Kind("text, a number, true or false")]
SlotNumber = Annotated[
    str, Field(pattern=r"^[1-9][0-9]{0,3}$"), Kind("the number of a slot, from 1")
]
Signal = Annotated[
    str,
    Field(
        pattern=r"^SIG(HUP|INT|QUIT|ABRT|KILL|USR1|USR2|PIPE|ALRM|TERM|CONT|WINCH|TTIN|TTOU|POLL)$"
    ),
    Kind("the name of a signal such as SIGTERM or SIGINT"),
]
UserName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$"), Kind("the name of a user or group")
]
TimeZone = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"),
    Kind("the name of a time zone such as Europe/Berlin"),
]


def _is_false(value: object) -> object:
    """Python takes 0 for False; a port that is 0 is a mistake."""
    if value is not False:
        raise ValueError("must be false")
    return value


NoPort = Annotated[Literal[False], BeforeValidator(_is_false)]


class Logs(Table):
    """Where an app's output is written and how much is kept."""

    stdout: FilePath | None = Field(
        None, description="File for standard output, instead of PORTICO_HOME/logs."
    )
    stderr: FilePath | None = Field(
        None, description="File for standard error; the same file may serve both."
    )
    timestamp: (
        Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$"), Kind("one line of text")] | None
    ) = Field(
        None,
        description='What each line begins with, as in strftime(3): "%Y-%m-%dT%H:%M:%S"; also %L '
        "for milliseconds and %:z. Takes a process of 6 MB for each instance.",
    )
    max_size: Size = Field(10 << 20, ge=4096, description="Size at which a file is rotated.")
    keep: Annotated[int, Field(ge=0, le=1000)] = Field(
        5, description="Number of rotated files to keep."
    )
    total_size: Size = Field(
        2 << 30,
        ge=65536,
        description="What all files of the app may take; with many instances each keeps less.",
    )


class SlotServer(Table):
    """Settings of a single slot of an app; slots are numbered from 1."""

    weight: Weight | None = Field(None, description="Its weight.")
    backup: bool | None = Field(
        None, description="Gets requests only when all others are unavailable."
    )
    down: bool | None = Field(None, description="Runs, but gets no requests.")


_NOTHING_SPECIAL: Final = SlotServer()


class AppOnMachine(Table):
    """What differs of an app on a machine of a cluster, or on those with a label."""

    instances: Annotated[int, Field(ge=0, le=MAX_INSTANCES)] | Literal["max"] | None = Field(
        None,
        description='Number of instances there; "max" is one per core, 0 is none. With total the '
        "other machines share the rest.",
    )
    env: dict[EnvName, EnvValue] = Field(
        default_factory=dict,
        description="Environment variables there; those of the app are the default.",
    )
    max_memory: Size | None = Field(
        None,
        ge=1 << 20,
        description="Replace an instance there that uses more, including its children.",
    )


class App(Table):
    """A program, its environment, and the number of its instances."""

    # what runs
    command: Words | None = Field(
        None, description="Program and arguments, split as a shell would but run without one."
    )
    script: FilePath | None = Field(
        None,
        description="A file to run, instead of a command; its ending names the interpreter.",
    )
    args: Words = Field((), description="Arguments after the script or command.")
    interpreter: Annotated[str, Field(min_length=1), Kind("the name of a program")] | None = Field(
        None, description='Program that runs the script; "none" runs the file itself.'
    )
    interpreter_args: Words = Field((), description="Arguments before the script.")
    cwd: FilePath | None = Field(
        None,
        description="Working directory; default: the file's folder. Links are resolved by `up` of "
        "a changed program, `reload` and `restart`, and every start is in the folder found then.",
    )
    env: dict[EnvName, EnvValue] = Field(
        default_factory=dict, description="Environment variables of the instances."
    )
    env_file: FilePath | tuple[FilePath, ...] = Field(
        (), description="Files of NAME=value lines, read at every start."
    )
    inherit_env: bool = Field(
        False, description="Pass on the whole environment of the shell that ran `portico up`."
    )
    stdin: Literal["empty", "open"] = Field(
        "empty",
        description='Standard input: "empty", or "open", which never ends, for a program that '
        "exits when its input does.",
    )
    user: UserName | None = Field(
        None, description="Run as this user (only where Portico is root)."
    )
    group: UserName | None = Field(
        None, description="Run in this group; default: the user's primary group."
    )

    # how many, and where they listen
    on: tuple[MachineName, ...] = Field(
        (),
        description="Names or labels of the machines that it runs on; default: on all. The others "
        "pass requests on to them.",
    )
    instances: Annotated[int, Field(ge=1, le=MAX_INSTANCES)] | Literal["max"] = Field(
        1, description='Number of instances; "max" is one per core.'
    )
    total: Annotated[int, Field(ge=1, le=MAX_INSTANCES)] | None = Field(
        None,
        description="Number of instances on all machines together, in place of instances: each "
        "that it is placed on runs a part of them.",
    )
    machines: dict[MachineName, AppOnMachine] = Field(
        default_factory=dict,
        description="What differs on machines of a cluster, by their names or labels. The table "
        "of a name takes precedence over those of labels, a later one over an earlier one.",
    )
    port: Port | NoPort | None = Field(
        None,
        description="Port of the first instance; the next ones follow. Default: automatic. false: "
        "a worker without a port.",
    )
    port_env: EnvName = Field(
        "PORT", description="Environment variable with the port of the instance."
    )
    find_port: bool = Field(
        False,
        description="If the program listens on another port than that, find it and send requests "
        "there. Without port_fallback it is then stopped before its successor starts, and has one "
        "instance.",
    )
    port_fallback: bool = Field(
        False,
        description="A Node program that listens on a fixed port which another instance uses "
        "listens on $PORT instead, where PM2's cluster would share it.",
    )
    instance_env: EnvName = Field(
        "NODE_APP_INSTANCE",
        description="Environment variable with the number of the instance, from 0.",
    )
    pm_id: Count | None = Field(
        None,
        description="Number of the first instance in the variable pm_id, which PM2 sets; the next "
        "ones follow. Default: the variable is not set.",
    )
    health: CheckPath | Check | None = Field(
        None,
        description="Path of an HTTP check, or a table; without it, an instance is ready when "
        "its port takes connections.",
    )

    # how they live
    after: tuple[AppName, ...] = Field(
        (),
        description="Apps that must be ready before this one starts; they are stopped after it.",
    )
    autostart: bool = Field(
        True, description="Start with `portico up`; if false, only with `portico start`."
    )
    autorestart: bool = Field(True, description="Restart an instance that exits.")
    stop_exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        (), description="Exit codes after which an instance is not started again."
    )
    backoff: Duration = Field(
        0.1, ge=0.01, description="Delay before the first restart; doubles each time."
    )
    backoff_limit: Duration = Field(15.0, ge=0.01, description="Maximum delay between restarts.")
    max_restarts: Count = Field(
        16,
        description="Number of exits in a row, each within min_uptime, after which an instance is "
        "failed.",
    )
    min_uptime: Duration = Field(1.0, description="An exit sooner than this counts as a crash.")
    max_memory: Size | None = Field(
        None,
        ge=1 << 20,
        description="Replace an instance that uses more, including its children.",
    )
    max_age: Duration | None = Field(
        None, ge=10, description="Replace an instance that is older, plus or minus a tenth."
    )
    restart_schedule: Cron | None = Field(
        None,
        description="Replace all instances at these times, one after the other: a cron expression "
        'of five fields such as "0 4 * * *".',
    )
    schedule: Cron | None = Field(
        None,
        description="Run only at these times: a cron expression; for a program that exits by "
        "itself.",
    )
    timeout: Duration | None = Field(
        None, ge=1, description="Stop a run of a `schedule` that takes longer."
    )
    tz: TimeZone | None = Field(
        None,
        description="Time zone of the schedules, such as Europe/Berlin; default: the machine's.",
    )
    watch: bool | FilePath | tuple[FilePath, ...] = Field(
        False,
        description="Replace all instances when a file changes: true for all in the app's folder, "
        "or paths of files and folders.",
    )
    ignore_watch: FilePath | tuple[FilePath, ...] = Field(
        (),
        description="Files to ignore, in addition to node_modules, logs and the like: names of "
        "files and folders, or paths from the app's folder, with `*`, `**`, `?` and "
        "`[a-z]`.",
    )
    watch_delay: Duration = Field(
        0.5, description="Replace them when no file has changed for this long."
    )
    ready_timeout: Duration = Field(
        30.0, ge=0.1, description="Time within which an instance must be ready."
    )
    after_ready_timeout: Literal["restart", "continue"] = Field(
        "restart",
        description='What follows when it is not ready in time: "restart", or "continue" as PM2 '
        "does: it keeps running and gets requests when it answers; if only its notification "
        "(wait_ready) is missing or no site sends it requests, it counts as ready.",
    )
    wait_ready: bool = Field(
        False,
        description="An instance is ready only after it has also sent READY=1 (sd_notify) or "
        "process.send('ready') (Node).",
    )
    batch: int = Field(
        1, ge=1, le=1000, description="Number of instances that a rollout replaces at a time."
    )
    replace_order: Literal["start_first", "stop_first"] = Field(
        "start_first",
        description='Order in which an instance is replaced: "start_first" stops the old one when '
        'the new one is ready; "stop_first" is for a program that cannot run twice, such as a '
        "worker that listens on a fixed port.",
    )
    drain_timeout: Duration = Field(
        30.0, description="How long to wait for open requests before a stop."
    )
    stop_signal: Signal = Field("SIGTERM", description="The signal to stop an instance with.")
    stop_timeout: Duration = Field(
        10.0, description="How long to wait before a stopping instance is killed."
    )
    logs: Logs = Field(Logs(), description="Where output is written and how much is kept.")

    # how nginx treats them: the words of nginx's upstream
    balance: BalanceField = Field(
        "round_robin",
        validate_default=True,
        description="The balancing method, as in nginx. `hash` and `ip_hash` place instances by "
        "a consistent hash of their slots, so that a rollout moves no client; in a cluster the "
        "machine first.",
    )
    sticky: bool | Sticky = Field(
        False,
        description="Keep a client on one instance with a cookie; true, or a table. In a cluster "
        "the cookie names the machine, too.",
    )
    weight: Weight = Field(
        1,
        description="Weight of each instance, relative to other slots or apps of an upstream.",
    )
    slow_start: Duration = Field(
        0.0,
        description="Time in which the weight of an instance that has become ready is raised to "
        "its full value; 0: at once.",
    )
    max_conns: Count = Field(
        0, description="Maximum number of connections to an instance; 0: no limit."
    )
    # A process that is killed takes connections until its end, and Portico tells nginx within a
    # second. nginx keeps failures against an address, also when another process answers there
    # meanwhile: so not for longer, or instances that died one after the other would all be out.
    max_fails: Count = Field(
        1,
        description="Failures within fail_timeout after which nginx skips an instance, unless it "
        "would skip all; 0: never.",
    )
    fail_timeout: Duration = Field(
        0.0,
        description="How long failures count and an instance is skipped, in whole seconds; 0: "
        "until the next second.",
    )
    backup: bool = Field(
        False, description="Get requests only when all other peers of an upstream are unavailable."
    )
    down: bool = Field(False, description="Run without getting requests.")
    slots: dict[SlotNumber, SlotServer] = Field(
        default_factory=dict, description="Weight, backup and down of single slots, by number."
    )
    keepalive: Annotated[int, Field(ge=0, le=65535)] = Field(
        64, description="Idle connections nginx keeps open to the instances, per worker."
    )

    @property
    def listens(self) -> bool:
        return self.port is not False

    @property
    def numbers(self) -> tuple[int | Literal["max"], ...]:
        """Of its instances, and of those on machines that have a number of their own."""
        own = (each.instances for each in self.machines.values())
        return (self.total or self.instances, *(n for n in own if n is not None))

    @property
    def comes_back(self) -> bool:
        """Whether it is started again when it has ended, as what serves is."""
        return self.autorestart and self.schedule is None

    @property
    def runs_once(self) -> bool:
        """Whether its end is all that shows that it has done its work, as with a migration."""
        shows_more = self.listens or self.wait_ready or self.health is not None
        return not (self.autorestart or self.schedule is not None or shows_more)

    @property
    def watches(self) -> tuple[str, ...]:
        """Paths whose changes make a rollout, as its folder sees them; empty if none do."""
        if isinstance(self.watch, bool):
            return (".",) if self.watch else ()
        return (self.watch,) if isinstance(self.watch, str) else self.watch

    def slot(self, number: int) -> SlotServer:
        """What is special about a slot (from 1)."""
        settings = self.slots.get(str(number)) if self.slots else None
        return settings or _NOTHING_SPECIAL

    def pinned_port(self, slot: int) -> int | None:
        """The port that belongs to a slot (from 1), if ports are pinned."""
        return self.port + slot - 1 if self.port else None

    @property
    def check(self) -> Check:
        match self.health:
            case None:
                return _CONNECTS
            case str(path):
                return _asks_for(path)
            case check:
                return check
