"""From an operator's file to something that can be put in force, or every reason why not.

Nothing here changes what runs: a file that fails any check leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from portico.core.config.capabilities import needed_of_nginx
from portico.core.config.desired import desired_from, program_id, version_of
from portico.core.config.document import Document, read_document
from portico.core.config.rules import capability_problems, machine_problems, notes
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.generation import TestedGeneration
from portico.core.model.place import Build, CertificateFiles, RenderContext
from portico.core.model.records import Revision
from portico.core.model.views import DocumentRequest
from portico.core.planning.lineages import lineage_names
from portico.core.planning.runs import runs_before
from portico.core.render.generation import fingerprint, render_generation
from portico.core.render.inheritance import Loss, all_losses
from portico.engine.host_checks import HostChecks
from portico.errors import ConfigError, Failed, Problem
from portico.ports.certificates import Certificates
from portico.ports.nginx import Nginx

NO_BUILD: Final = Build("", (0, 0, 0))
"""Where only the apps of a file could be read."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that passed every check."""

    desired: Desired
    """Every app in the version of the file."""
    files: Mapping[str, str]
    fingerprint: str
    """Of the files; empty when there is no site, and nginx is not needed."""
    build: Build
    """The nginx that the files were rendered for."""
    notes: tuple[str, ...]
    tested: TestedGeneration | None = None


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file without fault in itself, that this nginx can serve."""

    desired: Desired
    build: Build
    notes: tuple[str, ...]


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

    @property
    def request(self) -> DocumentRequest:
        """The file of the only project: the files of several would come together here."""
        [request] = self.requests.values()
        return request


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


class CertificateSource(Protocol):
    """What certificate authorities have signed for us, and the answer they ask us for."""

    def files(self, lineage: str) -> CertificateFiles | None:
        """The pair that nginx is to be given of a lineage; None while there is none."""

    def thumbprint(self) -> str: ...

    def asked_by_alpn(self) -> bool: ...


class Preparation:
    def __init__(
        self,
        machine: Machine,
        nginx: Nginx,
        certificates: Certificates,
        host_checks: HostChecks,
        issued: CertificateSource,
    ) -> None:
        self._machine, self._nginx, self._issued = machine, nginx, issued
        self._certificates, self._host_checks = certificates, host_checks

    async def render(self, inputs: Inputs) -> Candidate:
        """Read and render, as `plan` and `render` need it: no file is written, nothing asked."""
        return await self._rendered(await self._usable(inputs), make=False)

    async def _usable(self, inputs: Inputs) -> CheckedFile:
        document, desired = await self._read(inputs)
        build = await self._nginx.build(document.edge.nginx, needed_of_nginx(document))
        problems = [
            *capability_problems(document, build),
            *machine_problems(document, root=self._machine.root, cores=self._machine.cores),
        ]
        if problems:
            raise ConfigError(inputs.request.source, problems)
        return CheckedFile(desired, build, tuple(notes(document, root=self._machine.root)))

    async def _read(self, inputs: Inputs) -> tuple[Document, Desired]:
        request = inputs.request
        document = await asyncio.to_thread(read_document, request.table, source=request.source)
        desired = desired_from(
            document,
            folder=request.folder,
            environ=request.environ,
            cores=self._machine.cores,
            root=self._machine.root,
            asked=inputs.asked,
            paused=inputs.paused,
        )
        desired = replace(desired, apps=await self._versions(desired.apps, inputs))
        if self._machine.ipv6 or document.edge.bind:
            return document, desired
        reachable = tuple(a for a in desired.listeners.addresses if ":" not in a)
        listeners = replace(desired.listeners, addresses=reachable)
        return document, replace(desired, listeners=listeners)

    async def _versions(
        self, apps: Mapping[str, DesiredApp], inputs: Inputs
    ) -> Mapping[str, DesiredApp]:
        """With the folders that they start in, and what runs before a rollout as a new version."""
        found: dict[str, DesiredApp] = {}
        for name, app in apps.items():
            links = inputs.links_of(app.spec)
            found[name] = await self._version(app, app.spec.asked, links)
        for name in inputs.runs_again(found):
            asked = found[name].spec.asked + 1
            found[name] = await self._version(found[name], asked, inputs.links.get(name))
        return found

    async def _version(
        self, app: DesiredApp, asked: int, links: Mapping[str, str] | None
    ) -> DesiredApp:
        """Without `links` those that there are now."""
        if links is None:
            try:
                links = await self._host_checks.links_of(app.spec)
            except Failed:  # which the checks of the host will say
                links = {}
        return replace(app, spec=version_of(app.spec, asked=asked, links=links))

    async def links_of(self, spec: Spec) -> Mapping[str, str]:
        """As `Processes.links_of`."""
        return await self._host_checks.links_of(spec)

    async def resume(self, inputs: Inputs) -> Candidate:
        """The file in force, when it has to be rendered again: it was checked when applied.

        Raises PorticoError when nginx or a certificate is not to be had any more.
        """
        return await self._rendered(await self._usable(inputs), make=True)

    async def again(self, inputs: Inputs) -> Candidate:
        """The same, where nginx shall have its word before anything changes."""
        return await self._tested_if_new(await self.resume(inputs), inputs)

    async def without_nginx(self, inputs: Inputs, *, live: str) -> Candidate:
        """Only the apps of the file in force, with nginx left on the generation it has."""
        _, desired = await self._read(inputs)
        return Candidate(desired, {}, live if desired.sites else "", NO_BUILD, ())

    async def check(self, inputs: Inputs) -> Candidate:
        """Everything outside the file is looked at too, and nginx has its own word on it."""
        usable = await self._usable(inputs)
        problems, more = await self._host_checks.findings(usable.desired)
        losses = await asyncio.to_thread(self._losses, usable.desired)
        problems += [
            Problem(key, f"{loss.where}: {loss.what}", loss.hint)
            for key, loss in losses
            if loss.misleads
        ]
        if problems:
            raise ConfigError(inputs.request.source, problems)
        more += [f"{key}: {loss.where}: {loss.what}" for key, loss in losses]
        noted = replace(usable, notes=(*usable.notes, *more))
        return await self._tested_if_new(await self._rendered(noted, make=True), inputs)

    def _losses(self, desired: Desired) -> list[tuple[str, Loss]]:
        return list(all_losses(desired, self._nginx.included))

    async def _tested_if_new(self, candidate: Candidate, inputs: Inputs) -> Candidate:
        if not candidate.desired.sites or candidate.fingerprint == self._nginx.seen().live:
            return candidate
        return replace(candidate, tested=await self._tested(candidate, inputs))

    async def _tested(self, candidate: Candidate, inputs: Inputs) -> TestedGeneration:
        try:
            return await self._nginx.install(
                candidate.files, candidate.fingerprint, candidate.build
            )
        except Failed as error:
            raise ConfigError(inputs.request.source, [Problem("nginx", str(error))]) from error

    async def _rendered(self, usable: CheckedFile, *, make: bool) -> Candidate:
        """With its certificates, which are made where there are none, or only named."""
        desired, build = usable.desired, usable.build
        place = RenderContext(
            build,
            self._machine.home,
            self._machine.resolver,
            await self._certificates_for(desired, make=make),
            cores=self._machine.cores,
            root=self._machine.root,
            workers=self._machine.workers,
            secret=self._machine.secret,
            open_files=self._machine.open_files,
            nameservers=self._machine.nameservers,
            hosts=self._machine.hosts,
            authorities=self._machine.authorities,
            thumbprint=self._issued.thumbprint(),
            asked_by_alpn=self._issued.asked_by_alpn(),
        )
        files = await asyncio.to_thread(render_generation, desired, place)
        identity = fingerprint(files) if desired.sites else ""
        return Candidate(desired, files, identity, build, usable.notes)

    async def _certificates_for(
        self, desired: Desired, *, make: bool
    ) -> Mapping[str, tuple[CertificateFiles, ...]]:
        """Each site's pairs: its own, or those of authorities, or one of the local authority."""
        own: dict[str, tuple[CertificateFiles, ...]] = {}
        local: dict[str, tuple[str, ...]] = {}
        for name, site in desired.sites.items():
            if not site.https:
                continue
            if pair := desired.own_certificate(name):
                own[name] = (pair,)
                continue
            issued = (self._issued.files(each) for each in lineage_names(desired, name))
            if pairs := tuple(filter(None, issued)):
                own[name] = pairs
            else:
                local[name] = (name, *site.aliases)
        made = (
            await self._certificates.local(local) if make else self._certificates.expected(local)
        )
        return {**{name: (pair,) for name, pair in made.items()}, **own}


def request_of(revision: Revision) -> DocumentRequest:
    """A revision as a request to apply it."""
    return DocumentRequest(
        source=revision.source,
        folder=revision.folder,
        table=revision.document,
        environ=revision.environ,
    )
