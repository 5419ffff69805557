"""Everything that can be asked of the daemon: one row a verb.

The API serves the rows and describes them as OpenAPI, the client asks by them, and those that
have a group are commands of their own, with help and reference. What a row calls `name` is the
method of `engine/control/operations.py` that does it, or of `read_operations.py` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from portico.core.model.certificate_verbs import CERTIFICATE_VERBS
from portico.core.model.machine_verbs import MACHINE_VERBS
from portico.core.model.member_verbs import MEMBER_VERBS
from portico.core.model.nginx_verbs import NGINX_VERBS
from portico.core.model.verb import QUICK_TIMEOUT, Argument, Verb

if TYPE_CHECKING:
    from portico.core.model.traffic_views import TrafficSeriesView
    from portico.core.model.views import (
        ChangeView,
        CheckView,
        DashboardView,
        EventView,
        FilePlanView,
        LogFileView,
        OutputLineView,
        PlanView,
        PurgeView,
        RenderView,
        RevisionView,
        StatusView,
        VersionView,
    )

CHANGE_APPS: Final = "control apps"
FOLDER: Final = "folder"
"""Query of verbs that take names: where the command was given."""
PROJECT: Final = "project"
_FOLDER_QUERY: Final[Mapping[str, str]] = {
    FOLDER: "Where the command was given, absolute: its project is preferred."
}
_PROJECT_QUERY: Final[Mapping[str, str]] = {
    **_FOLDER_QUERY,
    PROJECT: "Name of the project; default: that of the folder, or the only one.",
}
WITHOUT_ABSENT: Final = "without_absent"
_SHARED_QUERY: Final[Mapping[str, str]] = {
    WITHOUT_ABSENT: "`1`: in a cluster with a store, without the machines that are absent; they "
    "follow when they are back."
}
"""Query of verbs that change all machines of such a cluster."""
_FOLDER_SHARED_QUERY: Final[Mapping[str, str]] = {**_FOLDER_QUERY, **_SHARED_QUERY}
HERE: Final = "here"
_HERE_QUERY: Final[Mapping[str, str]] = {
    **_FOLDER_SHARED_QUERY,
    HERE: "`1`: in a cluster with a store, on this machine alone.",
}
_MACHINE_HELP: Final = "Of this machine of the cluster; default: the one that answers."
_ONE_APP: Final = Argument("app", "name of the app", "APP")
_APPS_HELP: Final = "name of an app or project; default: the project of this folder, or all"
_APPS: Final = Argument("app", _APPS_HELP, "APP", is_optional=True)
_INSTANCES: Final = Argument(
    "app", f"{_APPS_HELP}; or an instance, such as web.2", "APP", is_optional=True
)
_SITE: Final = Argument(
    "site",
    "name of a site, or of a project for all its sites; default: the project of this folder, or "
    "the only one",
    "SITE",
    is_optional=True,
)

STATUS: Final[Verb[StatusView]] = Verb(
    "status",
    "GET",
    "/v1/status",
    "Show what runs.",
    "StatusView",
    query={"app": "Only this app, or this project.", **_FOLDER_QUERY},
    seconds=QUICK_TIMEOUT,
)
METRICS: Final[Verb[str]] = Verb(
    "metrics",
    "GET",
    "/v1/metrics",
    "Show metrics of apps, instances and certificates for Prometheus.",
    "str",
    "text",
    seconds=QUICK_TIMEOUT,
)
TRAFFIC: Final[Verb[TrafficSeriesView]] = Verb(
    "traffic",
    "GET",
    "/v1/traffic",
    "Show the requests of a site, route, app or instance: now, and each minute of the last hour.",
    "TrafficSeriesView",
    query={
        "project": "Only of this project.",
        "machine": _MACHINE_HELP,
        "site": "Only of this site; `stream 5432` is the stream `5432`.",
        "route": "Only of this route, as the file has it; empty: of what no route takes.",
        "app": "Only those passed to this app.",
        "instance": "Only those passed to this instance.",
    },
    seconds=QUICK_TIMEOUT,
)
CHECK: Final[Verb[CheckView]] = Verb(
    "check",
    "POST",
    "/v1/check",
    "Validate a file. Changes nothing.",
    "CheckView",
    request="DocumentRequest",
)
PLAN: Final[Verb[PlanView]] = Verb(
    "plan",
    "POST",
    "/v1/plan",
    "Show what `up` with this file would do, step by step. Changes nothing.",
    "PlanView",
    request="DocumentRequest",
)
PLAN_FILE: Final[Verb[FilePlanView]] = Verb(
    "plan_file",
    "GET",
    "/v1/projects/{project}/plan",
    "Show what `up` with the file of a project, as it is on disk now, would do. Changes nothing.",
    "FilePlanView",
)
RENDER: Final[Verb[RenderView]] = Verb(
    "render",
    "POST",
    "/v1/render",
    "Show the nginx configuration for a file, or for the file in force. Changes nothing.",
    "RenderView",
    request="RenderRequest",
)
UP: Final[Verb[ChangeView]] = Verb(
    "up",
    "POST",
    "/v1/up",
    "Check a whole file, then apply it.",
    request="DocumentRequest",
    query=_SHARED_QUERY,
)
DOWN: Final[Verb[ChangeView]] = Verb(
    "down",
    "POST",
    "/v1/down",
    "Stop a project, or all and nginx. A second call stops waiting for open requests.",
    request="DownRequest",
    query={**_PROJECT_QUERY, **_SHARED_QUERY},
)
START: Final[Verb[ChangeView]] = Verb(
    "start",
    "POST",
    "/v1/apps/[{app}/]start",
    "Start an app, or all.",
    query=_HERE_QUERY,
    arguments=(_APPS,),
)
STOP: Final[Verb[ChangeView]] = Verb(
    "stop",
    "POST",
    "/v1/apps/[{app}/]stop",
    "Stop an app, or all, without removing it.",
    query=_HERE_QUERY,
    group=CHANGE_APPS,
    arguments=(_APPS,),
)
RESTART: Final[Verb[ChangeView]] = Verb(
    "restart",
    "POST",
    "/v1/apps/[{app}/]restart",
    "Stop and start an app, or all. To lose no request, reload it, or set wait.",
    query=_HERE_QUERY,
    group=CHANGE_APPS,
    arguments=(_INSTANCES,),
)
RELOAD: Final[Verb[ChangeView]] = Verb(
    "reload",
    "POST",
    "/v1/apps/[{app}/]reload",
    "Replace instances one by one without losing a request.",
    query=_HERE_QUERY,
    group=CHANGE_APPS,
    arguments=(_INSTANCES,),
)
SCALE: Final[Verb[ChangeView]] = Verb(
    "scale",
    "POST",
    "/v1/apps/{app}/scale",
    "Set the number of instances of an app.",
    request="ScaleRequest",
    query=_FOLDER_SHARED_QUERY,
    group=CHANGE_APPS,
    arguments=(
        _ONE_APP,
        Argument(
            "instances",
            "number of instances, 1 to 1000, or +N for more, -N for fewer",
            "N",
            is_relative=True,
        ),
    ),
)
DELETE: Final[Verb[ChangeView]] = Verb(
    "delete",
    "DELETE",
    "/v1/apps/{app}",
    "Stop an app and remove it.",
    query=_FOLDER_SHARED_QUERY,
    group=CHANGE_APPS,
    arguments=(_ONE_APP,),
    aliases=("del",),
)
PAUSE: Final[Verb[ChangeView]] = Verb(
    "pause",
    "POST",
    "/v1/sites/[{site}/]pause",
    "Serve the maintenance page of a site, or hold its requests.",
    request="PauseRequest",
    query=_FOLDER_SHARED_QUERY,
)
RESUME: Final[Verb[ChangeView]] = Verb(
    "resume",
    "POST",
    "/v1/sites/[{site}/]resume",
    "Resume a paused site.",
    query=_FOLDER_SHARED_QUERY,
    group=CHANGE_APPS,
    arguments=(_SITE,),
)
PURGE: Final[Verb[PurgeView]] = Verb(
    "purge",
    "POST",
    "/v1/sites/{site}/cache/purge",
    "Remove stored answers of a site.",
    "PurgeView",
    request="PurgeRequest",
)
ROLLBACK: Final[Verb[ChangeView]] = Verb(
    "rollback",
    "POST",
    "/v1/rollback",
    "Apply an earlier revision again.",
    request="RollbackRequest",
    query={**_PROJECT_QUERY, **_SHARED_QUERY},
    group=CHANGE_APPS,
    arguments=(
        Argument(
            "revision",
            "number in `portico history`; default: the previous one that served",
            "REVISION",
            is_optional=True,
            is_number=True,
        ),
    ),
)
UPGRADE: Final[Verb[ChangeView]] = Verb(
    "upgrade",
    "POST",
    "/v1/upgrade",
    "Switch nginx to the installed program without losing a request.",
)
HISTORY: Final[Verb[Sequence[RevisionView]]] = Verb(
    "history",
    "GET",
    "/v1/history",
    "Show the revisions that were applied, newest first.",
    "RevisionView",
    "list",
    query={
        FOLDER: _PROJECT_QUERY[FOLDER],
        PROJECT: "Only of this project; default: of the folder's, or all.",
    },
    seconds=QUICK_TIMEOUT,
)
_EVENTS_QUERY: Final[Mapping[str, str]] = {
    "app": "Only of this app, instance, project, site or certificate.",
    "kind": "Only of these kinds, with commas between.",
    **_FOLDER_QUERY,
}
EVENTS: Final[Verb[Sequence[EventView]]] = Verb(
    "events",
    "GET",
    "/v1/events",
    "Show what was done, why, and who asked for it, newest first.",
    "EventView",
    "list",
    query={
        "count": "How many at most; default: 100, no more than 1,000.",
        "since": "Only from then on. Unix time, seconds.",
        "until": "Only before then. Unix time, seconds.",
        "before": "Only events with a smaller number, for the next page.",
        "machine": _MACHINE_HELP,
        **_EVENTS_QUERY,
    },
    seconds=QUICK_TIMEOUT,
)
FOLLOW_EVENTS: Final[Verb[EventView]] = Verb(
    "follow_events",
    "GET",
    "/v1/events/follow",
    "Show events as they are added.",
    "EventView",
    "stream",
    query={
        "after": "Begin behind the event of this number; default: the newest.",
        **_EVENTS_QUERY,
    },
    seconds=QUICK_TIMEOUT,
)
CHANGES: Final[Verb[Sequence[ChangeView]]] = Verb(
    "changes",
    "GET",
    "/v1/changes",
    "Show changes in progress and recently finished.",
    shape="list",
    seconds=QUICK_TIMEOUT,
)
CHANGE: Final[Verb[ChangeView]] = Verb(
    "change", "GET", "/v1/changes/{change}", "Show one change.", seconds=QUICK_TIMEOUT
)
FOLLOW: Final[Verb[ChangeView]] = Verb(
    "follow",
    "GET",
    "/v1/changes/{change}/follow",
    "Show a change, and again after each of its steps, until it has finished.",
    shape="stream",
    seconds=QUICK_TIMEOUT,
)
LOGS: Final[Verb[Sequence[LogFileView]]] = Verb(
    "logs",
    "GET",
    "/v1/logs",
    "Show the paths of the logs of instances and nginx.",
    "LogFileView",
    "list",
    query={"app": "Only this app, or the apps of this project.", **_FOLDER_QUERY},
    seconds=QUICK_TIMEOUT,
)
OUTPUT: Final[Verb[Sequence[OutputLineView]]] = Verb(
    "output",
    "GET",
    "/v1/apps/[{app}/]output",
    "Show what an app, an instance, or all apps printed last, merged by the times in the lines.",
    "OutputLineView",
    "list",
    query={
        "count": "How many lines; default: 20, no more than 1,000.",
        "grep": "Only lines with this text in them, in any case.",
        **_FOLDER_QUERY,
    },
    seconds=QUICK_TIMEOUT,
)
OPEN: Final[Verb[DashboardView]] = Verb(
    "open_dashboard",
    "POST",
    "/v1/dashboard",
    "Serve the dashboard on loopback, and sign in.",
    "DashboardView",
    seconds=QUICK_TIMEOUT,
)
CLOSE: Final[Verb[VersionView]] = Verb(
    "close_dashboard",
    "DELETE",
    "/v1/dashboard",
    "Sign all browsers out of the dashboard and stop serving it.",
    "VersionView",
    seconds=QUICK_TIMEOUT,
)
VERSION: Final[Verb[VersionView]] = Verb(
    "version",
    "GET",
    "/v1/version",
    "Show the version of the daemon.",
    "VersionView",
    seconds=QUICK_TIMEOUT,
)

VERBS: Final[tuple[Verb[Any], ...]] = (
    *(value for value in list(globals().values()) if isinstance(value, Verb)),
    *CERTIFICATE_VERBS,
    *MACHINE_VERBS,
    *MEMBER_VERBS,
    *NGINX_VERBS,
)
"""In the order above, which is also that of commands in `portico --help`."""
