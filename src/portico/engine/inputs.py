"""What is wanted of all projects, from their files as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from portico.core.config.desired import desired_from, notify_targets, program_id
from portico.core.config.document import Document, read_document
from portico.core.config.edge_rules import Machine as MachineFacts
from portico.core.config.machine_rules import placement_problems, stored_machines_problems
from portico.core.config.merging import (
    ProjectFile,
    conflicts,
    merge,
    merged_edge,
    merged_machines,
    qualified_document,
)
from portico.core.config.placement import desired_on, document_on
from portico.core.model.cluster import Machine as ClusterMachine
from portico.core.model.cluster import MemberList, OwnMachine
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.notification import MACHINE_KEY
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest
from portico.core.model.stream import parse_listen
from portico.core.planning.runs import runs_before
from portico.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of this machine once and for all."""

    home: str
    cores: int
    root: bool
    workers: str
    """As in `RenderContext`."""
    secret: str
    open_files: int
    resolver: str
    """Where discovery answers, as nginx's `resolver` takes it."""
    nameservers: tuple[str, ...]
    ipv6: bool
    hosts: frozenset[str]
    authorities: str
    """As in `RenderContext`."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that what is wanted is made of, beside certificates and the machine."""

    requests: Mapping[str, DocumentRequest]
    """By project."""
    asked: Mapping[str, int]
    """By app, as `Spec.asked`."""
    paused: frozenset[str]
    targets: Mapping[str, Spec] = field(default_factory=dict)
    """By app, the version that is wanted now."""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By app, `Spec.links` that it is to have again: those of an earlier revision."""

    unfinished: frozenset[str] = frozenset()
    """Apps of which no version was ready yet."""
    project: str | None = None
    """Key of the one whose file is new: all that is wrong with that is an error, and what is wrong
    with others is theirs. None where no file is new."""
    edge: DocumentRequest | None = None
    """The machine's own settings."""
    members: MemberList | None = None
    """The machines of the cluster's store; None where it has none."""
    holds: Mapping[str, float] = field(default_factory=dict)
    """The sites whose requests are held, and each for how many seconds."""
    drained_machines: frozenset[str] = frozenset()
    """Those whose part of each `total` others run."""
    known: Mapping[str, Desired] = field(default_factory=dict)
    """By project what is in force, for a file that cannot be read any more."""

    def links_of(self, spec: Spec) -> Mapping[str, str] | None:
        """Those of the same program that runs already, too; None if it is another one."""
        target = self.targets.get(spec.app_name)
        same = target is not None and program_id(target) == program_id(spec)
        return self.links.get(spec.app_name, target.links if target and same else None)

    def runs_again(self, apps: Mapping[str, DesiredApp]) -> Iterator[str]:
        """What runs once, and has to before a rollout of one of these, or never ended well."""
        known = {
            n: self.targets[n].id == app.spec.id for n, app in apps.items() if n in self.targets
        }
        before = runs_before(apps, (name for name in apps if not known.get(name)))
        for name in (name for name, is_same in known.items() if is_same):
            if name in before or (apps[name].must_end and name in self.unfinished):
                yield name

    def members_of(self, identity: OwnMachine | None) -> MemberList | None:
        """Those of the store of this machine's cluster; None where they are in the files."""
        is_own = self.members and identity and self.members.cluster == identity.cluster
        return self.members if is_own else None

    @property
    def source(self) -> str:
        """What messages name."""
        new = self.requests.get(self.project or "")
        return new.source if new else ", ".join(each.source for each in self.requests.values())


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """The files of all projects, and what they want together."""

    desired: Desired
    documents: Mapping[str, Document]
    """By project."""
    unreadable: tuple[str, ...]
    """Why a project is wanted as it was before."""
    identity: OwnMachine | None = None
    """Who this machine is among those of the files; None where they have none."""


def read_files(inputs: Inputs, machine: Machine, identity: OwnMachine | None = None) -> ReadFiles:
    """`identity` is who this machine is in its cluster. Raises ConfigError for what is wrong with
    the new file, alone or next to the others.
    """
    facts = MachineFacts(root=machine.root, cores=machine.cores)
    files, known, unreadable = dict[str, ProjectFile](), dict[str, Desired](), list[str]()
    for project, request in inputs.requests.items():
        try:
            document = read_document(request.table, source=request.source)
        except ConfigError as error:
            if project == inputs.project or project not in inputs.known:
                raise
            known[project] = inputs.known[project]
            unreadable.append(f"{error}; it is in force as before")
            document = _edge_alone(request)
        files[project] = ProjectFile(request.source, request.folder, document)
    every = [*files.values(), *([_edge_file(inputs.edge)] if inputs.edge else [])]
    edge, shared = merged_edge(every), inputs.members_of(identity)
    if inputs.project is not None and (found := list(conflicts(every, edge, facts))):
        raise ConfigError(inputs.source, found)
    machines = merged_machines(every) if shared is None else shared.machines
    here = identity if identity and identity.name in machines else None
    parts = [
        known[project]
        if project in known
        else _part(project, _file_on(file, here, machines), inputs, machine)
        for project, file in files.items()
    ]
    desired = _with_own_addresses(merge(parts, edge, facts, machines), machine)
    if shared:
        desired = replace(desired, serials=shared.serials)
    if inputs.edge:
        machine_file = every[-1]
        own = notify_targets(machine_file.document, machine_file.folder, MACHINE_KEY)
        desired = replace(desired, notify={**desired.notify, **own})
    holds = {name: each for name, each in inputs.holds.items() if name in desired.sites}
    desired = replace(desired, holds=holds) if holds else desired
    documents = {project: file.document for project, file in files.items()}
    wrong = placement_problems(desired, identity)
    if shared is not None:
        wrong += stored_machines_problems(merged_machines(every))
    if inputs.project is not None and wrong:
        raise ConfigError(inputs.source, wrong)
    if here:
        desired = desired_on(desired, here.name, machine.cores, inputs.drained_machines)
    return ReadFiles(desired, documents, tuple(unreadable), here)


def _file_on(
    file: ProjectFile, here: OwnMachine | None, machines: Mapping[str, ClusterMachine]
) -> ProjectFile:
    document = document_on(file.document, here.name, machines) if here else file.document
    return replace(file, document=document)


def request_of(revision: Revision) -> DocumentRequest:
    """A revision as a request to apply it."""
    return DocumentRequest(
        source=revision.source,
        folder=revision.folder,
        table=revision.document,
        environ=revision.environ,
    )


def _part(project: str, file: ProjectFile, inputs: Inputs, machine: Machine) -> Desired:
    return desired_from(
        qualified_document(file.document, project),
        folder=file.folder,
        environ=inputs.requests[project].environ,
        cores=machine.cores,
        root=machine.root,
        asked=inputs.asked,
        paused=inputs.paused,
        project=project,
    )


def _edge_alone(request: DocumentRequest) -> Document:
    """Where the rest of a file cannot be read, nginx listens where it did all the same."""
    try:
        of_machine = {key: request.table.get(key, {}) for key in ("edge", "machines")}
        return read_document(of_machine, source=request.source)
    except ConfigError:
        return Document()


def _edge_file(request: DocumentRequest) -> ProjectFile:
    if others := request.table.keys() - {"edge", "machines", "notify"}:
        what = "is not for this file, which has the tables [edge], [machines] and [notify] alone"
        raise ConfigError(request.source, [Problem(key, what) for key in sorted(others)])
    document = read_document(request.table, source=request.source)
    return ProjectFile(request.source, request.folder, document)


def _with_own_addresses(desired: Desired, machine: Machine) -> Desired:
    """Without the addresses that this machine does not have, unless they were asked for."""
    if machine.ipv6 or desired.edge.bind:
        return desired
    listeners = replace(desired.listeners, addresses=_of_ipv4(desired.listeners.addresses))
    streams = {
        key: stream
        if parse_listen(key).address
        else replace(stream, addresses=_of_ipv4(stream.addresses))
        for key, stream in desired.streams.items()
    }
    return replace(desired, listeners=listeners, streams=streams)


def _of_ipv4(addresses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in addresses if ":" not in each)
