"""What `portico switch` finds before it changes anything, and the steps that follow from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from portico.cli.local_file import local_file
from portico.cli.session import Session
from portico.core.model import certificate_verbs, verbs
from portico.core.model.certificate_views import CertificateView
from portico.core.model.desired import Desired
from portico.core.model.names import is_local_name
from portico.core.model.renewers import Renewer
from portico.errors import Refused
from portico.importers.read import ImportedFile
from portico.importers.sites import tables
from portico.stack.switching import pm2, record
from portico.stack.switching.answers import SiteAddress
from portico.stack.switching.jobs import Job, boot_units, renewal_jobs
from portico.stack.switching.other_nginx import OtherNginx, find_nginx
from portico.system.listening import listening_ports, listening_sockets


@dataclass(frozen=True, slots=True)
class Switch:
    session: Session
    found: ImportedFile
    """Apps whose ports are taken until the switch have others."""
    moved: tuple[str, ...]
    """The names of those apps."""
    desired: Desired
    project: str
    is_new: bool
    """Whether the project is not in force yet."""
    other: OtherNginx
    pm2_apps: tuple[pm2.Pm2App, ...]
    jobs: tuple[Job, ...]
    """What starts the old stack at boot, or renews certificates in Portico's place."""
    left: tuple[Renewer, ...]
    """What else renews certificates."""

    def record(self, stopped: Sequence[pm2.Pm2App] = (), disabled: Sequence[Job] = ()) -> None:
        """Write down what has been taken over by now."""
        ports = listening_ports([each.pid for each in stopped if each.pid])
        ids = tuple(each.id for each in stopped)
        kept = record.Record(self.other, ids, tuple(sorted(ports)), self.project, tuple(disabled))
        record.write(self.session.home.path, kept)


def prepare_switch(session: Session, found: ImportedFile) -> Switch:
    local = local_file(found, session.home)
    desired, project = local.desired, local.project
    if not desired.sites:
        raise Refused(f"{found.source} has no site, so there is nothing to take over")
    client = session.client(start=True)
    ports = {desired.listeners.http, desired.listeners.https}
    status = client.ask(verbs.STATUS)
    other = find_nginx(ports, status.nginx.pid)
    if other is None:
        named = " or ".join(map(str, sorted(ports)))
        raise Refused(
            f"no other nginx listens on port {named}: `portico up {found.source}` is enough"
        )
    views = client.ask(certificate_verbs.CERTIFICATES)
    _refuse_orders(views, desired, found.source)
    apps = pm2.apps_of(desired, session.environ)
    renewed = {name for view in views if view.serial and not view.source for name in view.names}
    renewals, left = renewal_jobs(renewed)
    jobs = (*boot_units(other.pid, with_pm2=bool(apps.ours) and not apps.others), *renewals)
    is_new = project not in {each.name for each in status.projects}
    moved = tuple(_on_taken_ports(desired))
    found = replace(found, table=_without_ports(found.table, moved))
    return Switch(
        session, found, moved, desired, project, is_new, other, apps.ours, jobs, tuple(left)
    )


def _on_taken_ports(desired: Desired) -> Iterator[str]:
    """The apps that are to listen where a program of the old stack still does."""
    taken = {each.port for each in listening_sockets()}
    for name, app in desired.apps.items():
        if taken & {app.app.pinned_port(slot) for slot in range(1, app.instances + 1)}:
            yield name


def _without_ports(table: Mapping[str, object], apps: Collection[str]) -> Mapping[str, object]:
    found = tables(table.get("apps"))
    moved = {
        name: {key: value for key, value in app.items() if key != "port"} if name in apps else app
        for name, app in found.items()
    }
    return {**table, "apps": moved}


def _refuse_orders(views: Sequence[CertificateView], desired: Desired, source: str) -> None:
    """While the other nginx has port 80, no authority could be answered."""
    held = {name for view in views for name in view.names if view.serial}
    for name, site in desired.sites.items():
        missing = {each for each in (name, *site.aliases) if not is_local_name(each)} - held
        if site.https and desired.issuance(name) and missing:
            raise Refused(
                f"{source}: {', '.join(sorted(missing))} has no certificate here, and none can be "
                "obtained before the switch: run `portico certs import FOLDER` with certbot's "
                "folder, or name the files by `certificate` and `key`; nothing was changed"
            )


def steps(switch: Switch) -> Iterator[str]:
    listeners = switch.desired.listeners
    sites = ", ".join(map(str, places(switch.desired, listeners.http, listeners.https)))
    yield f"ask {sites} of nginx {switch.other.pid} ({switch.other.program})"
    yield f"start {switch.project} on ports of its own, and compare its answers"
    yield f"take connections on the sockets of nginx {switch.other.pid}, which takes no new ones"
    yield "compare the answers again; give everything back if a site does not answer as before"
    yield f"quit nginx {switch.other.pid} when its connections have ended, or after 90 s"
    for app in switch.pm2_apps:
        yield f"stop {app.name} of PM2"
    for job in switch.jobs:
        yield f"disable {job}"
    for name in switch.moved:
        yield f"leave {name} on free ports; the next `portico up` moves it to those of the file"


def places(desired: Desired, http: int, https: int) -> Iterator[SiteAddress]:
    for name, site in desired.sites.items():
        for each in (name, *site.aliases):
            if "*" not in each:
                yield SiteAddress(each, tls=False, port=http)
                if site.https:
                    yield SiteAddress(each, tls=True, port=https)
