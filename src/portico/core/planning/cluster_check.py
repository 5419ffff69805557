"""What differs between the machines of a cluster that should not, and what fails between them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portico.core.model.machine_views import (
    ClusterFindingView,
    ClusterMachineView,
    MachineFactsView,
)
from portico.core.model.moments import moment
from portico.core.model.snapshot import MemberHealth

CLOCK_TOLERANCE: Final = 2.0
"""Seconds between two clocks."""
RENEWAL_NOTICE: Final = 180 * 86400.0
"""Seconds before the end of a machine's certificate from which on a new one is recommended."""
DEFAULT_QUOTA: Final = 2 << 30
"""Bytes that the database of etcd may have, unless it says more (its `--quota-backend-bytes`)."""
LARGE_SHARE: Final = 0.8
"""Of these, from which on a database is large."""
_MACHINE_TABLES: Final = frozenset({"edge"})
"""Tables of the file that may differ from machine to machine."""


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """What another machine answered, or why it did not."""

    name: str
    member: MachineFactsView | None
    problem: str = ""
    asked: float = 0.0
    """Wall time of this machine at the question."""
    round_trip: float = 0.0
    """Seconds."""

    @property
    def clock_offset(self) -> float | None:
        """How far its clock is ahead of ours, in seconds: its time is that of half the way."""
        if self.member is None or self.member.time is None:
            return None
        return self.member.time - (self.asked + self.round_trip / 2)


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the store of the cluster, and each of its members, says of itself."""

    trouble: str = ""
    """Why this machine does not follow it; empty if it does."""
    members: Sequence[MemberHealth] = ()
    schema: int = 0
    """In use there, as far as this machine knows."""


def digest_of(document: Mapping[str, object]) -> str:
    """Of a file in force, without what may differ from machine to machine."""
    shared = {key: each for key, each in document.items() if key not in _MACHINE_TABLES}
    text = json.dumps(shared, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def machine_rows(
    own: MachineFactsView, answers: Sequence[MemberAnswer]
) -> tuple[ClusterMachineView, ...]:
    return (
        _row(own.machine, own, 0.0),
        *(_row(each.name, each.member, each.clock_offset) for each in answers),
    )


def _row(name: str, member: MachineFactsView | None, apart: float | None) -> ClusterMachineView:
    return ClusterMachineView(
        name=name,
        answers=member is not None,
        version=member.version if member else None,
        apart_s=None if apart is None else round(apart, 2),
        certificate_until=member.certificate_until if member else None,
    )


def findings(
    own: MachineFactsView,
    answers: Sequence[MemberAnswer],
    now: float,
    store: StoreAnswer | None = None,
) -> list[ClusterFindingView]:
    """Errors first. `now` is wall time."""
    members = [own, *(each.member for each in answers if each.member)]
    found = [
        *_silent_machines(answers),
        *_unreached_machines(members),
        *_clocks(own.machine, answers),
        *_versions(members),
        *_files(members),
        *(
            each
            for member in members
            for each in _certificate(member, now, has_store=store is not None)
        ),
        *(_store(own.machine, store) if store else ()),
        *(_schemas(members, store.schema) if store else ()),
    ]
    return sorted(found, key=lambda each: each.severity)


def _store(own: str, store: StoreAnswer) -> Iterator[ClusterFindingView]:
    if store.trouble:
        yield _error(own, f"does not follow the store of the cluster: {store.trouble}")
    for member in store.members:
        if member.problem:
            yield _error("", f"etcd at {member.endpoint}: {member.problem}")
        quota = member.quota or DEFAULT_QUOTA
        if member.size is not None and member.size > LARGE_SHARE * quota and not member.problem:
            yield _warning(
                "",
                f"etcd at {member.endpoint}: its database has {_mib(member.size)} of "
                f"{_mib(quota)}, and takes no changes when it is full. Compact and defragment it",
            )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _schemas(members: Sequence[MachineFactsView], used: int) -> Iterator[ClusterFindingView]:
    known = {each.machine: each.store_schema or 1 for each in members}
    for machine, schema in known.items():
        if schema < used:
            yield _error(
                machine,
                f"knows schema {schema} of the store, and {used} is in use: it does not follow "
                "the store. Upgrade Portico there",
            )
    if used and min(known.values()) > used:
        yield _warning(
            "",
            f"all machines know schema {min(known.values())} of the store, and {used} is in use; "
            "run `portico cluster upgrade`",
        )


def _error(machine: str, what: str) -> ClusterFindingView:
    return ClusterFindingView(severity="error", machine=machine, what=what)


def _warning(machine: str, what: str) -> ClusterFindingView:
    return ClusterFindingView(severity="warning", machine=machine, what=what)


def _silent_machines(answers: Sequence[MemberAnswer]) -> Iterator[ClusterFindingView]:
    for each in answers:
        if each.member is None:
            yield _error(each.name, f"gives no answer: {each.problem}")


def _unreached_machines(members: Sequence[MachineFactsView]) -> Iterator[ClusterFindingView]:
    """Each way of a pair: a firewall may close one of them."""
    for member in members:
        for name, why in (member.unreached or {}).items():
            yield _error(member.machine, f"does not reach {name}: {why}")


def _clocks(own: str, answers: Sequence[MemberAnswer]) -> Iterator[ClusterFindingView]:
    for answer in answers:
        offset = answer.clock_offset
        if offset is not None and abs(offset) > CLOCK_TOLERANCE + answer.round_trip / 2:
            way = "ahead of" if offset > 0 else "behind"
            yield _warning(
                answer.name,
                f"has a clock that is {abs(offset):.1f} s {way} that of {own}; synchronize both "
                "by NTP",
            )


def _versions(members: Sequence[MachineFactsView]) -> Iterator[ClusterFindingView]:
    """A machine that does not say its version is of another one."""
    for what, of in (
        ("version {} of Portico", {each.machine: each.version or "unknown" for each in members}),
        (
            "version {} of the lists by which machines say what is ready",
            {each.machine: str(each.lists or "unknown") for each in members},
        ),
    ):
        if len(set(of.values())) > 1:
            for machine, version in of.items():
                yield _warning(machine, f"has {what.format(version)}; others have another version")


def _files(members: Sequence[MachineFactsView]) -> Iterator[ClusterFindingView]:
    """What most machines have counts as right; of as many, what is first."""
    known = {each.machine: each.files for each in members if each.files is not None}
    for project in sorted({project for files in known.values() for project in files}):
        digests = {machine: files.get(project, "") for machine, files in known.items()}
        [(usual, _)] = Counter(digests.values()).most_common(1)
        for machine, digest in digests.items():
            if digest != usual:
                which = "another" if digest else "no"
                yield _warning(
                    machine,
                    f"has {which} file in force for project {project}; others differ. Apply the "
                    "same file on all machines",
                )


def _certificate(
    member: MachineFactsView, now: float, *, has_store: bool
) -> Iterator[ClusterFindingView]:
    until = member.certificate_until
    if until is None or until - now > RENEWAL_NOTICE:
        return
    renew = (
        f"run `portico cluster token --replace {member.machine}`"
        if has_store
        else f"run `portico cluster invite {member.machine} --replace` on the first machine"
    )
    if until <= now:
        yield _error(member.machine, f"has a certificate that expired at {moment(until)}; {renew}")
    else:
        yield _warning(
            member.machine, f"has a certificate that expires at {moment(until)}; {renew}"
        )
