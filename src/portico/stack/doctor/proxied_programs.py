"""Which processes nginx passes to: ports of the programs and of the servers that name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portico.stack.doctor.rule import Facts
from portico.stack.doctor.tree import split_address
from portico.stack.model import Program

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"})  # noqa: S104 - read


def is_loopback(host: str) -> bool:
    return host in _LOOPBACK or host.startswith("127.")


def balanced_ports(facts: Facts) -> set[int]:
    """Ports of this machine that nginx passes to."""
    peers = (peer.address for each in facts.nginx.upstreams for peer in each.peers)
    passes = (each.host for each in facts.nginx.passes)
    addresses = map(split_address, (*peers, *passes))
    return {port for host, port in addresses if port and is_loopback(host)}


def is_node(program: Program) -> bool:
    script = str(program.table.get("script", ""))
    words = str(program.table.get("command", "")).split()
    by_node = script.endswith((".js", ".cjs", ".mjs")) and "interpreter" not in program.table
    return by_node or words[:1] in (["node"], ["npm"], ["next"])


def node_ports(facts: Facts) -> set[int]:
    """Ports on which processes of Node listen."""
    of_programs = {p for each in facts.stack.programs if is_node(each) for p in each.ports}
    listening = facts.machine.listening or {}
    return of_programs | {port for port, by in listening.items() if by.program == "node"}


@dataclass(frozen=True, slots=True)
class ProgramGroup:
    """Programs that run the same thing."""

    what: str
    programs: tuple[Program, ...]


def program_groups(facts: Facts) -> Iterator[ProgramGroup]:
    """Those of two or more entries, by what they run and where."""
    found: dict[tuple[str, str, str], list[Program]] = {}
    for each in facts.stack.programs:
        what = str(each.table.get("script") or each.table.get("command") or "")
        where = f"{each.place.file} {each.table.get('cwd')} {each.table.get('args')}"
        found.setdefault((where, what, each.manager), []).append(each)
    for (_, what, _), programs in found.items():
        if what and len(programs) > 1:
            yield ProgramGroup(what, tuple(programs))
