"""The configuration of a member of etcd, as an environment file that Debian's etcd-server reads.

Options of etcd 3.4 are environment variables with the prefix ETCD_ (its "Configuration flags").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portico.core.model.names import url_host

CLIENT_PORT, PEER_PORT = 2379, 2380
ENVIRONMENT, AUTHORITY, CERTIFICATE, KEY = "etcd.env", "authority.pem", "member.pem", "member.key"
"""The files in its folder."""
ETCD_FOLDER: Final = "/etc/portico-etcd"
"""Where that folder is to be on the machine of the member."""


def client_url(address: str) -> str:
    return f"https://{url_host(address)}:{CLIENT_PORT}"


def peer_url(address: str) -> str:
    return f"https://{url_host(address)}:{PEER_PORT}"


def etcd_environment(
    name: str, address: str, peers: Mapping[str, str], token: str, *, is_new: bool = True
) -> str:
    """Text for the member of this name. `peers` are the URLs of all by name; `token` keeps the
    members of two clusters apart. If not `is_new` it joins members that run.
    """
    settings = {
        "NAME": name,
        "DATA_DIR": f"/var/lib/etcd/portico-{name}",
        "LISTEN_CLIENT_URLS": f"{client_url(address)},{client_url('127.0.0.1')}",
        "ADVERTISE_CLIENT_URLS": client_url(address),
        "LISTEN_PEER_URLS": peer_url(address),
        "INITIAL_ADVERTISE_PEER_URLS": peer_url(address),
        "INITIAL_CLUSTER": ",".join(f"{each}={url}" for each, url in peers.items()),
        "INITIAL_CLUSTER_STATE": "new" if is_new else "existing",
        "INITIAL_CLUSTER_TOKEN": token,
        **_tls(""),
        **_tls("PEER_"),
        "PRE_VOTE": "true",
        "AUTO_COMPACTION_RETENTION": "1",
        "LOGGER": "zap",
    }
    lines = "".join(f"ETCD_{key}={value}\n" for key, value in settings.items())
    return f"# {name} of etcd: `portico cluster etcd` wrote it.\n{lines}"


def _tls(prefix: str) -> dict[str, str]:
    return {
        f"{prefix}CERT_FILE": f"{ETCD_FOLDER}/{CERTIFICATE}",
        f"{prefix}KEY_FILE": f"{ETCD_FOLDER}/{KEY}",
        f"{prefix}TRUSTED_CA_FILE": f"{ETCD_FOLDER}/{AUTHORITY}",
        f"{prefix}CLIENT_CERT_AUTH": "true",
    }
