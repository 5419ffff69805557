"""Dynamic updates (RFC 2136), signed with a shared key (RFC 8945)."""

from __future__ import annotations

import base64
from typing import Final

import dns.exception
import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update

from portico.adapters.acme.child.challenges.dns.lookup import split_address
from portico.adapters.acme.child.challenges.dns.publisher import Entry
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.methods import Rfc2136

TTL: Final = 60  # seconds
UPDATE_TIMEOUT: Final = 15.0  # seconds


class Updates:
    def __init__(self, settings: Rfc2136) -> None:
        self._settings = settings
        self._address, self._port = split_address(settings.server)
        self._key = _key(settings)

    @property
    def publisher_name(self) -> str:
        return f"rfc2136 {self._settings.server}"

    def check(self, entry: Entry, context: RunContext) -> None:
        """An update that changes nothing shows whether the key is taken for the zone."""
        self._send(self._update(entry), f"update the zone of {entry.domain}", context)

    def put(self, entry: Entry, context: RunContext) -> str:
        update = self._update(entry)
        update.add(_absolute(entry.name), TTL, "TXT", f'"{entry.value}"')
        self._send(update, f"publish _acme-challenge for {entry.domain}", context)
        return ""

    def remove(self, entry: Entry, _output: str, context: RunContext) -> None:
        update = self._update(entry)
        update.delete(_absolute(entry.name), "TXT", f'"{entry.value}"')
        self._send(update, f"remove the TXT record of {entry.name}", context)

    def _update(self, entry: Entry) -> dns.update.UpdateMessage:
        zone = self._settings.zone or entry.zone
        try:
            return dns.update.UpdateMessage(zone, keyring=self._key)
        except dns.exception.DNSException as error:
            raise setup_failure(f"cannot update the zone {zone}: {_plain(error)}") from error

    def _send(self, update: dns.update.UpdateMessage, what: str, context: RunContext) -> None:
        server, limit = self._settings.server, context.timeout(UPDATE_TIMEOUT, f"trying to {what}")
        try:
            answer = dns.query.tcp(update, self._address, limit, self._port)
        except (dns.tsig.PeerError, dns.exception.FormError) as error:  # unsigned is no answer
            raise setup_failure(
                f"cannot {what}: {server} rejected the key: {_plain(error)}"
            ) from error
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise setup_failure(
                f"cannot {what}: {server} does not answer: {_plain(error)}"
            ) from error
        if (code := answer.rcode()) != dns.rcode.NOERROR:
            raise setup_failure(f"cannot {what}: {server} answered {dns.rcode.to_text(code)}")


def _key(settings: Rfc2136) -> dns.tsig.Key:
    try:
        algorithm = dns.name.from_text(settings.algorithm)
        name = dns.name.from_text(settings.key_name)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise setup_failure(
            f"the key {settings.key_name} cannot be used: {_plain(error)}"
        ) from error
    if algorithm not in dns.tsig.mac_sizes:
        raise setup_failure(
            f"{settings.algorithm} is not a TSIG algorithm; the usual one is hmac-sha256"
        )
    try:
        secret = base64.b64decode(settings.secret, validate=True)
    except ValueError:
        raise setup_failure(
            f"the secret of the key {settings.key_name} is not valid base64"
        ) from None
    return dns.tsig.Key(name, secret, algorithm)


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _plain(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "timed out"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
