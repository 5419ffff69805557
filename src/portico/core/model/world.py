"""Everything observed at one moment. A plan may look at nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.neighbour import Cluster
from portico.core.model.place import Build


class Endpoint(NamedTuple):
    """An address that discovery hands out for a slot."""

    slot: int
    instance: InstanceId
    port: int
    weight: int = 1
    backup: bool = False
    address: str = "127.0.0.1"


class FarEndpoint(NamedTuple):
    """Another machine of the cluster that discovery hands out for an app: its nginx passes what
    comes from us to the app's instances there.
    """

    machine: str
    """Its name in `[machines]`."""
    address: str
    port: int
    weight: int = 1
    """How many instances are ready there."""
    is_own: bool = False
    """Whether it is this machine, which is among them for apps whose keys are placed."""


@dataclass(frozen=True, slots=True)
class NginxSeen:
    """What is known of nginx."""

    pid: int | None = None
    """The master's, if it runs."""
    generation: int = 0
    live: str = ""
    """Fingerprint of the generation it serves."""
    refused: str = ""
    """Fingerprint of the last generation that it did not accept."""
    refused_because: str = ""
    program: str = ""
    """What it runs, as it was when it was started."""
    version: str = ""
    outdated: bool = False
    """Another file lies where its program was."""
    is_upgrade_interrupted: bool = False
    """A replacement of its program was begun by a daemon that did not live to end it."""
    leaving: float | None = None
    """Since when it takes no connection and finishes what it has; on the clock of `World.now`."""
    busy: bool = False
    """A start, stop or switch is under way; with many sites it takes seconds."""

    def runs(self, build: Build) -> bool:
        """Whether it runs the program that this build was read from."""
        return self.program == build.program and not self.outdated


@dataclass(frozen=True, slots=True)
class World:
    now: float
    """`Clock.monotonic`: seconds since boot."""
    instances: Mapping[InstanceId, Instance] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    """What discovery hands out now, by app; the key is there for every app it knows."""
    far: Mapping[str, tuple[FarEndpoint, ...]] = field(default_factory=dict)
    """The same for the other machines of the cluster."""
    settled: frozenset[InstanceId] = frozenset()
    """Instances of which nginx is known to have been told that they left discovery."""
    connections: Mapping[InstanceId, int] = field(default_factory=dict)
    """Established connections to draining instances; absent means not counted yet."""
    nginx: NginxSeen = NginxSeen()
    memory: Mapping[InstanceId, int] = field(default_factory=dict)
    """Resident bytes, with all children, of the instances whose app has a limit."""
    most_starting: int | None = None
    """How many programs may be starting at a time, as many as the machine has room for; None is
    any number.
    """
    cluster: Cluster | None = None
    """None on a machine that is in no cluster."""
    due: frozenset[str] = frozenset()
    """Apps whose schedule says that it is time. Nobody says it a second time."""

    def by_app(self) -> defaultdict[str, list[Instance]]:
        """The instances of each app; an app that has none gets an empty sequence."""
        found: defaultdict[str, list[Instance]] = defaultdict(list)
        for instance in self.instances.values():
            found[instance.app].append(instance)
        return found


class NginxActivity(NamedTuple):
    workers: int = 0
    """With those that shut down."""
    reloads: int = 0
    """Since the daemon was started."""
