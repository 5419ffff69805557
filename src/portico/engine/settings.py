"""What is in force, as the state has it in its settings. What cannot be read is logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError

from portico.core.model.cluster import MemberList
from portico.core.model.names import PROJECT
from portico.core.model.place import AUTO
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest
from portico.ports.state import State

log = logging.getLogger(__name__)

PAUSED_SITES: Final = "paused"
"""Name of the setting that lists the sites closed by hand, a JSON array."""
HELD_SITES: Final = "held"
"""Name of the setting that holds the sites whose requests are held: a JSON object of seconds."""
IN_FORCE: Final = "in_force"
"""Name of the setting that holds, by project, the number of the revision in force: a JSON object;
before there were projects it was the number of the only one."""
EDGE: Final = "edge"
"""Name of the setting that holds the machine's own settings in force, as a DocumentRequest."""
DRAINED_APPS: Final = "drained"
"""Name of the setting that holds which apps a drained machine has left to others, a JSON array;
null if it is not drained."""
DRAINED_MACHINES: Final = "drained_machines"
"""Name of the setting that lists the drained machines whose parts of a `total` others run, a JSON
array."""
MEMBERS: Final = "members"
"""Name of the setting that holds the machines of the cluster's store in force, a MemberList."""
NGINX: Final = "nginx"
"""Name of the setting that holds which nginx was selected: a path, `wheel` or `auto`."""
VERSION: Final = "version"
"""Name of the setting that holds which version of Portico ran here last."""
_EDGE: Final[TypeAdapter[DocumentRequest | None]] = TypeAdapter(DocumentRequest | None)
_DRAINED_APPS: Final[TypeAdapter[frozenset[str] | None]] = TypeAdapter(frozenset[str] | None)
_MEMBERS: Final[TypeAdapter[MemberList | None]] = TypeAdapter(MemberList | None)
_NAMES: Final = TypeAdapter(frozenset[str])
_HELD_SITES: Final = TypeAdapter(dict[str, float])
_NUMBERS: Final[TypeAdapter[int | dict[str, int]]] = TypeAdapter(int | dict[str, int])


def writes(state: State, values: Mapping[str, object]) -> dict[str, Callable[[], object]]:
    """What puts these settings on disk, by name; the values are JSON."""
    return {
        name: partial(state.put_setting, name, json.dumps(value)) for name, value in values.items()
    }


def numbers(state: State) -> dict[str, int]:
    """Of the revisions in force, by project. If they cannot be read, the newest one: with none in
    force, everything would stop.
    """
    try:
        found = _NUMBERS.validate_json(state.setting(IN_FORCE) or "{}")
    except ValidationError as error:
        log.warning("cannot read which file is in force, using the newest: %s", error)
        found = max((revision.number for revision in state.revisions()), default={})
    return {PROJECT: found} if isinstance(found, int) else found


def add_revision(state: State, revision: Revision, added: list[Revision]) -> None:
    """Put one on disk and in force, and with its number into `added`."""
    added.append(state.add_revision(revision))
    in_force = {**numbers(state), revision.project: added[-1].number}
    state.put_setting(IN_FORCE, json.dumps(in_force))


def with_next_number(state: State, revision: Revision) -> Revision:
    """With the number that the next one on disk gets."""
    last = max((each.number for each in state.revisions()), default=0)
    return replace(revision, number=last + 1)


def revisions(state: State) -> dict[str, Revision]:
    """Those in force, by project."""
    known = {revision.number: revision for revision in state.revisions()}
    return {project: known[each] for project, each in numbers(state).items() if each in known}


def edge(state: State) -> DocumentRequest | None:
    try:
        return _EDGE.validate_json(state.setting(EDGE) or "null")
    except ValidationError as error:
        log.warning("cannot read the settings of edge.toml in force, using none: %s", error)
        return None


def selected_nginx(state: State) -> str:
    """What `portico nginx use` was given last."""
    return state.setting(NGINX) or AUTO


def paused_sites(state: State) -> frozenset[str]:
    return _names(state, PAUSED_SITES, "sites are paused")


def drained_apps(state: State) -> frozenset[str] | None:
    try:
        return _DRAINED_APPS.validate_json(state.setting(DRAINED_APPS) or "null")
    except ValidationError as error:
        log.warning("cannot read whether this machine is drained; it is not: %s", error)
        return None


def drained_machines(state: State) -> frozenset[str]:
    return _names(state, DRAINED_MACHINES, "machines are drained")


def _names(state: State, setting: str, which: str) -> frozenset[str]:
    try:
        return _NAMES.validate_json(state.setting(setting) or "[]")
    except ValidationError as error:
        log.warning("cannot read which %s, using none: %s", which, error)
        return frozenset()


def members(state: State) -> MemberList | None:
    try:
        return _MEMBERS.validate_json(state.setting(MEMBERS) or "null")
    except ValidationError as error:
        log.warning("cannot read the machines of the cluster, using none: %s", error)
        return None


def members_text(members: MemberList) -> str:
    return _MEMBERS.dump_json(members).decode()


def holds(state: State) -> dict[str, float]:
    try:
        return _HELD_SITES.validate_json(state.setting(HELD_SITES) or "{}")
    except ValidationError as error:
        log.warning("cannot read which sites hold their requests, using none: %s", error)
        return {}
