"""Signs for a machine of the cluster, or a member of its etcd."""

from __future__ import annotations

from dataclasses import asdict

from portico.adapters.certificates.wire import MachineRequest
from portico.core.model.cluster import SignedMachine
from portico.errors import Failed
from portico.system.machine_certificates import MachineAuthority


def sign_machine(request: MachineRequest) -> dict[str, str]:
    """A SignedMachine. Raises Failed."""
    name, host, address = request["name"], request["host"], request["address"]
    try:
        authority = MachineAuthority.of_pem(request["authority"].encode(), request["key"].encode())
        text, now = request["request"].encode(), request["now"]
        signed, serial = authority.sign_request(name, host, text, now, address)
    except ValueError as error:
        raise Failed(str(error)) from error
    return asdict(SignedMachine(signed.decode(), serial))
