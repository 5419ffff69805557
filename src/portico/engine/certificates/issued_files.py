"""What nginx is given of authorities: their certificates, and the answer to HTTP-01."""

from __future__ import annotations

from collections.abc import Mapping

from portico.core.model.certificate import Certificate
from portico.core.planning.renewal import is_revoked
from portico.core.planning.served_certificates import ServedCertificates
from portico.engine.certificates.account import THUMBPRINT
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.ports.certificates import Lineages
from portico.ports.clock import Clock
from portico.ports.state import State


class IssuedFiles:
    """Implements `site_certificates.CertificateSource`."""

    def __init__(
        self, state: State, lineages: Lineages, passthrough: AlpnPassthrough, clock: Clock
    ) -> None:
        self._state, self._lineages, self._passthrough = state, lineages, passthrough
        self._clock = clock
        self.any_token = False
        """Whether another machine may have sent the order that a token is of."""

    def served_certificates(self) -> ServedCertificates:
        return ServedCertificates(self.current(), self._clock.now(), self._is_revoked)

    def current(self) -> Mapping[str, Certificate]:
        """By lineage."""
        found = ((name, self._lineages.current(name)) for name in self._lineages.names())
        return {name: each for name, each in found if each}

    def _is_revoked(self, certificate: Certificate) -> bool:
        return is_revoked(certificate, self._state.renewal_state(certificate.lineage))

    def now(self) -> float:
        return self._clock.now()

    def thumbprint(self) -> str:
        return self._state.setting(THUMBPRINT) or ""

    def answers_any_token(self) -> bool:
        return self.any_token

    def asked_by_alpn(self) -> bool:
        return self._passthrough.is_open
