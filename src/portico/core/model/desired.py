"""What is wanted: the operator's file with every default and reference resolved."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from portico.core.model.app import App
from portico.core.model.cluster import Machine, placed_on
from portico.core.model.edge import Edge, Tls
from portico.core.model.issuing import IssuanceSettings
from portico.core.model.names import PROJECT, InstanceId, qualified_name, split_name
from portico.core.model.notification import NotifyTarget
from portico.core.model.place import CertificateFiles
from portico.core.model.site import Site
from portico.core.model.stream import Stream
from portico.core.model.upstream import Upstream

CLUSTER_HEALTH_PATH: Final = "/portico-health"
WEIGHT_SCALE: Final = 10
"""Of an app with a slow start, and of all that share an upstream with it."""


def absolute(path: str, folder: str) -> str:
    """A path of the operator's file, which starts from the folder of that file."""
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"


def paths(given: str | tuple[str, ...], folder: str) -> tuple[str, ...]:
    """One path or several, as `absolute` has them."""
    return tuple(absolute(each, folder) for each in ([given] if isinstance(given, str) else given))


@dataclass(frozen=True, slots=True)
class Spec:
    """One version of an app's program: what makes two processes of it alike or not."""

    id: str
    app_name: str
    app: App
    folder: str
    """The folder of the operator's file, absolute: relative paths start here."""
    environ: Mapping[str, str]
    """What instances inherit from the shell that ran `portico up`. No part of the id: a change
    of it is no reason for a rollout, and takes effect with the next one."""
    asked: int = 0
    """Raised by every `reload` and `restart`, so that the same program counts as a new version."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Where the folder of the file and the working folder led when the version was made, if there
    is a link on the way: every start of it is there, wherever the links lead by then."""

    @property
    def named_folder(self) -> str:
        """The working folder as the operator's file names it, which may be a link."""
        return posixpath.join(self.folder, self.app.cwd) if self.app.cwd else self.folder

    @property
    def working_folder(self) -> str:
        """Where its processes start."""
        return self.resolve_path(self.named_folder)

    def path(self, given: str) -> str:
        """A path of the app's table, absolute, with its links as they led then."""
        return self.resolve_path(posixpath.join(self.folder, given))

    def resolve_path(self, path: str) -> str:
        """An absolute path as the links led then; any other text is as it was."""
        if not self.links:
            return path
        plain = plain_path(path)
        for named in sorted(self.links, key=len, reverse=True):
            if f"{plain}/".startswith(f"{named}/"):
                return self.links[named] + plain.removeprefix(named)
        return path


def plain_path(path: str) -> str:
    """A path without `//` and `/./`, which mean nothing. After a link `..` means something."""
    names = (name for name in path.split("/") if name not in {"", "."})
    return ("/" if path.startswith("/") else "") + "/".join(names)


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app as it should be now."""

    name: str
    instances: int
    spec: Spec
    """The version wanted. After a rollback it is not the file's: then the program is that of the
    version, and all other settings are the file's."""
    good: str | None = None
    """Id of the last version that was ready everywhere: what a rollout reverts to."""
    stopped: bool = False
    """Stopped by hand: no instance is wanted, but the app stays known."""
    abrupt: bool = False
    """Old instances stop before new ones start (`portico restart`), without a rollout."""
    replace_instances: frozenset[InstanceId] = frozenset()
    """Single instances that were asked to be replaced (`portico reload web.2`)."""
    reached: bool = True
    """Whether a site or stream sends requests to it."""
    wait: float = 0.0
    """Seconds for which requests to it are held while it has no instance, wherever they come from;
    0 if a place that sends it any does not hold them."""
    must_end: bool = False
    """It runs once, and apps come after it: it is ready when it has ended well, and runs again
    before each of their rollouts."""
    scale: int = 1
    """What all its weights are multiplied by, so that a slow start has something to divide."""
    is_left: bool = False
    """It is stopped, but not by hand: the machine is drained, and others have it ready."""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """Of a `total`, how many instances each other machine has ready when this one is drained."""

    @property
    def app(self) -> App:
        return self.spec.app

    @property
    def predecessors(self) -> tuple[str, ...]:
        """The apps that it comes after, by their names among those of all projects."""
        project, _ = split_name(self.name)
        return tuple(qualified_name(project, name) for name in self.app.after)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where nginx listens."""

    http: int
    https: int
    addresses: tuple[str, ...]
    """`127.0.0.1`, `[::1]`, `*`, as nginx's `listen` takes them."""
    public_http: int | None = None
    """The port that clients use, where it is not the one that nginx listens on."""
    public_https: int | None = None
    http3: bool = False
    """Whether it listens on the UDP port of https, too."""

    @property
    def client_http(self) -> int:
        return self.public_http or self.http

    @property
    def client_https(self) -> int:
        return self.public_https or self.https


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a site is of, as far as it decides about the site."""

    project: str = PROJECT
    """Its key."""
    folder: str = "/"
    """Absolute: relative paths of the site start here."""
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class DesiredStream:
    """A stream with what its file decides about it."""

    stream: Stream
    addresses: tuple[str, ...]
    """Where nginx listens, as in `Listeners`."""
    port: int
    udp: bool = False
    project: str = PROJECT
    folder: str = "/"
    """As in `Origin`."""


_NO_FILE: Final = Origin()
_CLOSED_SITE: Final[Mapping[str, object]] = {
    **dict.fromkeys(("app", "upstream", "folder", "redirect")),
    **dict.fromkeys(("basic_auth", "auth", "mirror", "client_certificates")),
    "include": (),
    "routes": {},
    "error_pages": {},
    "maintenance": True,
}
"""Keys of a site that answers 503 to everybody and names no file. How its certificate is obtained
stays."""


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything wanted at once, of all projects. Upstreams hold one for each app that listens, by
    its name.
    """

    apps: Mapping[str, DesiredApp] = field(default_factory=dict)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By site."""
    streams: Mapping[str, DesiredStream] = field(default_factory=dict)
    notify: Mapping[str, NotifyTarget] = field(default_factory=dict)
    """By name, qualified as those of apps are; those of the machine begin with a slash."""
    closed: frozenset[str] = frozenset()
    """Sites that answer 503, because nginx cannot use what their file names."""
    holds: Mapping[str, float] = field(default_factory=dict)
    """The sites whose requests are held (`portico pause --hold`), each for so many seconds."""
    edge: Edge = field(default_factory=Edge)
    """With absolute paths."""
    listeners: Listeners = Listeners(8080, 8443, ("127.0.0.1", "[::1]"))
    machines: Mapping[str, Machine] = field(default_factory=dict)
    """Those of the cluster, by name; none on a machine that is in no cluster."""
    serials: Mapping[str, str] = field(default_factory=dict)
    """By machine, that of its certificate, where the cluster has a store: hexadecimal."""
    machine: str = ""
    """The own name among them; empty in no cluster."""
    drained: bool = False
    """Whether this machine is (`portico cluster drain`)."""
    totals: Mapping[str, App] = field(default_factory=dict)
    """The apps of which the machines run a `total` together, with the `on` of their files."""
    removed_apps: Mapping[str, DesiredApp] = field(default_factory=dict)
    """Apps that are in no file any more, as they were last: what is left of them lives and ends
    by that."""
    upgrade: bool = False
    """The nginx that runs is to be replaced by today's program of it; tried once."""
    at_once: bool = False
    """What leaves does not wait for its open requests (`portico down --now`)."""

    @property
    def needs_nginx(self) -> bool:
        return bool(self.sites or self.streams or self.serials)

    @property
    def pinned_ports(self) -> frozenset[int]:
        """Those that the files name, for apps and for nginx."""
        of_apps = {
            app.app.port + slot
            for app in self.apps.values()
            if app.app.port
            for slot in range(app.instances)
        }
        return frozenset(of_apps | {each.port for each in self.streams.values()})

    def origin(self, site: str) -> Origin:
        return self.origins.get(site, _NO_FILE)

    def of(self, project: str) -> Desired:
        """What one project, by its key, wants of this."""
        sites = {n: site for n, site in self.sites.items() if self.origin(n).project == project}
        return replace(
            self,
            apps={n: app for n, app in self.apps.items() if split_name(n)[0] == project},
            upstreams={n: u for n, u in self.upstreams.items() if split_name(n)[0] == project},
            sites=sites,
            origins={name: self.origin(name) for name in sites},
            streams={n: each for n, each in self.streams.items() if each.project == project},
            notify={n: each for n, each in self.notify.items() if each.project == project},
        )

    def with_closed(self, projects: Collection[str]) -> Desired:
        """With nothing for nginx of these projects but their names."""
        closed = {name for name in self.sites if self.origin(name).project in projects}
        sites = {name: self.sites[name].model_copy(update=_CLOSED_SITE) for name in closed}
        upstreams = self.upstreams.items()
        return replace(
            self,
            upstreams={n: each for n, each in upstreams if split_name(n)[0] not in projects},
            sites={**self.sites, **sites},
            streams={n: s for n, s in self.streams.items() if s.project not in projects},
            closed=frozenset(closed),
        )

    @property
    def health_path(self) -> str | None:
        """Where a load balancer asks whether to send requests to this machine."""
        return self.edge.health_path or (CLUSTER_HEALTH_PATH if self.machine else None)

    @property
    def other_machines(self) -> Mapping[str, Machine]:
        """The other machines of the cluster, by name."""
        return {name: each for name, each in self.machines.items() if name != self.machine}

    def machines_of(self, app: App) -> tuple[str, ...]:
        """The machines, by name, that an app runs on."""
        return placed_on(app.on, self.machines)

    def is_here(self, app: App) -> bool:
        """Whether it runs on this machine, as all do in no cluster."""
        return not self.machine or self.machine in self.machines_of(app)

    def held_here(self, app: DesiredApp) -> float:
        """For how many seconds requests for it wait on this machine, as the only one that ever has
        it; 0: they do not, or others may have it too.
        """
        is_alone = self.machines_of(app.app) == (self.machine,) and not app.app.total
        return app.wait if is_alone else 0.0

    @property
    def placed_by_key(self) -> frozenset[str]:
        """The apps whose requests are placed over the machines by a key."""
        keyed = (each for each in self.upstreams.values() if each.is_placed_by_key)
        return frozenset(app for each in keyed for app in each.apps)

    def has_max_conns(self, upstream: Upstream) -> bool:
        """Whether the connections of any of its peers are limited. Another upstream with the same
        peers would count them anew.
        """
        if any(server.max_conns for server in upstream.servers):
            return True
        return any(self.apps[name].app.max_conns for name in upstream.apps)

    def own_certificate(self, name: str) -> CertificateFiles | None:
        """The operator's own certificate and key for a site, as absolute paths."""
        if name in self.closed:
            return None
        site, origin = self.sites[name], self.origin(name)
        tls = origin.tls
        certificate, key = site.certificate or tls.certificate, site.key or tls.key
        if certificate is None or key is None:
            return None
        folder = origin.folder
        return CertificateFiles(absolute(certificate, folder), absolute(key, folder))

    def has_own_certificate(self, name: str) -> bool:
        """Whether its owner brings it, and so perhaps answers an authority too."""
        return (self.sites[name].certificate or self.origin(name).tls.certificate) is not None

    def issuance(self, name: str) -> IssuanceSettings | None:
        """How a site's certificate is obtained; None where its owner brings one, or wants none."""
        site, tls = self.sites[name], self.origin(name).tls
        settings = site.tls.merged_over(tls) if site.tls else tls
        is_ours = site.https and not self.has_own_certificate(name)
        return settings if is_ours and settings.issuers else None

    @property
    def uses_tls_alpn(self) -> bool:
        """Whether the names of any site are, so that nginx has to pass the question on."""
        every = map(self.issuance, self.sites)
        return any(issuing and issuing.challenge == "tls-alpn-01" for issuing in every)
