"""Who this machine is among the machines of a cluster: the files of HOME/cluster.

    machine.json          {"v": 1, "cluster": UUID, "name": NAME, "files": SERIAL}
    authority.pem         certificate of the authority that signs for the machines
    authority.key         its key: on the first machine only
    issued/NAME.pem       there too: the newest certificate that it has signed for a machine
    SERIAL/machine.pem    a certificate of this machine, and
    SERIAL/machine.key    its key; the files of a serial never change

The daemon reads them; `machine_certificates` makes them, for commands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.system.files import sync_folder, write, write_new
from portico.system.folders import begin_folder, finish_folder, remove_folder
from portico.system.home import Home

SCHEMA: Final = 1
MACHINE: Final = "machine.json"
AUTHORITY: Final = "authority.pem"
AUTHORITY_KEY: Final = "authority.key"
ISSUED_FOLDER: Final = "issued"
CERTIFICATE: Final = "machine.pem"
KEY: Final = "machine.key"


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    cluster: str
    """A UUID."""
    name: str
    """Of this machine."""
    certificate: str
    """Paths of PEM files, as the two below."""
    key: str
    authority: str


def read_identity(home: Home) -> MachineIdentity | None:
    """None where the machine is in no cluster. Raises Failed where the files are damaged."""
    file = home.cluster / MACHINE
    try:
        record = json.loads(file.read_bytes())
        if record["v"] != SCHEMA:
            raise Failed(
                f"cannot read {file}: it was written by another version of Portico; install that "
                "version on this machine"
            )
        folder = home.cluster / str(record["files"])
        identity = MachineIdentity(
            str(record["cluster"]),
            str(record["name"]),
            str(folder / CERTIFICATE),
            str(folder / KEY),
            str(home.cluster / AUTHORITY),
        )
    except FileNotFoundError:
        if not home.cluster.exists():
            return None
        raise _damage_error(file, "it does not exist") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damage_error(file, str(error)) from error
    for each in (identity.certificate, identity.key, identity.authority):
        if not Path(each).is_file():
            raise _damage_error(file, f"{each} does not exist")
    return identity


@contextmanager
def new_cluster_folder(home: Home) -> Iterator[Path]:
    """A folder that becomes HOME/cluster at the end of the `with`. Raises Failed where it cannot;
    then nothing is left.
    """
    unfinished = begin_folder(home.path)
    try:
        yield unfinished
        finish_folder(unfinished, home.cluster)
    except OSError as error:
        raise Failed(
            f"cannot write {home.cluster}: {error.strerror}; this machine is in no cluster"
        ) from error
    finally:
        remove_folder(unfinished)


def write_identity(
    folder: Path, cluster: str, name: str, serial: str, certificate: bytes, key: bytes
) -> None:
    """Add the files of a serial to HOME/cluster, or to what is to become it, and then name them
    as those in use. Raises OSError if the serial has files already.
    """
    unfinished = begin_folder(folder)
    try:
        write_new(unfinished / CERTIFICATE, certificate)
        write_new(unfinished / KEY, key)
        finish_folder(unfinished, folder / serial)
    except OSError:
        remove_folder(unfinished)
        raise
    record = {"v": SCHEMA, "cluster": cluster, "name": name, "files": serial}
    write(folder / MACHINE, json.dumps(record))
    sync_folder(folder)


def _damage_error(file: Path, why: str) -> Failed:
    return Failed(
        f"cannot read who this machine is in its cluster from {file}: {why}; restore the folder, "
        "or remove it and join the cluster again"
    )
