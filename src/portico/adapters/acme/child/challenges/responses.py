"""What shows an authority that a name is ours. RFC 8555 8, RFC 8737, RFC 8738."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from portico.adapters.acme.child.documents import (
    Authorization,
    Challenge,
    Identifier,
    key_authorization,
    txt_value,
)
from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.methods import Dns, Http, Manual, Method, Standalone, TlsAlpn
from portico.adapters.acme.wire import ManualStep


@dataclass(frozen=True, slots=True)
class Proof:
    """One challenge that will be met, and how."""

    identifier: Identifier
    method: Method
    challenge: Challenge
    key_authorization: str

    @property
    def name(self) -> str:
        """The domain without `*.`, or the address."""
        return self.identifier.value

    @property
    def txt_name(self) -> str:
        return txt_name(self.name)

    @property
    def txt_value(self) -> str:
        return txt_value(self.key_authorization)

    @property
    def is_answered(self) -> bool:
        """An earlier run has told the authority to look."""
        return self.challenge.status != "pending"

    @property
    def put(self) -> ManualStep:
        """For a person to do."""
        return ManualStep(self.txt_name, self.txt_value)


def proofs(
    open_ones: Sequence[Authorization], methods: Sequence[Method], thumbprint: str
) -> list[Proof]:
    """How each is proven, by name. Raises AcmeFailure, with all that cannot be."""
    found: list[Proof] = []
    problems: dict[str, str] = {}
    for authorization in sorted(open_ones, key=lambda one: one.name):
        offered = {challenge.type: challenge for challenge in authorization.challenges}
        fitting = [
            m
            for m in methods
            if can_validate(m, authorization.name) and challenge_type(m) in offered
        ]
        if not fitting:
            problems[authorization.name] = (
                f"the authority offers {', '.join(sorted(offered)) or 'nothing'}"
            )
            continue
        challenge = offered[challenge_type(fitting[0])]
        proof = key_authorization(challenge.token, thumbprint)
        found.append(Proof(authorization.identifier, fitting[0], challenge, proof))
    _raise_for(problems, methods)
    return found


def response_plan(names: Sequence[str], methods: Sequence[Method]) -> Iterator[tuple[str, Method]]:
    """How each name is likely to be proven. Raises AcmeFailure for those that cannot be."""
    first = {name: next((m for m in methods if can_validate(m, name)), None) for name in names}
    _raise_for({name: _why_none(name) for name, method in first.items() if not method}, methods)
    for name, method in first.items():
        if method:
            yield name, method


def _raise_for(problems: Mapping[str, str], methods: Sequence[Method]) -> None:
    if problems:
        ways = ", ".join(dict.fromkeys(method.kind for method in methods)) or "nothing"
        each = "; ".join(f"{name}: {why}" for name, why in problems.items())
        raise setup_failure(f"cannot validate these names with {ways}: {each}", problems)


def _why_none(name: str) -> str:
    if name.startswith("*."):
        return "a wildcard needs dns-01"
    return "no configured challenge can validate it"


def challenge_type(method: Method) -> str:
    match method:
        case Http() | Standalone():
            return "http-01"
        case TlsAlpn():
            return "tls-alpn-01"
        case Dns() | Manual():
            return "dns-01"


def can_validate(method: Method, name: str) -> bool:
    """Wildcards are proven in DNS only, addresses never. RFC 8555 7.1.3, RFC 8738 7."""
    in_dns = challenge_type(method) == "dns-01"
    if name.startswith("*."):
        return in_dns
    return not (in_dns and Identifier.of(name).type == "ip")


def txt_name(domain: str) -> str:
    return f"_acme-challenge.{domain.removeprefix('*.')}"


def server_name(identifier: Identifier) -> str:
    """What the authority sends as SNI for it. RFC 8738 6."""
    if identifier.type == "ip":
        return ip_address(identifier.value).reverse_pointer
    return identifier.value


WELL_KNOWN: Final = "/.well-known/acme-challenge/"
