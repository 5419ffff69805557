"""Certificates of the machines of a cluster."""

from __future__ import annotations

from typing import Protocol

from portico.core.model.cluster import SignedMachine


class MachineSigner(Protocol):
    async def sign_machine(
        self, authority: str, key: str, request: str, name: str, address: str = ""
    ) -> SignedMachine:
        """A certificate for the machine of that name, or for the member of etcd at that address,
        with the key of a signing request.
        All are PEM, the request as in RFC 2986; authority and key are those of the machines. A
        child process with a deadline.

        Raises Failed where one of them cannot be used; the text says which.
        """
