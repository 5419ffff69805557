"""Certificates that no nginx serves: remembered, to be renewed as they were obtained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter

from portico.core.model.certificate import Lineage
from portico.core.model.issuing import LOCAL, Issuing
from portico.core.model.views import StandaloneRequest
from portico.core.planning.lineages import standalone_lineage
from portico.errors import Refused
from portico.ports.state import State

STANDALONE: Final = "standalone"
"""Name of the setting that lists them, a JSON array."""
_RECORD: Final = TypeAdapter(tuple[StandaloneRequest, ...])


def standalone_lineages(state: State) -> Mapping[str, Lineage]:
    return {each.names[0]: standalone_lineage(each) for each in _remembered(state)}


def remember(state: State, request: StandaloneRequest, sites: Mapping[str, object]) -> str:
    """Keep it from now on; returns its name. Refused where it can never be had this way."""
    name = request.names[0]
    if name in sites:
        raise Refused(f"{name} is a site of the file in force; run `portico certs issue {name}`")
    if request.issuer == LOCAL:
        raise Refused("the local authority issues only for sites; use another issuer")
    settings = Issuing(issuer=request.issuer, ca_bundle=request.ca_bundle)
    for each in request.names:
        if each.startswith("*."):
            raise Refused(f"{each} can only be validated in DNS; configure a site with [tls.dns]")
        if not settings.asks_authority(each):
            raise Refused(
                f"{each} is not a public name: only an authority of your own issues certificates "
                "for it, named by --issuer and --ca-bundle"
            )
    others = [each for each in _remembered(state) if each.names[0] != name]
    _put(state, [*others, request.model_copy(update={"force": False})])
    return name


def forget(state: State, name: str) -> None:
    _put(state, [each for each in _remembered(state) if each.names[0] != name])


def _put(state: State, requests: Sequence[StandaloneRequest]) -> None:
    state.put_setting(STANDALONE, _RECORD.dump_json(tuple(requests)).decode())


def _remembered(state: State) -> tuple[StandaloneRequest, ...]:
    return _RECORD.validate_json(state.setting(STANDALONE) or "[]")
