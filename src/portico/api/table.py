"""Every resource of the API, in one table. `openapi.py` describes it and `app.py` serves it."""

from __future__ import annotations

from typing import Any, Final

from portico.api.resource import Nothing, Resource
from portico.api.resources import apps, changes, documents, installation, revisions, sites
from portico.core.model.views import (
    ChangeView,
    CheckView,
    DocumentRequest,
    DownRequest,
    LogFileView,
    PlanView,
    RenderRequest,
    RenderView,
    RevisionView,
    RollbackRequest,
    ScaleRequest,
    StatusView,
    TrustRequest,
    TrustView,
    VersionView,
)

TABLE: Final[tuple[Resource[Any], ...]] = (
    Resource("GET", "/v1/status", "What runs now.", installation.status, Nothing, StatusView),
    Resource(
        "POST",
        "/v1/check",
        "Whether a file could be used. Changes nothing.",
        documents.check,
        DocumentRequest,
        CheckView,
    ),
    Resource(
        "POST",
        "/v1/plan",
        "What `up` with this file would do, step by step. Changes nothing.",
        documents.plan,
        DocumentRequest,
        PlanView,
    ),
    Resource(
        "POST",
        "/v1/render",
        "The nginx files of a file, or of what is in force. Changes nothing.",
        documents.render,
        RenderRequest,
        RenderView,
    ),
    Resource(
        "POST",
        "/v1/up",
        "Check a whole file, then apply it.",
        documents.up,
        DocumentRequest,
        ChangeView,
        status=202,
    ),
    Resource(
        "POST",
        "/v1/down",
        "Stop nginx and every instance. Asked again, it waits for no open request any more.",
        apps.down,
        DownRequest,
        ChangeView,
        status=202,
    ),
    *(
        Resource("POST", path, f"{what} {which}.", handle, Nothing, ChangeView, status=202)
        for handle, what in (
            (apps.start, "Start"),
            (apps.stop, "Stop"),
            (apps.restart, "Stop and start"),
            (apps.reload, "Replace the instances, without losing a request, of"),
        )
        for path, which in (
            (f"/v1/apps/{handle.__name__}", "every app"),
            (f"/v1/apps/{{app}}/{handle.__name__}", "an app"),
        )
    ),
    Resource(
        "POST",
        "/v1/apps/{app}/scale",
        "Run so many instances of an app.",
        apps.scale,
        ScaleRequest,
        ChangeView,
        status=202,
    ),
    Resource(
        "DELETE",
        "/v1/apps/{app}",
        "Stop an app and forget it.",
        apps.delete,
        Nothing,
        ChangeView,
        status=202,
    ),
    Resource(
        "POST",
        "/v1/sites/{site}/pause",
        "Answer with the maintenance page until resumed.",
        sites.pause,
        Nothing,
        ChangeView,
        status=202,
    ),
    Resource(
        "POST",
        "/v1/sites/{site}/resume",
        "Open a paused site again.",
        sites.resume,
        Nothing,
        ChangeView,
        status=202,
    ),
    Resource(
        "GET",
        "/v1/history",
        "The files that were applied, newest first.",
        revisions.history,
        Nothing,
        RevisionView,
        "list",
    ),
    Resource(
        "POST",
        "/v1/rollback",
        "Apply an earlier revision again.",
        revisions.rollback,
        RollbackRequest,
        ChangeView,
        status=202,
    ),
    Resource(
        "GET",
        "/v1/changes",
        "Changes in progress and lately ended.",
        changes.changes,
        Nothing,
        ChangeView,
        "list",
    ),
    Resource("GET", "/v1/changes/{id}", "One change.", changes.change, Nothing, ChangeView),
    Resource(
        "GET",
        "/v1/changes/{id}/follow",
        "A change now, and again whenever it has moved, until it has ended.",
        changes.follow,
        Nothing,
        ChangeView,
        "stream",
    ),
    Resource(
        "GET",
        "/v1/logs",
        "Where the output of instances and nginx's logs lie.",
        installation.logs,
        Nothing,
        LogFileView,
        "list",
        query={"app": "Of this app only."},
    ),
    Resource(
        "POST",
        "/v1/trust",
        "Make this machine trust the local authority.",
        installation.trust,
        TrustRequest,
        TrustView,
    ),
    Resource(
        "POST",
        "/v1/upgrade",
        "Replace the nginx that runs by today's program of it, without losing a request.",
        installation.upgrade,
        Nothing,
        ChangeView,
        status=202,
    ),
    Resource(
        "GET", "/v1/version", "Which daemon answers.", installation.version, Nothing, VersionView
    ),
)
