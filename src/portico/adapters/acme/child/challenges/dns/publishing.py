"""TXT records of an order: put side by side with what is there, seen everywhere, taken away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import assert_never

from portico.adapters.acme.child.challenges.dns.command import Programs
from portico.adapters.acme.child.challenges.dns.lexicon import Provider
from portico.adapters.acme.child.challenges.dns.lookup import Lookup
from portico.adapters.acme.child.challenges.dns.propagation import (
    ExpectedRecord,
    wait_until_served,
)
from portico.adapters.acme.child.challenges.dns.publisher import Entry, PublishesTxt
from portico.adapters.acme.child.challenges.dns.rfc2136 import Updates
from portico.adapters.acme.child.challenges.responses import Proof, txt_name
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.child.order_folder import OrderFolder, PublishedRecord
from portico.adapters.acme.methods import Command, Dns, Lexicon, Lookups, Rfc2136


class TxtRecords:
    """Those of one order, by one publisher."""

    def __init__(self, method: Dns, folder: OrderFolder, context: RunContext) -> None:
        self._folder, self._context = folder, context
        self._lookups = method.lookups
        self._publisher = _publisher(method)

    def check(self, names: Iterable[str]) -> None:
        """Whether they could be published. Raises AcmeFailure, before anything was ordered."""
        domains = dict.fromkeys(name.removeprefix("*.") for name in names)
        for entry in self._entries([(domain, "") for domain in domains]):
            self._publisher.check(entry, self._context)

    @contextmanager
    def publish(self, proofs: Sequence[Proof]) -> Iterator[None]:
        """While inside, every authoritative server serves them."""
        entries = self._entries([(proof.name, proof.txt_value) for proof in proofs])
        self.remove(keep={entry.value for entry in entries})
        try:
            for entry in entries:
                self._put(entry)
            wait_for(entries, self._lookups, self._context)
            yield
        finally:
            self.remove()

    def remove(self, keep: Iterable[str] = ()) -> None:
        """What this publisher has published for the order, in killed runs too. What cannot be
        taken away stays on record for the next run, and stops nothing.
        """
        cleanup, kept = self._context.with_cleanup_time(), set(keep)
        for record in self._on_record():
            if record.by != self._publisher.publisher_name or record.value in kept:
                continue
            entry = Entry(record.domain, record.name, record.zone, record.value)
            try:
                self._publisher.remove(entry, record.output, cleanup)
            except AcmeFailure as failure:
                self._context.say("note", str(failure))
                continue
            self._record([other for other in self._on_record() if other != record])
            self._context.say("cleaned", f"removed the TXT record of {record.name}")

    def _put(self, entry: Entry) -> None:
        new = PublishedRecord(
            self._publisher.publisher_name, entry.domain, entry.name, entry.zone, entry.value
        )
        others = [each for each in self._on_record() if replace(each, output="") != new]
        self._record([*others, new])  # before it exists: a killed run leaves no record unknown
        if output := self._publisher.put(entry, self._context):
            self._record([*others, replace(new, output=output)])
        self._context.say("published", f"published a TXT record for {entry.name}")

    def _entries(self, wanted: Sequence[tuple[str, str]]) -> list[Entry]:
        """Domain and value, each with where it belongs."""
        lookup = Lookup(self._lookups, self._context)
        names = {domain: lookup.target(txt_name(domain)) for domain, _ in wanted}
        zones = {name: lookup.zone(name) for name in names.values()}
        domains = tuple(names)
        return [
            Entry(domain, names[domain], zones[names[domain]], value, domains, left)
            for left, (domain, value) in zip(reversed(range(len(wanted))), wanted, strict=True)
        ]

    def _on_record(self) -> tuple[PublishedRecord, ...]:
        record = self._folder.record
        return record.published if record else ()

    def _record(self, published: Sequence[PublishedRecord]) -> None:
        if record := self._folder.record:
            self._folder.write(replace(record, published=tuple(published)))


def wait_for(entries: Sequence[Entry], lookups: Lookups, context: RunContext) -> None:
    """Until every authoritative server has all values of each name."""
    lookup = Lookup(lookups, context)
    values: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        values.setdefault((entry.name, entry.zone), set()).add(entry.value)
    wanted = [ExpectedRecord(name, zone, frozenset(each)) for (name, zone), each in values.items()]
    wait_until_served(wanted, lookup, lookups.timeout, context)
    names = ", ".join(sorted({entry.name for entry in entries}))
    context.say("served", f"every name server serves the TXT records of {names}")


def entry_by_hand(proof: Proof, lookups: Lookups, context: RunContext) -> Entry:
    """Where a person was to put it."""
    lookup = Lookup(lookups, context)
    target = lookup.target(proof.txt_name)
    return Entry(proof.name, target, lookup.zone(target), proof.txt_value)


def _publisher(method: Dns) -> PublishesTxt:
    match method.publisher:
        case Rfc2136() as settings:
            return Updates(settings)
        case Lexicon() as settings:
            return Provider(settings, method.lookups.resolvers)
        case Command() as settings:
            return Programs(settings)
        case _:
            assert_never(method.publisher)
