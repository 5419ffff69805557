"""What can be asked of an authority, in the order of RFC 8555 7."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Final

import requests
from acme import jws, messages
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.jwk import JWK
from requests.utils import parse_header_links

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.documents import (
    ACCOUNT,
    AUTHORIZATION,
    DIRECTORY,
    ORDER,
    ORDERS,
    AccountDocument,
    Authorization,
    Identifier,
    Order,
)
from portico.adapters.acme.child.failures import setup_failure, unavailable_failure
from portico.adapters.acme.child.protocol.keys import algorithm
from portico.adapters.acme.child.protocol.network import Network
from portico.adapters.acme.wire import Server
from portico.core.model.certificate import Binding
from portico.system.base64url import base64url

_STATUS_CREATED: Final = 201
_TO_BASE64URL: Final = str.maketrans("+/", "-_")  # some authorities give the other alphabet
_MAX_ALTERNATES: Final = 10  # chains beside the default one; authorities have three at most
_MAX_PAGES: Final = 20  # of a list of orders; one has those that are open


class PublicDirectory:
    """What it tells everybody. Its directory is read first; every method may raise AcmeFailure."""

    def __init__(
        self, server: Server, context: RunContext, network: Network | None = None
    ) -> None:
        self._network = network or Network(server, context)
        what = "read the directory of the authority"
        answer = self._network.get(server.directory, what)
        self.directory = self._network.read(DIRECTORY, answer, what)
        self.date, self.took = answer.headers.get("Date", ""), answer.elapsed.total_seconds()
        self._network.new_nonce = self.directory.new_nonce

    @property
    def host(self) -> str:
        return self._network.host

    def renewal_info(self, certificate: str) -> tuple[bytes, float | None]:
        """The document for a renewal id, and how many seconds it holds. RFC 9773 4.2 and 4.3."""
        url = f"{self.directory.renewal_info.rstrip('/')}/{certificate}"
        answer = self._network.get(url, "get renewal information")
        return answer.content, self._network.asked_to_wait(answer)


class Authority(PublicDirectory):
    """What it does for the holder of a key; Denied is its no."""

    def __init__(self, server: Server, context: RunContext, key: JWK) -> None:
        super().__init__(server, context, Network(server, context, key))
        self._key = key

    @property
    def account_url(self) -> str:
        return self._network.account

    @property
    def thumbprint(self) -> str:
        return base64url(self._key.thumbprint())

    # accounts

    def register(self, contact: Sequence[str], binding: Binding | None) -> bool:
        """Sign as the account of this key, and whether it was made just now."""
        payload = {"termsOfServiceAgreed": True, "contact": _addresses(contact)}
        if binding:
            payload["externalAccountBinding"] = self._external_binding(binding)
        elif self.directory.meta.binding_required:
            raise setup_failure(
                f"cannot create an account: {self.host} requires external account binding; set "
                "eab to the key id and HMAC key that it gave you"
            )
        return self._new_account(payload, "create an account")

    def find(self) -> None:
        """Sign as the account of this key, if there is one; else Denied. RFC 8555 7.3.1."""
        self._new_account({"onlyReturnExisting": True}, "find the account")

    def _new_account(self, payload: Mapping[str, object], what: str) -> bool:
        self._network.sign_as(None)
        answer = self._network.post(self.directory.new_account, payload, what)
        self._network.sign_as(answer.headers.get("Location"))
        self._network.read(ACCOUNT, answer, what)
        return answer.status_code == _STATUS_CREATED

    def use(self, account: str) -> AccountDocument:
        """Sign as the account with this URL. Denied when it is not one of this key."""
        self._network.sign_as(account)
        return self._account(None, "use the account")

    def change_contact(self, contact: Sequence[str]) -> None:
        self._account({"contact": _addresses(contact)}, "change the account's contact")

    def deactivate(self) -> None:
        self._account({"status": "deactivated"}, "deactivate the account")

    def change_key(self, new: JWK) -> None:
        """RFC 8555 7.3.5."""
        if not self.directory.key_change:
            raise setup_failure(f"cannot replace the account's key: {self.host} does not offer it")
        url, network = self.directory.key_change, self._network
        payload = {"account": network.account, "oldKey": self._key.public_key().to_json()}
        inner = jws.JWS.sign(_json(payload), new, algorithm(new), nonce=None, url=url)
        network.post(url, inner.to_json(), "replace the account's key")
        network.sign_with(new)
        self._key = new

    def _account(self, payload: dict[str, object] | None, what: str) -> AccountDocument:
        answer = self._network.post(self.account_url, payload, what)
        return self._network.read(ACCOUNT, answer, what)

    def _external_binding(self, binding: Binding) -> dict[str, object]:
        key = binding.hmac_key.strip().rstrip("=").translate(_TO_BASE64URL)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
            raise setup_failure("cannot create an account: the HMAC key in eab is not base64url")
        return messages.ExternalAccountBinding.from_data(
            self._key.public_key(),
            binding.key_id,
            key,
            messages.Directory({"newAccount": self.directory.new_account}),
            binding.algorithm,
        )

    # orders

    def new_order(
        self, names: Sequence[str], profile: str | None, replaces: str | None
    ) -> tuple[str, Order]:
        """The new order with its URL."""
        payload: dict[str, object] = {
            "identifiers": [asdict(Identifier.of(name)) for name in names]
        }
        if profile:
            payload["profile"] = profile
        if replaces:
            payload["replaces"] = replaces
        what = f"order a certificate for {', '.join(names)}"
        answer = self._network.post(self.directory.new_order, payload, what)
        url = answer.headers.get("Location")
        if not url:
            raise unavailable_failure(f"cannot {what}: {self.host} sent no URL for the order")
        return url, self._network.read(ORDER, answer, what)

    def open_orders(self) -> Iterator[str]:
        """URLs of this account's orders, where the authority tells them. RFC 8555 7.1.2.1."""
        what, page = "list the account's orders", self._account(None, "use the account").orders
        for _ in range(_MAX_PAGES):
            if not page:
                return
            answer = self._network.post(page, None, what)
            yield from self._network.read(ORDERS, answer, what).orders
            page = next(_links(answer, "next"), None)

    def order(self, url: str) -> tuple[Order, float | None]:
        """The order, and how many seconds to wait before it is asked for again, if it said so."""
        what = "get the order"
        answer = self._network.post(url, None, what)
        return self._network.read(ORDER, answer, what), self._network.asked_to_wait(answer)

    def authorization(self, url: str) -> tuple[Authorization, float | None]:
        what = "get an authorization"
        answer = self._network.post(url, None, what)
        return self._network.read(AUTHORIZATION, answer, what), self._network.asked_to_wait(answer)

    def answer(self, challenge: str) -> None:
        """Tell it that the proof is in place."""
        self._network.post(challenge, {}, "trigger validation")

    def finalize(self, url: str, request: x509.CertificateSigningRequest) -> None:
        payload = {"csr": base64url(request.public_bytes(Encoding.DER))}
        self._network.post(url, payload, "finalize the order")

    def chains(self, url: str) -> list[str]:
        """The certificate with its chain, PEM; the default one first, then all alternates."""
        what = "download the certificate"
        first = self._network.post(url, None, what)
        links = islice(_links(first, "alternate"), _MAX_ALTERNATES)
        others = [self._network.post(each, None, what) for each in links]
        return [answer.content.decode(errors="replace") for answer in (first, *others)]

    # certificates

    def revoke(self, certificate: x509.Certificate, reason: int) -> None:
        payload = {"certificate": base64url(certificate.public_bytes(Encoding.DER))}
        self._network.post(
            self.directory.revoke, payload | {"reason": reason}, "revoke the certificate"
        )


def _addresses(contact: Sequence[str]) -> list[str]:
    return [each if ":" in each else f"mailto:{each}" for each in contact]


def _links(answer: requests.Response, relation: str) -> Iterator[str]:
    """`answer.links` has only one link of each relation; RFC 8555 7.4.2 has several."""
    for link in parse_header_links(answer.headers.get("Link", "")):
        if link.get("rel") == relation and link.get("url"):
            yield link["url"]


def _json(payload: dict[str, object]) -> bytes:
    return json.dumps(payload).encode()
