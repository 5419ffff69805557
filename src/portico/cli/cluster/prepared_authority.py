"""The authority of a cluster that is still to be created: its etcd needs certificates first.

HOME/cluster-authority/authority.pem and authority.key; `init` makes HOME/cluster of them
"""

from __future__ import annotations

import uuid
from pathlib import Path

from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY
from portico.system.files import write_new
from portico.system.folders import begin_folder, finish_folder, remove_folder
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority


def prepared_authority(home: Home) -> MachineAuthority | None:
    """None where there is none. Raises Failed where it is damaged."""
    try:
        return MachineAuthority.read(_folder(home))
    except FileNotFoundError:
        return None


def prepare_authority(home: Home, now: float) -> MachineAuthority:
    """The one there is, or a new one. Raises Failed, OSError."""
    if found := prepared_authority(home):
        return found
    authority = MachineAuthority.create(str(uuid.uuid4()), now)
    folder = begin_folder(home.path)
    try:
        write_new(folder / AUTHORITY, authority.pem)
        write_new(folder / AUTHORITY_KEY, authority.key_pem)
        finish_folder(folder, _folder(home))
    finally:
        remove_folder(folder)
    return authority


def remove_prepared_authority(home: Home) -> None:
    """It is that of a cluster now."""
    remove_folder(_folder(home))


def _folder(home: Home) -> Path:
    return home.path / "cluster-authority"
