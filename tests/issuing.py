"""The work of the child for certificates in this process, for tests of what it does.

A child imports `cryptography` and the model for half a second of the processor, each time.
"""

from __future__ import annotations

import json

from portico.adapters.certificates.child import answer
from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.adapters.certificates.wire import Request
from portico.errors import Failed, PorticoError
from portico.ports.clock import Clock
from portico.system.home import Home


class IssuingHere(CertificateChild):
    def __init__(self, home: Home, clock: Clock) -> None:
        super().__init__(home, "/there/is/no/python", clock, TrustStores((), ()))

    async def _ask(self, what: str, request: Request) -> bytes:
        try:
            return json.dumps(answer(json.loads(json.dumps(request)))).encode()
        except (OSError, PorticoError) as error:
            raise Failed(f"cannot {what}: {error}; existing certificates remain in use") from None
