"""Certificates that no nginx serves: remembered, to be renewed as they were obtained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter

from portico.core.model.certificate import Lineage
from portico.core.model.certificate_views import StandaloneRequest
from portico.core.model.desired import Desired
from portico.core.model.issuing import LOCAL_ISSUER, IssuanceSettings
from portico.core.planning.lineages import standalone_lineage
from portico.errors import Refused
from portico.ports.state import State

STANDALONE: Final = "standalone"
"""Name of the setting that lists them, a JSON array."""
_RECORD: Final = TypeAdapter(tuple[StandaloneRequest, ...])


def standalone_lineages(state: State) -> Mapping[str, Lineage]:
    return {each.names[0]: standalone_lineage(each) for each in _stored_requests(state)}


def remember(state: State, request: StandaloneRequest, desired: Desired) -> str:
    """Keep it from now on; returns its name. Refused where it can never be had this way."""
    name = request.names[0]
    if name in desired.sites:
        raise Refused(f"{name} is a site of the file in force; run `portico certs issue {name}`")
    if request.issuer == LOCAL_ISSUER:
        raise Refused("the local authority issues only for sites; use another issuer")
    settings = IssuanceSettings(issuer=request.issuer, ca_bundle=request.ca_bundle)
    for each in request.names:
        if each.startswith("*."):
            raise Refused(f"{each} can only be validated in DNS; configure a site with [tls.dns]")
        if not settings.asks_authority(each):
            raise Refused(
                f"{each} is not a public name: only an authority of your own issues certificates "
                "for it, named by --issuer and --ca-bundle"
            )
    if desired.sites and request.http_port == desired.listeners.http:
        tables = _as_site(request, next(iter(desired.sites)))
        raise Refused(
            f"nginx of this Portico listens on port {request.http_port}, so {name} has to be a "
            f"site; nothing was changed. Add to the file:\n{tables}"
        )
    others = [each for each in _stored_requests(state) if each.names[0] != name]
    _put(state, [*others, request.model_copy(update={"force": False})])
    return name


def _as_site(request: StandaloneRequest, other: str) -> str:
    """The tables of the file that stand for it; browsers go to the other site."""
    name, *aliases = request.names
    lines = [f'[sites."{name}"]']
    if aliases:
        lines.append(f"aliases = {json.dumps(aliases)}")
    lines.append(f'redirect = "https://{other}"  # or an app or folder, for browsers')
    settings = {
        "issuer": request.issuer,
        "email": request.email,
        "ca_bundle": request.ca_bundle,
        "key_type": request.key_type,
        "deploy_hook": request.deploy_hook,
    }
    given = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if value]
    given += [] if request.preflight else ["preflight = false"]
    return "\n".join([*lines, "", f'[sites."{name}".tls]', *given] if given else lines)


def forget(state: State, name: str) -> None:
    _put(state, [each for each in _stored_requests(state) if each.names[0] != name])


def _put(state: State, requests: Sequence[StandaloneRequest]) -> None:
    state.put_setting(STANDALONE, _RECORD.dump_json(tuple(requests)).decode())


def _stored_requests(state: State) -> tuple[StandaloneRequest, ...]:
    return _RECORD.validate_json(state.setting(STANDALONE) or "[]")
