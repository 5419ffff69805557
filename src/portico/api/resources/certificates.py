"""Certificates of authorities: what is held, what comes next, renewed and revoked by hand."""

from __future__ import annotations

from portico.api.resource import Call, Nothing
from portico.core.model.views import (
    CertificateView,
    ChangeView,
    ExportView,
    FolderRequest,
    ImportView,
    RenewerView,
    RenewRequest,
    StandaloneRequest,
)


async def certificates(call: Call[Nothing]) -> list[CertificateView]:
    return await call.control.certificates()


async def renew(call: Call[RenewRequest]) -> ChangeView:
    return await call.control.renew(
        call.path.get("name"), call.who, force=call.body.force, dry_run=call.body.dry_run
    )


async def issue(call: Call[Nothing]) -> ChangeView:
    return await call.control.issue(call.path["name"], call.who)


async def issue_standalone(call: Call[StandaloneRequest]) -> ChangeView:
    return await call.control.issue_standalone(call.body, call.who)


async def revoke(call: Call[Nothing]) -> ChangeView:
    return await call.control.revoke(call.path["name"], call.who)


async def forget(call: Call[Nothing]) -> ChangeView:
    return await call.control.forget(call.path["name"], call.who)


async def renewers(call: Call[Nothing]) -> list[RenewerView]:
    return await call.control.renewers()


async def take_over(call: Call[FolderRequest]) -> ImportView:
    return await call.control.take_over(call.body.folder, call.who)


async def hand_over(call: Call[FolderRequest]) -> ExportView:
    return await call.control.hand_over(call.body.folder, call.who)
