"""Dynamic updates (RFC 2136), signed with a shared key (RFC 8945)."""

from __future__ import annotations

from typing import Final

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update

from portico.adapters.acme.attempt import Attempt
from portico.adapters.acme.dns.lookup import split_address
from portico.adapters.acme.dns.publisher import Entry
from portico.adapters.acme.failures import unready
from portico.adapters.acme.wire import Rfc2136

TTL: Final = 60  # seconds
TIMEOUT: Final = 15.0  # seconds


class Updates:
    def __init__(self, settings: Rfc2136) -> None:
        self._settings = settings
        self._address, self._port = split_address(settings.server)
        try:
            self._keys = dns.tsigkeyring.from_text({settings.key_name: settings.secret})
        except (ValueError, dns.exception.DNSException):
            raise unready(f"the secret of the key {settings.key_name} is no base64") from None

    @property
    def by(self) -> str:
        return f"rfc2136 {self._settings.server}"

    def check(self, entry: Entry, attempt: Attempt) -> None:
        """An update that changes nothing shows whether the key is taken for the zone."""
        self._send(self._update(entry), f"update the zone of {entry.domain}", attempt)

    def put(self, entry: Entry, attempt: Attempt) -> str:
        update = self._update(entry)
        update.add(_absolute(entry.name), TTL, "TXT", f'"{entry.value}"')
        self._send(update, f"publish _acme-challenge for {entry.domain}", attempt)
        return ""

    def take_away(self, entry: Entry, _output: str, attempt: Attempt) -> None:
        update = self._update(entry)
        update.delete(_absolute(entry.name), "TXT", f'"{entry.value}"')
        self._send(update, f"take the TXT record of {entry.name} away", attempt)

    def _update(self, entry: Entry) -> dns.update.UpdateMessage:
        zone = self._settings.zone or entry.zone
        algorithm = dns.name.from_text(self._settings.algorithm)
        return dns.update.UpdateMessage(zone, keyring=self._keys, keyalgorithm=algorithm)

    def _send(self, update: dns.update.UpdateMessage, what: str, attempt: Attempt) -> None:
        server, limit = self._settings.server, attempt.timeout(TIMEOUT, f"trying to {what}")
        try:
            answer = dns.query.tcp(update, self._address, limit, self._port)
        except dns.tsig.PeerError as error:
            raise unready(f"cannot {what}: {server} refuses the key: {_plain(error)}") from error
        except NotImplementedError as error:
            raise unready(
                f"cannot {what}: {self._settings.algorithm} is no TSIG algorithm"
            ) from error
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise unready(f"cannot {what}: {server} does not answer: {_plain(error)}") from error
        if (code := answer.rcode()) != dns.rcode.NOERROR:
            raise unready(f"cannot {what}: {server} answers {dns.rcode.to_text(code)}")


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _plain(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
