"""What can be asked about the members of a cluster; imported where it is asked, or has a store."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from portico.core.model.neighbour import join_socket
from portico.daemon.lazy_parts import lazy, store_address, vault_of
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.ports.clock import Clock
from portico.ports.machine_signing import MachineSigner
from portico.system.home import Home

if TYPE_CHECKING:
    from portico.api.join_listener import JoinListener
    from portico.core.model.snapshot import StoreUser
    from portico.engine.cluster.cluster_creation import ClusterCreation
    from portico.engine.cluster.cluster_store import ClusterStore


def cluster_creation_of(clock: Clock) -> ClusterCreation:
    from portico.adapters.store.etcd.store import EtcdStore  # noqa: PLC0415 - asked once
    from portico.adapters.vault.children import ChildVault  # noqa: PLC0415
    from portico.engine.cluster.cluster_creation import ClusterCreation  # noqa: PLC0415

    return ClusterCreation(
        lambda address: EtcdStore(address, clock),
        lambda key: ChildVault(sys.executable, key),
        clock,
    )


def connect_members(
    engine: Engine,
    in_force: InForce,
    operations: Operations,
    shared: ClusterStore | None,
    signing: MachineSigner,
    home: Home,
) -> JoinListener | None:
    """What can be asked about members: to create a cluster, or of one with a store to admit and
    remove machines. Returns where machines ask that are to join.
    """
    if shared is None:
        if not home.cluster.exists():
            operations.cluster_creation = lazy(partial(cluster_creation_of, engine.clock))
        return None
    operations.shared = shared
    from portico.adapters.store.etcd.store import EtcdStore  # noqa: PLC0415 - few have a store
    from portico.api.join_listener import JoinListener  # noqa: PLC0415
    from portico.engine.cluster.admission import Admission  # noqa: PLC0415
    from portico.engine.cluster.authority import ClusterAuthority  # noqa: PLC0415
    from portico.engine.cluster.etcd_members import EtcdMembers  # noqa: PLC0415
    from portico.engine.cluster.machine_users import MachineUsers  # noqa: PLC0415
    from portico.engine.cluster.schema_upgrade import SchemaUpgrade  # noqa: PLC0415
    from portico.engine.cluster.store_addresses import SUBJECT as ADDRESSES  # noqa: PLC0415
    from portico.engine.cluster.store_addresses import StoreAddresses  # noqa: PLC0415
    from portico.system.cluster_store import KEY_FILE  # noqa: PLC0415

    vault = vault_of(home)

    def open_as(user: StoreUser) -> EtcdStore:
        address = store_address(home)
        assert address is not None  # noqa: S101 - this daemon has a store
        its = replace(address, user=user.name, password=user.password)
        return EtcdStore(its, engine.clock)

    operations.schema = SchemaUpgrade(shared, engine.events)
    users = MachineUsers(shared, vault, open_as, (home.cluster / KEY_FILE).read_bytes)
    shared.recovery.writer = users.writer
    shared.recovery.restore_users = users.restore
    authority = ClusterAuthority(shared, vault, signing, home)
    admission = Admission(engine, in_force, shared, authority, users, home)
    operations.etcd = EtcdMembers(shared, authority, users, engine.events, home)
    shared.repeated_tasks[ADDRESSES] = StoreAddresses(shared, engine.troubles, home)
    operations.membership = admission
    return JoinListener(admission, join_socket(str(home.path)))
