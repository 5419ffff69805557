"""The programs without a proxy: what no proxy can be faster than, and Node's own HTTPS."""

from __future__ import annotations

from pathlib import Path

from bench.compare.peers.peer import INSTANCES, WORK, Peer


class Direct(Peer):
    """Node's cluster shares one port among four processes; plain HTTP."""

    name = "programs"
    title = "the programs alone, plain HTTP, no proxy"
    can = frozenset()
    tls = False

    def command(self) -> list[str | Path]:
        return [self.place.programs.node, WORK]

    def environ(self) -> dict[str, str]:
        return super().environ() | {"PORT": str(self.port), "CLUSTER": str(INSTANCES)}

    def proxy(self) -> list[int]:
        return []


class OneNode(Peer):
    name = "node-https"
    title = "one Node process with HTTPS itself"
    can = frozenset({"websocket"})

    def command(self) -> list[str | Path]:
        return [self.place.programs.node, WORK]

    def environ(self) -> dict[str, str]:
        certificates = self.place.certificates
        files = {"CERT": certificates.certificate("ecdsa"), "KEY": certificates.key("ecdsa")}
        return {
            **super().environ(),
            "PORT": str(self.port),
            **{name: str(file) for name, file in files.items()},
        }

    def proxy(self) -> list[int]:
        """Program and proxy are one process, so its time a request is not the proxy's alone."""
        return []
