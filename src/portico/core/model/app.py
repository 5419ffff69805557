"""An app: what the operator runs, and how its instances live. Tables `[apps.NAME]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from portico.core.model.balancing import BalanceField, Sticky
from portico.core.model.units import Duration, Size, Table

Port = Annotated[int, Field(ge=1, le=65535)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Signal = Annotated[str, Field(pattern=r"^SIG[A-Z0-9]+$")]


class Check(Table):
    """How Portico asks an instance whether it is ready. Table `[apps.NAME.health]`."""

    path: str | None = Field(
        None, pattern=r"^/[!-~]*$", description="HTTP path to GET; without it, a TCP connection."
    )
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = Field(
        (), description="Answers that count as good; 200 to 399 if unset."
    )
    host: str | None = Field(None, pattern=r"^[!-~]+$", description="The Host header to send.")
    interval: Duration = Field(5.0, description="Between two probes of a ready instance.")
    timeout: Duration = Field(5.0, description="A probe that takes longer has failed.")


class Logs(Table):
    """Where an app's output goes and how much of it is kept. Table `[apps.NAME.logs]`."""

    stdout: str | None = Field(
        None, description="File for standard output, instead of PORTICO_HOME/logs."
    )
    stderr: str | None = Field(
        None, description="File for standard error; the same file may serve both."
    )
    max_size: Size = Field(10 << 20, ge=4096, description="A larger file is rotated.")
    keep: int = Field(5, ge=0, le=1000, description="How many rotated files stay.")


class SlotServer(Table):
    """What differs for one slot: `[apps.NAME.slots.2]`."""

    weight: Annotated[int, Field(ge=1, le=65535)] | None = None
    backup: bool | None = None
    down: bool | None = None


class App(Table):
    """What the operator runs: one command, its environment, and how many copies of it."""

    # what runs
    command: str | tuple[str, ...] | None = Field(
        None, description="Program and arguments, split as a shell would but run without one."
    )
    script: str | None = Field(
        None, description="A file to run; its ending names the interpreter."
    )
    args: str | tuple[str, ...] = Field((), description="Arguments after the script or command.")
    interpreter: str | None = Field(
        None, description='Program that runs the script; "none" runs the file itself.'
    )
    interpreter_args: str | tuple[str, ...] = ()
    cwd: str | None = Field(
        None,
        description="Folder to run in; the file's if unset. A link is followed at every start.",
    )
    env: dict[EnvName, str | int | float | bool] = Field(default_factory=dict)
    env_file: str | tuple[str, ...] = Field(
        (), description="Files of NAME=value lines, read at every start."
    )
    inherit_env: bool = Field(
        False, description="Pass on the whole environment of the shell that ran `portico up`."
    )
    user: str | None = Field(None, description="Run as this user (only where Portico is root).")
    group: str | None = None

    # how many, and where they listen
    instances: Annotated[int, Field(ge=1, le=1000)] | Literal["max"] = Field(
        1, description='How many copies; "max" is one a core.'
    )
    port: Port | Literal[False] | None = Field(
        None,
        description="Pinned port of the first instance, the next ones follow; automatic if unset; "
        "false for a worker that listens nowhere.",
    )
    port_env: EnvName = Field("PORT", description="The variable that tells an instance its port.")
    instance_env: EnvName = Field(
        "NODE_APP_INSTANCE", description="The variable that tells an instance its number, from 0."
    )
    health: str | Check | None = Field(None, description="Path of an HTTP check, or a table.")

    # how they live
    autostart: bool = True
    autorestart: bool = Field(True, description="Start again what exits.")
    stop_exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        (), description="Exit codes after which an instance is left stopped."
    )
    backoff: Duration = Field(
        0.1, description="Delay before the first restart; doubles each time."
    )
    backoff_limit: Duration = Field(15.0, description="The longest delay between restarts.")
    max_restarts: int = Field(
        16, ge=0, description="Exits in a row, each within min_uptime, that make a crash loop."
    )
    min_uptime: Duration = Field(1.0, description="An exit sooner than this counts as a crash.")
    ready_timeout: Duration = Field(30.0, description="An instance must answer within this.")
    batch: int = Field(1, ge=1, description="How many instances a rollout replaces at a time.")
    drain_timeout: Duration = Field(30.0, description="How long open requests may hold up a stop.")
    stop_signal: Signal = "SIGTERM"
    stop_timeout: Duration = Field(10.0, description="After this a stopping instance is killed.")
    logs: Logs = Logs()

    # how nginx treats them: the words of nginx's upstream
    balance: BalanceField = Field(
        "round_robin", validate_default=True, description="The balancing method."
    )
    sticky: bool | Sticky = False
    weight: Annotated[int, Field(ge=1, le=65535)] = 1
    max_conns: Annotated[int, Field(ge=0)] = Field(
        0, description="Connections at a time to an instance; 0 is no limit."
    )
    max_fails: Annotated[int, Field(ge=0)] = 1
    fail_timeout: Duration = Field(10.0, description="Whole seconds, as nginx counts them.")
    backup: bool = False
    down: bool = False
    slots: dict[str, SlotServer] = Field(
        default_factory=dict, description="Weight, backup and down of single slots, by number."
    )
    keepalive: int = Field(
        64, ge=0, description="Idle connections nginx keeps open to the instances, per worker."
    )

    @property
    def listens(self) -> bool:
        return self.port is not False

    def pinned(self, slot: int) -> int | None:
        """The port that belongs to a slot (from 1), if ports are pinned."""
        return self.port + slot - 1 if self.port else None

    @property
    def check(self) -> Check:
        match self.health:
            case None:
                return Check()
            case str(path):
                return Check(path=path)
            case check:
                return check
