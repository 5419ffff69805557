"""What the API shows, as JSON. Field names are the promise to scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class View(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class PurgeView(View):
    removed: int
    """Stored answers; those that come from a request under way are removed within 65 seconds."""


class ProblemView(View):
    where: str
    what: str
    hint: str | None = None


class ErrorView(View):
    """The body of every error response."""

    error: str
    """The whole message, as it is shown."""
    exit_code: int
    source: str = ""
    """The file that the problems are in."""
    problems: tuple[ProblemView, ...] = ()


class OutputLineView(View):
    """A line that an instance printed."""

    instance: str = Field(description="Its slot, `web.2`; its app where instances share a file.")
    stream: Literal["stdout", "stderr"]
    at: float | None = Field(
        description="When, if it or a line before it in the file says so. Unix time, seconds."
    )
    line: str


class DashboardView(View):
    url: str = Field(description="Signs one browser in, once and within a minute.")


class VersionView(View):
    """The version of the daemon."""

    version: str
    pid: int


class CheckView(View):
    """The result for a valid file; hints are in notes."""

    apps: int
    sites: int
    streams: int = 0
    nginx: str
    notes: tuple[str, ...] = ()


class StepView(View):
    what: str
    """`start web.3 on port 41003`"""
    why: str


class PlanView(View):
    steps: tuple[StepView, ...]
    notes: tuple[str, ...] = ()


class FilePlanView(View):
    """What `up` with the file of a project, as it is on disk now, would do."""

    project: str
    source: str
    changed: bool = Field(False, description="The file differs from what was applied.")
    steps: tuple[StepView, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = Field("", description="Why the file cannot be read or applied, or empty.")


class RenderView(View):
    files: Mapping[str, str]


AppState = Literal[
    "ready",
    "starting",
    "waiting",
    "degraded",
    "failed",
    "stopped",
    "rolling",
    "running",
    "scheduled",
    "elsewhere",
]
"""`waiting` is for the apps that it comes after; `running` and `scheduled` are of an app that is
to end, whose run is under way, and of one with a schedule, whose run is still to come. One that
runs on other machines of the cluster alone is `elsewhere`."""


@dataclass(slots=True)
class TrafficView:
    """Requests of the last minute, as nginx's access logs have them."""

    requests_s: Annotated[float, Field(description="Requests per second.", allow_inf_nan=False)]
    p50_s: Annotated[
        float | None,
        Field(description="Response time that half of them did not exceed; null if unknown."),
    ]
    p95_s: float | None
    p99_s: float | None
    errors: Annotated[int, Field(description="Responses with a code of 500 or above.")]


# `status` makes one an instance: a model, or a frozen record, takes ten times as long to make.
@dataclass(slots=True, kw_only=True)
class InstanceView:
    id: str
    slot: int
    pid: int | None
    port: int
    state: str
    restarts: int
    uptime_s: float
    memory_bytes: int
    cpu_percent: float
    current: Annotated[
        bool, Field(description="Whether it runs the version in force or being rolled out.")
    ]
    reason: str = ""
    worn: Annotated[str, Field(description="Why it will be replaced, while it keeps serving.")] = (
        ""
    )
    says: Annotated[
        str, Field(description="Status text that it reported: STATUS= of sd_notify.")
    ] = ""
    exit_code: Annotated[
        int | None,
        Field(description="Of its last process that exited; null after a signal, or if unknown."),
    ] = None
    ran_s: Annotated[
        float | None, Field(description="How long that process lived, in seconds.")
    ] = None
    cpu_s: Annotated[float, Field(description="Processor time with its children, seconds.")] = 0.0
    connections: Annotated[
        int,
        Field(
            description="Established connections on its port, counted every 5 seconds: requests "
            "in progress, WebSockets, and those that nginx keeps idle for up to 4 seconds."
        ),
    ] = 0
    traffic: TrafficView | None = None
    machine: Annotated[str, Field(description="Where it runs; empty outside a cluster.")] = ""


class AppView(View):
    name: str
    project: str = ""
    state: AppState
    instances: tuple[InstanceView, ...]
    wanted: int
    machines: Mapping[str, int | Literal["max"]] = Field(
        {},
        description="In a cluster, by machine that it is placed on, how many instances it has "
        "there; `max` is one per core.",
    )
    balance: str
    command: str
    cwd: str
    waits: str = Field("", description="What it waits for before it starts.")
    schedule: str = ""
    next_run: float | None = Field(None, description="Unix time, seconds.")
    traffic: TrafficView | None = None


class SiteView(View):
    name: str
    project: str = ""
    urls: tuple[str, ...]
    to: str
    """`app web`, `upstream legacy`, `folder public`, `redirect`, or `3 routes`."""
    certificate: str = ""
    """`local`, `own`, or `authority`; empty without HTTPS."""
    paused: bool = False
    """Closed by `portico pause`."""
    held: float = Field(0.0, description="Seconds for which requests are held; 0: they are not.")
    traffic: TrafficView | None = None


class StreamView(View):
    name: str
    """Its key in the file."""
    project: str = ""
    addresses: tuple[str, ...]
    """Where nginx listens: `127.0.0.1:5432`."""
    to: str
    """`app db`, `upstream legacy`, or `3 names`."""
    traffic: TrafficView | None = Field(
        None, description="Of its connections that have ended; times are how long they lasted."
    )


class NginxView(View):
    pid: int | None
    version: str
    generation: int
    program: str
    workers: int = Field(0, description="Worker processes, with those that shut down.")
    connections: int = Field(
        0, description="Established connections of clients, counted every 5 seconds."
    )
    reloads: int = Field(0, description="Since the daemon was started.")
    outdated: bool = Field(
        False, description="Its program was replaced on disk; `portico upgrade` switches to it."
    )
    openssl: str = Field("", description="`OpenSSL 3.5.4`, or empty where nginx does not say.")
    warning: str = Field("", description="Why another nginx is recommended; empty if none is.")


class DaemonView(View):
    pid: int
    version: str
    memory_bytes: int
    home: str
    uptime_s: float
    mode: Literal["command", "unit", "foreground"] = Field(
        "command",
        description="What started it: a command (it exits when nothing is left to run), an init, "
        "or `portico run` (its exit stops everything).",
    )


class ServerView(View):
    """An address of a server elsewhere that has a health check."""

    address: str
    backup: bool = False
    healthy: bool = True
    reason: str = Field("", description="What the last probe found wrong.")


class UpstreamView(View):
    name: str
    project: str = ""
    servers: tuple[ServerView, ...]


class NeighbourView(View):
    """Another machine of the cluster."""

    name: str
    address: str
    reached: bool = Field(description="Whether it answered the last time.")
    used: bool = Field(description="Whether requests are sent to it.")
    drained: bool = Field(False, description="By `portico cluster drain`.")
    down: bool = Field(False, description="By `portico down --all`.")
    reason: str = Field("", description="Why it did not answer.")
    since: float | None = Field(
        None, description="Since when it does not answer. Unix time, seconds."
    )
    apps: Mapping[str, int] = Field(
        default_factory=dict, description="How many instances of each app are ready there."
    )


class ProjectView(View):
    name: str
    source: str
    """The file in force."""
    folder: str
    revision: int


class StatusView(View):
    projects: tuple[ProjectView, ...] = ()
    apps: tuple[AppView, ...]
    sites: tuple[SiteView, ...]
    streams: tuple[StreamView, ...] = ()
    upstreams: tuple[UpstreamView, ...] = ()
    """Those with a health check."""
    machine: str = Field("", description="Name of this machine in its cluster, or empty.")
    drained: bool = Field(False, description="This machine is, by `portico cluster drain`.")
    neighbours: tuple[NeighbourView, ...] = Field(
        (), description="The other machines of the cluster."
    )
    shared: bool = Field(
        False, description="Changes of apps are made on all machines: the cluster has a store."
    )
    nginx: NginxView
    daemon: DaemonView
    source: str = ""
    """The file in force, of the first project."""
    revision: int = 0
    troubles: tuple[str, ...] = ()
    """Current problems, one sentence each."""
    notes: tuple[str, ...] = ()
    """Hints that are not problems, one sentence each."""


class ChangeView(View):
    """A long operation, which continues whether or not a client follows it."""

    id: str
    kind: str
    """`up`, `restart`, `reload`, `scale`, `stop`, `start`, `delete`, `down`, `drain`, …"""
    subject: str
    state: Literal["doing", "done", "failed"]
    started: float
    lines: tuple[str, ...] = ()
    """Progress messages so far."""
    error: str | None = None
    exit_code: int = 0


class LogFileView(View):
    app: str = Field(description="Empty for a log of nginx.")
    instance: str
    stream: Literal["stdout", "stderr", "access", "error"]
    path: str
    user: str = ""
    """The user who writes it, if the app sets one."""
    site: str = Field("", description="Of an access log.")
    started: float = Field(
        0.0, description="When the process that writes it was started. Unix time, seconds."
    )
    offset: int = Field(
        0, description="Bytes that earlier processes had written; 0 where that is not known."
    )


class RevisionView(View):
    number: int
    project: str
    applied: float
    who: str
    source: str
    current: bool
    folders: tuple[str, ...] = Field((), description="Where links of its apps led: its releases.")


class EventView(View):
    number: int = Field(0, description="Grows with each event.")
    at: float = Field(description="Unix time, seconds.", allow_inf_nan=False)
    kind: str
    subject: str = Field(description="An app, an instance, a certificate, a file, or `nginx`.")
    text: str = Field(description="Why, or who asked for it.")
    project: str = Field("", description="Name of the project that it is of, if any.")
    uid: int | None = Field(None, description="Of the user who asked for it, if anyone did.")
    command: str = Field(
        "",
        description="Command line of the process that requested it, as it reports itself.",
    )
    machine: str = Field("", description="Where it happened; empty outside a cluster.")


class TrustView(View):
    root: str
    """PEM file of the local authority's root certificate."""
    installed: tuple[str, ...]
    """Stores where it was installed or removed."""
    skipped: tuple[str, ...]
    """Stores where that was not possible, each with the reason."""
