"""Parts that most daemons never ask: a part is imported and made with the first question to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from pwd import getpwnam
from typing import TYPE_CHECKING, Final, TypeVar, cast

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.lineages.disk import DiskLineages
from portico.api.app import Api, json_of
from portico.core.model.cluster import OwnMachine
from portico.core.model.requests import DocumentRequest
from portico.core.render.alpn import answer_socket
from portico.core.render.challenge import pending_tokens
from portico.engine.certificates.issued_files import IssuedFiles
from portico.engine.control.assembly import Control
from portico.engine.control.members import DrainOperations
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.instances.timetable import Timetable
from portico.errors import Failed
from portico.ports.certificates import Lineages
from portico.ports.clock import Clock
from portico.ports.state import State
from portico.system.home import Home
from portico.system.programs import StartProgram

if TYPE_CHECKING:
    from portico.adapters.acme.authorities import Authorities
    from portico.adapters.vault.children import ChildVault
    from portico.api.dashboard.listener import DashboardListener
    from portico.api.machines_listener import MachinesListener
    from portico.core.model.snapshot import StoreAddress
    from portico.engine.cluster.certificates import SharedCertificates
    from portico.engine.cluster.cluster_store import ClusterStore
    from portico.engine.cluster.neighbourhood import Neighbourhood
    from portico.engine.cluster.totals import Totals
    from portico.engine.cluster.unusable_store import UnsharedCertificates
    from portico.importers.certbot_bridge import CertbotBridge

DASHBOARD_PORT: Final = "dashboard_port"
"""Setting: where it listened last; 0 if it was closed."""
T = TypeVar("T")


def lazy(make: Callable[[], T]) -> T:
    """Stands for what `make` returns, and calls it once, when an attribute is first read."""
    return cast("T", _DeferredPart(make))


class _DeferredPart:
    def __init__(self, make: Callable[[], object]) -> None:
        self._made = cache(make)

    def __getattr__(self, name: str) -> object:
        return getattr(self._made(), name)


def dashboard_listener(
    operations: Operations, api: Api, state: State, clock: Clock
) -> DashboardListener:
    from portico.api.dashboard.listener import DashboardListener  # noqa: PLC0415
    from portico.api.dashboard.live import LiveStatus  # noqa: PLC0415
    from portico.api.dashboard.site import Dashboard  # noqa: PLC0415

    async def status() -> str:
        own, machines = await operations.status(), await operations.machines()
        return json_of({**dict(own), "machines": machines}).decode()

    return DashboardListener(
        Dashboard(operations, LiveStatus(status), clock.monotonic),
        api.requests,
        port=lambda: int(state.setting(DASHBOARD_PORT) or 0),
        keep_port=lambda port: state.put_setting(DASHBOARD_PORT, str(port)),
    )


def acme_authorities(home: Home, start_program: StartProgram) -> Authorities:
    from portico.adapters.acme.authorities import Authorities  # noqa: PLC0415

    return Authorities(
        home.certificates,
        sys.executable,
        alpn=answer_socket(str(home.path)),
        tokens=pending_tokens(str(home.path)),
        start_program=start_program,
    )


def certbot_bridge(home: Home, lineages: DiskLineages, local: CertificateChild) -> CertbotBridge:
    from portico.adapters.acme.authorities import account_key  # noqa: PLC0415
    from portico.importers.certbot_bridge import CertbotBridge  # noqa: PLC0415

    return CertbotBridge(lineages, local, account_key(home.certificates))


def edge_file(home: Home) -> DocumentRequest | None:
    """The machine's own settings, if the operator has written any. Raises ConfigError."""
    if not home.edge_file.exists():
        return None
    from portico.importers.read import read_file  # noqa: PLC0415 - few machines have one

    read = read_file(home.edge_file, {})
    return DocumentRequest(source=read.source, folder=read.folder, table=read.table)


def own_machine(home: Home) -> OwnMachine | None:
    """Who it is in its cluster. Raises Failed where the files that say it are damaged."""
    if not home.cluster.exists():
        return None
    from portico.system.cluster_identity import read_identity  # noqa: PLC0415 - few have one
    from portico.system.cluster_store import has_store  # noqa: PLC0415

    if (its := read_identity(home)) is None:
        return None
    return OwnMachine(
        its.cluster, its.name, its.certificate, its.key, its.authority, has_store=has_store(home)
    )


def neighbourhood_of(engine: Engine, home: Home) -> Neighbourhood | None:
    with engine.troubles.fence("identity of this machine in its cluster"):
        if machine := own_machine(home):
            from portico.adapters.neighbours.near_lists import NearLists  # noqa: PLC0415
            from portico.engine.cluster.neighbourhood import Neighbourhood  # noqa: PLC0415

            return Neighbourhood(engine, machine.name, NearLists(str(home.path)))
    return None


def shared_of(
    engine: Engine,
    in_force: InForce,
    neighbourhood: Neighbourhood | None,
    home: Home,
    thumbprint: Callable[[], str],
) -> ClusterStore | None:
    """What the machines of the cluster share, where it has a store. None also where `is_sharing`
    and the store cannot be used.
    """
    with engine.troubles.fence("the cluster's store"):
        if neighbourhood is None or not is_sharing(home) or not (own := own_machine(home)):
            return None  # without a neighbourhood the identity of this machine was not readable
        neighbourhood.has_store = True
        from portico.adapters.store.etcd.store import EtcdStore  # noqa: PLC0415 - few have one
        from portico.engine.cluster.cluster_store import ClusterStore  # noqa: PLC0415

        if address := store_address(home):
            store = EtcdStore(address, engine.clock)
            shared = ClusterStore(engine, in_force, own.cluster, own.name, store, thumbprint)
            shared.serial = Path(own.certificate).parent.name
            shared.meet(neighbourhood)
            return shared
    return None


def is_sharing(home: Home) -> bool:
    """Whether the machines of its cluster have a store, also where this one cannot use it."""
    if not home.cluster.exists():
        return False
    from portico.system.cluster_store import has_store  # noqa: PLC0415 - few are in a cluster

    try:
        return has_store(home)
    except OSError:  # the folder of another user
        return True


def store_address(home: Home) -> StoreAddress | None:
    """How this machine reaches the store of its cluster. Raises Failed, Refused."""
    from portico.core.model.snapshot import StoreAddress, endpoint  # noqa: PLC0415 - few have one
    from portico.system.cluster_store import read_store  # noqa: PLC0415

    if (file := read_store(home)) is None or (own := own_machine(home)) is None:
        return None
    return StoreAddress(
        [endpoint(each, plain=file.plain) for each in file.endpoints],
        own.authority,
        own.certificate,
        own.key,
        file.user,
        file.password,
        file.authority,
    )


def vault_of(home: Home) -> ChildVault:
    """For what is encrypted in the store of the cluster."""
    from portico.adapters.vault.children import ChildVault  # noqa: PLC0415 - few have a store
    from portico.system.cluster_store import KEY_FILE  # noqa: PLC0415

    return ChildVault(sys.executable, str(home.cluster / KEY_FILE))


def sharing_of(
    engine: Engine,
    home: Home,
    shared: ClusterStore | None,
    authorities: Authorities,
    lineages: Lineages,
    issued: IssuedFiles,
) -> SharedCertificates | UnsharedCertificates | None:
    if not is_sharing(home):
        return None
    issued.any_token = True
    if shared is None:
        from portico.engine.cluster.unusable_store import UnsharedCertificates  # noqa: PLC0415

        return UnsharedCertificates()
    from portico.engine.cluster.certificates import SharedCertificates  # noqa: PLC0415 - few have one

    return SharedCertificates(
        engine, shared, authorities=authorities, lineages=lineages, vault=vault_of(home)
    )


def totals_of(
    engine: Engine, in_force: InForce, neighbourhood: Neighbourhood | None
) -> Totals | None:
    if neighbourhood is None:
        return None
    from portico.engine.cluster.totals import Totals  # noqa: PLC0415 - few are in a cluster

    return Totals(engine, in_force, neighbourhood)


def machine_drain_of(
    engine: Engine, neighbourhood: Neighbourhood | None, control: Control
) -> DrainOperations | None:
    if neighbourhood is None:
        return None
    from portico.engine.cluster.machine_drain import MachineDrain  # noqa: PLC0415 - few are in a cluster

    return MachineDrain(engine, neighbourhood, control.convergence)


def for_all_machines(
    engine: Engine,
    home: Home,
    shared: ClusterStore | None,
    control: Control,
    timetable: Timetable,
) -> Operations:
    """The same operations; where the cluster has a store, changes are of all its machines."""
    if not is_sharing(home):
        return control.operations
    if shared is None:
        from portico.engine.cluster.unusable_store import UnsharedOperations, skip_run  # noqa: PLC0415

        timetable.claim = lambda app, _: skip_run(engine, app)
        return cast("Operations", UnsharedOperations(control.operations))
    from portico.engine.cluster.assembly import assemble_cluster_operations  # noqa: PLC0415

    vault = vault_of(home)
    stands_before = assemble_cluster_operations(engine, shared, vault, control, timetable)
    return cast("Operations", stands_before)


def machines_listener(
    engine: Engine,
    home: Home,
    neighbourhood: Neighbourhood | None,
    shared: ClusterStore | None,
    operations: Operations,
    workers: str,
) -> MachinesListener | None:
    """What other machines ask this one. Lets operations ask them, too. `workers` is as in
    `RenderContext`.
    """
    if neighbourhood is None:
        return None
    from portico.api.machines_listener import MachinesListener  # noqa: PLC0415 - few have one
    from portico.core.model.neighbour import reports_socket  # noqa: PLC0415
    from portico.engine.cluster.member import AnswersToMachines, Member  # noqa: PLC0415
    from portico.engine.cluster.reports import MachineReports  # noqa: PLC0415

    member = Member(engine, neighbourhood, partial(certificate_end, home))
    operations.other_machines = MachineReports(
        neighbourhood, member, neighbourhood.port, engine.clock, shared
    )
    answers = AnswersToMachines(operations, member, engine.clock.monotonic)

    def uids() -> frozenset[int]:
        user = (engine.intent.desired.edge.user or workers).partition(" ")[0]
        found = {0, os.geteuid()}
        if user and os.geteuid() == 0:
            with suppress(KeyError):  # nginx does not start without that user
                found.add(getpwnam(user).pw_uid)
        return frozenset(found)

    return MachinesListener(answers, Path(reports_socket(str(home.path))), uids)


def certificate_end(home: Home) -> float | None:
    """When the certificate of this machine expires, Unix time; None where it cannot be read."""
    from portico.system.certificate_end import end_of  # noqa: PLC0415

    try:
        machine = own_machine(home)
        return end_of(Path(machine.certificate).read_text()) if machine else None
    except (OSError, ValueError, Failed):
        return None


def edited_document_of(source: str, folder: str, environ: Mapping[str, str]) -> DocumentRequest:
    from portico.importers.file_on_disk import edited_document  # noqa: PLC0415 - only a browser asks

    return edited_document(source, folder, environ)
