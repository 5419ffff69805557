"""From an operator's file to something that can be put in force, or every reason why not.

Nothing here changes what runs: a file that fails any check leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from portico.core.config.capabilities import needed_of_nginx
from portico.core.config.desired import version_of
from portico.core.config.machine_rules import NO_IDENTITY
from portico.core.config.patterns import pattern_problem
from portico.core.config.rules import (
    capability_notes,
    capability_problems,
    machine_problems,
    notes,
)
from portico.core.model.cluster import OwnMachine
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.generation import TestedGeneration
from portico.core.model.names import split_name
from portico.core.model.place import AUTO, Build, RenderContext
from portico.core.model.requests import DocumentRequest
from portico.core.render.generation import fingerprint, render_generation
from portico.core.render.inheritance import Loss, all_losses
from portico.engine.client_files import ClientFiles
from portico.engine.host_checks import HostChecks
from portico.engine.inputs import Inputs, Machine, ReadFiles, read_files
from portico.engine.site_certificates import CertificateSource, SiteCertificates
from portico.errors import ConfigError, Failed, Problem, Refused
from portico.ports.certificates import Certificates
from portico.ports.nginx import Nginx
from portico.system.mounts import Mounts

NO_BUILD: Final = Build("", (0, 0, 0))
"""Where only the apps of a file could be read."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that passed every check."""

    desired: Desired
    """Every app in the version of the file."""
    files: Mapping[str, str]
    fingerprint: str
    """Of the files; empty when nginx is not needed."""
    build: Build
    """The nginx that the files were rendered for."""
    notes: tuple[str, ...]
    tested: TestedGeneration | None = None
    project: str | None = None
    """Key of the one whose file this is; None where all files are as they were."""
    edge: DocumentRequest | None = None
    """The machine's own settings that it was made with."""
    unreadable: tuple[str, ...] = ()
    """Why other projects are wanted as they were before."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file without fault in itself, that this nginx can serve together with all others."""

    desired: Desired
    build: Build
    notes: tuple[str, ...]
    unreadable: tuple[str, ...]
    identity: OwnMachine | None
    """As in `ReadFiles`."""


@dataclass(frozen=True, slots=True)
class NginxRequest:
    """Which nginx the files in force ask for."""

    file: str | None
    """`[edge] nginx`, which decides."""
    named: str | None
    """That, else the one selected on the command line; None for one that is found."""
    needed: frozenset[str]
    """Words of `Build.can`."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What this machine has of its own beside the files. Each is read again for every file."""

    edge_file: Callable[[], DocumentRequest | None] = lambda: None
    """Its own `[edge]`, if there is one."""
    selected_nginx: Callable[[], str] = lambda: AUTO
    """Used where no file names another one."""
    identity: Callable[[], OwnMachine | None] = lambda: None


class Preparation:
    def __init__(  # noqa: PLR0913 - all that a file meets on its way into force
        self,
        machine: Machine,
        nginx: Nginx,
        certificates: Certificates,
        host_checks: HostChecks,
        issued: CertificateSource,
        *,
        client_files: ClientFiles | None = None,
        settings: LocalSettings = LocalSettings(),
    ) -> None:
        self._machine, self._nginx, self._issued = machine, nginx, issued
        self._certificates, self._host_checks = certificates, host_checks
        self._site_certificates = SiteCertificates(certificates, issued)
        self._client_files = client_files or ClientFiles()
        self._settings, self._mounts = settings, Mounts()

    async def render(self, inputs: Inputs) -> Candidate:
        """Read and render, as `plan` and `render` need it: no file is written, nothing asked."""
        inputs = await self._with_edge_file(inputs)
        return await self._render(await self._check_files(inputs), inputs, make=False)

    async def _with_edge_file(self, inputs: Inputs) -> Inputs:
        """What it says comes into force with the next file."""
        return replace(inputs, edge=await asyncio.to_thread(self._settings.edge_file))

    async def _check_files(self, inputs: Inputs) -> CheckedFile:
        read = await self._read(inputs)
        edge, root = read.desired.edge, self._machine.root
        build, unusable = await self.nginx_build(self._nginx_request(read))
        said = [unusable] if unusable else []
        for project, own in read.documents.items():
            if inputs.project in {None, project}:
                document = own.model_copy(update={"edge": edge})
                problems = [
                    *capability_problems(document, build),
                    *machine_problems(document, root=root, cores=self._machine.cores),
                ]
                if problems:
                    raise ConfigError(inputs.source, problems)
                said += [*notes(document, root=root), *capability_notes(document, build)]
        if read.desired.machines and not read.identity:
            said.append(NO_IDENTITY)
        return CheckedFile(read.desired, build, tuple(said), read.unreadable, read.identity)

    async def nginx_build(self, asked: NginxRequest) -> tuple[Build, str]:
        """The nginx for the files in force, and why it is not the one selected, if so: sites are
        served also where that has been removed. Raises Refused where a file names an unusable one.
        """
        try:
            return await self._nginx.build(asked.named, asked.needed), ""
        except Refused as error:
            if asked.file is not None or asked.named is None:
                raise
            build = await self._nginx.build(None, asked.needed)
            return build, f"{build.program} is used instead of the nginx selected: {error}"

    async def nginx_request(self, inputs: Inputs) -> NginxRequest:
        return self._nginx_request(await self._read(inputs))

    def _nginx_request(self, read: ReadFiles) -> NginxRequest:
        file = read.desired.edge.nginx
        needed = frozenset[str]().union(*map(needed_of_nginx, read.documents.values()))
        selected = self._settings.selected_nginx()
        return NginxRequest(file, file or (None if selected == AUTO else selected), needed)

    async def _read(self, inputs: Inputs) -> ReadFiles:
        """Raises Failed where a folder that it would read does not answer."""
        identity = self._settings.identity
        read = await asyncio.to_thread(lambda: read_files(inputs, self._machine, identity()))
        apps = read.desired.apps
        await self._mounts.assert_answer(
            app.spec.named_folder
            for name, app in apps.items()
            if inputs.project == split_name(name)[0] or inputs.links_of(app.spec) is None
        )  # of any other nothing is read
        apps = await self._versions(apps, inputs)
        return replace(read, desired=replace(read.desired, apps=apps))

    async def _versions(
        self, apps: Mapping[str, DesiredApp], inputs: Inputs
    ) -> Mapping[str, DesiredApp]:
        """With the folders that they start in, and what runs before a rollout as a new version."""
        found: dict[str, DesiredApp] = {}
        for name, app in apps.items():
            links = inputs.links_of(app.spec)
            found[name] = await self._version(app, app.spec.asked, links)
        own = {n: app for n, app in found.items() if inputs.project in {None, split_name(n)[0]}}
        for name in inputs.runs_again(own):
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

    async def is_release(self, spec: Spec) -> bool:
        """Whether links led to the folder of this version, which is still there."""
        return bool(spec.links) and await asyncio.to_thread(Path(spec.working_folder).is_dir)

    async def resume(self, inputs: Inputs) -> Candidate:
        """The file in force, when it has to be rendered again: it was checked when applied.

        Raises PorticoError when nginx or a certificate is not to be had any more.
        """
        return await self._render(await self._check_files(inputs), inputs, make=True)

    async def tested_again(self, inputs: Inputs) -> Candidate:
        """The same, where nginx shall have its word before anything changes."""
        return await self._tested_if_new(await self._check_files(inputs), inputs)

    async def without_nginx(self, inputs: Inputs, *, live: str) -> Candidate:
        """Only the apps of the file in force, with nginx left on the generation it has."""
        read = await self._read(inputs)
        files = live if read.desired.needs_nginx else ""
        return Candidate(
            read.desired,
            {},
            files,
            NO_BUILD,
            (),
            project=inputs.project,
            edge=inputs.edge,
            unreadable=read.unreadable,
        )

    async def check(self, inputs: Inputs) -> Candidate:
        """Everything outside the file is looked at too, and nginx has its own word on it."""
        has_sites = any("sites" in request.table for request in inputs.requests.values())
        async with self._certificates.preload() if has_sites else nullcontext():
            return await self._check(inputs)

    async def _check(self, inputs: Inputs) -> Candidate:
        inputs = await self._with_edge_file(inputs)
        usable = await self._check_files(inputs)
        own = usable.desired if inputs.project is None else usable.desired.of(inputs.project)
        await self._mounts.assert_answer(
            [
                *(r.folder for p, r in inputs.requests.items() if inputs.project in {None, p}),
                *(app.spec.named_folder for app in own.apps.values()),
            ]
        )
        problems, more = await self._host_checks.findings(own)
        losses = await asyncio.to_thread(self._losses, own)
        problems += [
            Problem(key, f"{loss.where}: {loss.what}", loss.hint)
            for key, loss in losses
            if loss.misleads
        ]
        if problems:
            raise ConfigError(inputs.source, problems)
        more += [f"{key}: {loss.where}: {loss.what}" for key, loss in losses]
        noted = replace(usable, notes=(*usable.notes, *more))
        return await self._tested_if_new(noted, inputs)

    def _losses(self, desired: Desired) -> list[tuple[str, Loss]]:
        return list(all_losses(desired, self._nginx.read_included))

    async def _tested_if_new(self, usable: CheckedFile, inputs: Inputs) -> Candidate:
        candidate = await self._render(usable, inputs, make=True)
        if (
            not candidate.desired.needs_nginx
            or candidate.fingerprint == self._nginx.observe().live
        ):
            return candidate
        try:
            return replace(candidate, tested=await self._install(candidate))
        except Failed as error:
            if broken := await self._broken_projects(usable, inputs):
                closed = replace(
                    usable,
                    desired=usable.desired.with_closed(broken),
                    unreadable=(*usable.unreadable, *broken.values()),
                )
                candidate = await self._render(closed, inputs, make=True)
                return replace(candidate, tested=await self._install(candidate))
            rejected = pattern_problem(str(error), usable.desired.sites)
            problem = rejected or Problem("nginx", str(error))
            raise ConfigError(inputs.source, [problem]) from error

    async def _broken_projects(self, usable: CheckedFile, inputs: Inputs) -> dict[str, str]:
        """By key, the projects whose files nginx cannot use any more, with why; none where the
        fault is with the new file.
        """
        found, every = dict[str, str](), inputs.requests.keys()
        for project in (inputs.project, *(every - {inputs.project})) if len(every) > 1 else ():
            others = every - {project, inputs.project}
            alone = replace(usable, desired=usable.desired.with_closed(others))
            try:
                candidate = await self._render(alone, inputs, make=True)
                await self._nginx.discard(await self._install(candidate))
            except (Failed, ConfigError) as error:
                if project in {None, inputs.project}:
                    return {}
                source = inputs.requests[project].source
                found[project] = f"{source}: {error}; its sites answer 503"
        return found

    async def _install(self, candidate: Candidate) -> TestedGeneration:
        return await self._nginx.install(candidate.files, candidate.fingerprint, candidate.build)

    async def _render(self, usable: CheckedFile, inputs: Inputs, *, make: bool) -> Candidate:
        """With its certificates, which are made where there are none, or only named."""
        desired, build = usable.desired, usable.build
        certificates = await self._site_certificates.of_sites(desired, make=make)
        place = RenderContext(
            build,
            self._machine.home,
            self._machine.resolver,
            {name: parts[0].certificates for name, parts in certificates.items()},
            apart={name: tuple(parts[1:]) for name, parts in certificates.items() if parts[1:]},
            client_authorities=await asyncio.to_thread(self._client_files.texts, desired),
            cores=self._machine.cores,
            root=self._machine.root,
            workers=self._machine.workers,
            secret=self._machine.secret,
            open_files=self._machine.open_files,
            nameservers=self._machine.nameservers,
            hosts=self._machine.hosts,
            authorities=self._machine.authorities,
            thumbprint=self._issued.thumbprint(),
            any_token=self._issued.answers_any_token(),
            asked_by_alpn=self._issued.asked_by_alpn(),
            machine=usable.identity,
        )
        files = await asyncio.to_thread(render_generation, desired, place)
        identity = fingerprint(files) if desired.needs_nginx else ""
        return Candidate(
            desired,
            files,
            identity,
            build,
            usable.notes,
            project=inputs.project,
            edge=inputs.edge,
            unreadable=usable.unreadable,
        )
