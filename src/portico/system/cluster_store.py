"""Where the machines of the cluster keep what they share: two more files of HOME/cluster.

    store.json     {"v": 1, "endpoints": [URL, …], "user": "", "password": "", "plain": false,
                    "authority": PEM or ""}
    cluster.key    32 bytes: what is sealed in the store is sealed by it

They are there where the cluster has a store. TLS is spoken with the files of the identity.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from portico.errors import Failed
from portico.system.files import write
from portico.system.home import Home

SCHEMA: Final = 1
STORE: Final = "store.json"
KEY_FILE: Final = "cluster.key"
KEY_SIZE: Final = 32
"""Bytes."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    endpoints: Sequence[str]
    user: str = ""
    password: str = ""
    plain: bool = False
    """Whether `http` is allowed to an address that is not loopback."""
    authority: str = ""
    """Certificates (PEM) of the authority of etcd, where that of the machines is another one."""


def has_store(home: Home) -> bool:
    """Whether this machine is in a cluster with a store."""
    return (home.cluster / STORE).exists()


def read_store(home: Home) -> StoreFile | None:
    """None where the cluster has no store. Raises Failed where the file is damaged."""
    return read_store_of(home.cluster)


def read_store_of(folder: Path) -> StoreFile | None:
    """The same of what is to become HOME/cluster."""
    file = folder / STORE
    try:
        record = json.loads(file.read_bytes())
        if record.pop("v") != SCHEMA:
            raise Failed(
                f"cannot read {file}: it was written by another version of Portico; install that "
                "version on this machine"
            )
        endpoints = [str(each) for each in record["endpoints"]]
        if not endpoints:
            raise ValueError("it names no endpoint")  # noqa: TRY301 - as any other damage
        user, password, authority = (
            str(record.get(key, "")) for key in ("user", "password", "authority")
        )
        return StoreFile(endpoints, user, password, record.get("plain") is True, authority)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(
            f"cannot read where the store of the cluster is from {file}: {error}; restore the "
            "file, or remove this machine from its cluster and join again"
        ) from error


def write_store(folder: Path, store: StoreFile) -> None:
    """In HOME/cluster, or what is to become it. Raises OSError."""
    write(folder / STORE, json.dumps({"v": SCHEMA, **asdict(store)}))


def write_cluster_key(folder: Path, key: bytes) -> None:
    """There too. Raises OSError."""
    write(folder / KEY_FILE, key)
