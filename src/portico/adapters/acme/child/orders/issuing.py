"""The story of a certificate, from its names to its chain.

Everything is on disk before the authority hears of it, so that a run that was killed at any
moment is continued by the next: the same key, the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from portico.adapters.acme.child.challenges.validation import look_ahead, txt_records, validate
from portico.adapters.acme.child.context import RunContext, pauses
from portico.adapters.acme.child.documents import Identifier, Order
from portico.adapters.acme.child.failures import (
    Denial,
    explanation,
    refusal_failure,
    setup_failure,
    unavailable_failure,
)
from portico.adapters.acme.child.files import lock
from portico.adapters.acme.child.order_folder import OrderFolder, OrderIdentity, Record
from portico.adapters.acme.child.orders.chains import choose, is_for, read_chain
from portico.adapters.acme.child.protocol.accounts import open_account
from portico.adapters.acme.child.protocol.authority import Authority
from portico.adapters.acme.child.protocol.keys import make_key, read_key, signing_request
from portico.adapters.acme.methods import Dns
from portico.adapters.acme.wire import BegunOrder, IssuedCertificate, IssueRequest, ManualSteps
from portico.system.files import write

MAX_ORDERS_LISTED: Final = 50
"""Orders of the account that are looked at, to find one that may be ours."""


class OrderRun:
    def __init__(self, request: IssueRequest, context: RunContext) -> None:
        self._request = request
        self._context = context
        self._folder = OrderFolder(request.folder, request.order)
        self._asked = OrderIdentity.of(request)

    def run(self) -> IssuedCertificate | ManualSteps | BegunOrder:
        with lock(self._folder.path, self._context):
            record = self._have_record()
            if self._request.until == "key":
                if not record.order:  # by another machine, which knows no more than this
                    self._folder.write(Record(self._asked, sending=True))
                return BegunOrder(record.order)
            if not self._folder.chain.exists():
                authority = open_account(self._request.account, self._context)
                if unfinished := self._obtain(record, authority):
                    return unfinished
            self._remove_stale_txt_records()
            return self._issued_certificate()

    def _obtain(self, record: Record, authority: Authority) -> ManualSteps | BegunOrder | None:
        """The states of an order, RFC 8555 7.1.6: pending, ready, processing, valid."""
        record, order = self._have_order(record, authority)
        if self._request.until == "order":
            return BegunOrder(record.order)
        if order.status == "pending":
            if steps := self._validate(order, authority):
                return steps
            order = self._order_after("pending", record, authority)
        if order.status == "ready":
            self._finalize(order, authority)
            order = self._order_after("ready", record, authority)
        if order.status == "processing":
            order = self._order_after("processing", record, authority)
        self._fetch(order, authority)
        return None

    def _have_record(self) -> Record:
        """The record of an earlier run for this certificate; else a new one, with a key."""
        record = self._folder.record
        if record and record.asked == self._asked:
            return record
        self._remove_stale_txt_records()
        self._folder.clear()
        make_key(self._folder.key, self._request.key_type)
        self._context.say("key", f"created a {self._request.key_type}")
        return self._folder.write(Record(self._asked))

    # one order, sent once

    def _have_order(self, record: Record, authority: Authority) -> tuple[Record, Order]:
        if record.order:
            if order := self._still_good(record, authority):
                self._context.say("found", f"continue order {record.order}")
                return record, order
            record = self._restart()
        if not self._request.foreseen:
            look_ahead(self._request, self._folder, self._context)
        # Within the account's lock, so that no other run takes this order for its own lost one.
        with lock(Path(self._request.account.key).parent, self._context):
            url, order, replaced = self._sent_before(record, authority) or self._send(authority)
            account = authority.account_url
            record = Record(self._asked, order=url, account=account, replaced=replaced)
            return self._folder.write(record), order

    def _restart(self) -> Record:
        self._remove_stale_txt_records()
        self._folder.clear()
        return self._have_record()

    def _still_good(self, record: Record, authority: Authority) -> Order | None:
        if record.account != authority.account_url:  # the authority has forgotten the account
            return None
        return self._fetch_known(record.order, authority)

    def _fetch_known(self, url: str, authority: Authority) -> Order | None:
        try:
            order, _ = authority.order(url)
        except Denial as denied:
            if denied.failure.kind == "refused":  # it has forgotten the order
                return None
            raise
        return order if order.status != "invalid" else None

    def _sent_before(self, record: Record, authority: Authority) -> tuple[str, Order, bool] | None:
        """The order of a run that was killed before it heard its URL. Authorities without a list
        of orders answer the same order when it is asked for again, as Boulder does.
        """
        if not record.sending:
            return None
        known = self._folder.other_orders()
        wanted = {Identifier.of(name) for name in self._asked.names}
        for url, _ in zip(authority.open_orders(), range(MAX_ORDERS_LISTED), strict=False):
            order = self._fetch_known(url, authority) if url not in known else None
            if order and set(order.identifiers) == wanted and self._could_be_ours(order):
                self._context.say("found", f"continue order {url}")
                return url, order, False
        return None

    def _could_be_ours(self, order: Order) -> bool:
        return order.status in {"pending", "ready"} and order.profile in {
            None,
            self._asked.profile,
        }

    def _send(self, authority: Authority) -> tuple[str, Order, bool]:
        self._check_profile(authority)
        self._folder.write(Record(self._asked, sending=True))
        replaces = self._request.replaces if authority.directory.renewal_info else None
        names, profile = self._asked.names, self._asked.profile
        try:
            url, order = authority.new_order(names, profile, replaces)
        except Denial as denied:
            if not replaces or not _is_about_replacing(denied):
                raise
            self._context.say(
                "note", f"{authority.host} did not accept it as a replacement: {denied}"
            )
            replaces = None
            url, order = authority.new_order(names, profile, None)
        self._context.say("order", f"{authority.host} accepted order {url}")
        return url, order, bool(replaces)

    def _check_profile(self, authority: Authority) -> None:
        profile, offered = self._asked.profile, authority.directory.meta.profiles or {}
        if profile and profile not in offered:
            have = f"it has {', '.join(sorted(offered))}" if offered else "it has none"
            raise setup_failure(f"{authority.host} has no profile {profile}: {have}")

    # from the proof to the certificate

    def _validate(self, order: Order, authority: Authority) -> ManualSteps | None:
        return validate(
            self._request, order.authorizations, authority, self._folder, self._context
        )

    def _finalize(self, order: Order, authority: Authority) -> None:
        try:
            authority.finalize(
                order.finalize, signing_request(self._folder.key, self._asked.names)
            )
        except Denial as denied:
            if denied.code != "orderNotReady":  # then the order says what is the matter
                raise
        self._context.say("finalized", f"finalized the order at {authority.host}")

    def _order_after(self, status: str, record: Record, authority: Authority) -> Order:
        pause: Callable[[], float] = pauses()
        while True:
            order, seconds = authority.order(record.order)
            if order.status == "invalid":
                why = explanation(order.error) if order.error else "it gave no reason"
                names = {
                    each.identifier.value: explanation(each)
                    for each in (order.error.subproblems if order.error else ())
                    if each.identifier
                }
                raise refusal_failure(f"{authority.host} rejected the order: {why}", names)
            if order.status != status:
                return order
            self._context.pause(
                max(pause(), seconds or 0), f"{authority.host} processes the order"
            )

    def _fetch(self, order: Order, authority: Authority) -> None:
        chosen = choose(authority.chains(order.certificate or ""), self._request.preferred_chain)
        if chosen.note:
            self._context.say("note", chosen.note)
        if not is_for(read_chain(chosen.pem)[0], read_key(self._folder.key)):
            self._folder.clear()
            raise unavailable_failure(
                f"{authority.host} issued this order for another key, because another certificate "
                "of the same names used it; the next run creates a new order"
            )
        write(self._folder.chain, chosen.pem.encode())
        self._context.say("issued", f"{authority.host} issued the certificate")

    def _issued_certificate(self) -> IssuedCertificate:
        record, pem = self._folder.record, self._folder.chain.read_text()
        replaced = bool(record and record.replaced)
        return IssuedCertificate(pem, str(self._folder.key), replaced=replaced)

    def _remove_stale_txt_records(self) -> None:
        """TXT records of runs that were killed."""
        for method in self._request.methods:
            if isinstance(method, Dns) and self._folder.record:
                txt_records(method, self._folder, self._context).remove()


def _is_about_replacing(denied: Denial) -> bool:
    """RFC 9773 5 has a type for one reason only; for others there are words."""
    if denied.failure.kind != "refused":
        return False
    detail = denied.problem.detail.lower()
    return denied.code == "alreadyReplaced" or "replac" in detail or "ari " in detail
