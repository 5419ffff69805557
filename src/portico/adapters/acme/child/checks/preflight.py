"""Looks at everything that would make an order fail, as the authority will. Orders nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from portico.adapters.acme.child.account_files import known_url
from portico.adapters.acme.child.challenges.dns.lookup import Lookup
from portico.adapters.acme.child.challenges.responses import response_plan
from portico.adapters.acme.child.challenges.validation import look_ahead
from portico.adapters.acme.child.checks.directory import directory
from portico.adapters.acme.child.checks.self_check import SelfCheck
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.child.order_folder import OrderFolder, names_of
from portico.adapters.acme.child.protocol.accounts import account
from portico.adapters.acme.methods import Http, Method, Standalone, TlsAlpn
from portico.adapters.acme.wire import AccountRequest, PreflightRequest
from portico.core.model.names import is_ip
from portico.core.model.preflight import Address, Caa, Name, PreflightFacts

MAX_PARALLEL_CHECKS: Final = 8
_TRIAL_DATA: Final = bytes(64 << 10)
"""What is written to see whether it can be: quotas and full disks only show then."""


def preflight(request: PreflightRequest, context: RunContext) -> PreflightFacts:
    """Raises AcmeFailure when the authority itself does not answer."""
    issue = request.issue
    identities, clock_ahead = directory(issue.account.server, context)
    unwritable = tuple(filter(None, map(_write_problem, request.folders)))
    room, files = _room(request.folders)
    unprovable, names = "", tuple[Name, ...]()
    try:
        plan = list(response_plan(names_of(issue), issue.methods))
        look_ahead(issue, OrderFolder(issue.folder, issue.order), context)
    except AcmeFailure as failed:
        unprovable, plan = str(failed), []
    if plan and not unwritable:  # without a place for its key there is no account to answer for
        names = _check_names(plan, request, context)
    return PreflightFacts(
        names=names,
        identities=identities,
        account=known_url(issue.account),
        clock_ahead=clock_ahead,
        unwritable=unwritable,
        room=room,
        files=files,
        unprovable=unprovable,
    )


def _check_names(
    plan: Sequence[tuple[str, Method]], request: PreflightRequest, context: RunContext
) -> tuple[Name, ...]:
    self_check = None
    if any(isinstance(method, Http) for _, method in plan):
        thumbprint = account(AccountRequest(request.issue.account, do="key"), context).thumbprint
        self_check = SelfCheck(thumbprint, request.port, context)
    check = partial(_check_name, request, self_check, context)
    with ThreadPoolExecutor(MAX_PARALLEL_CHECKS) as pool:
        return tuple(pool.map(check, plan))


def _check_name(
    request: PreflightRequest,
    self_check: SelfCheck | None,
    context: RunContext,
    response: tuple[str, Method],
) -> Name:
    name, method = response
    by_address = isinstance(method, Http | Standalone | TlsAlpn)
    lookup = Lookup(request.lookups, context)
    try:
        found = lookup.addresses(name) if by_address and not is_ip(name) else []
        owner, records = lookup.caa(name) if not is_ip(name) else ("", [])
        addresses = tuple(
            self_check.ask(name, each, lookup, method)
            if self_check and isinstance(method, Http)
            else Address(each, unasked=True)
            for each in ([name] if is_ip(name) else found)
        )
    except AcmeFailure as failed:
        return Name(name, by_address, trouble=str(failed))
    caa = tuple(
        Caa(each.flags, each.tag.decode(errors="replace"), each.value.decode(errors="replace"))
        for each in records
    )
    return Name(name, by_address, addresses, caa, owner)


def _write_problem(folder: str) -> str:
    """Why nothing can be written there; empty if it can."""
    place = _nearest(Path(folder))
    try:
        with tempfile.TemporaryFile(dir=place) as trial:
            trial.write(_TRIAL_DATA)
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        return f"{place}: {error.strerror or error}"
    return ""


def _room(folders: Sequence[str]) -> tuple[int | None, int | None]:
    """Bytes and files that are left for us, on the fullest of their disks."""
    stats = [os.statvfs(_nearest(Path(folder))) for folder in folders]
    root = os.geteuid() == 0
    room = [(s.f_bfree if root else s.f_bavail) * s.f_frsize for s in stats]
    files = [(s.f_ffree if root else s.f_favail) for s in stats if s.f_files]
    return min(room, default=None), min(files, default=None)


def _nearest(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
