"""Waits until every authoritative server of a zone serves what was published.

An authority asks one of them, nobody knows which. So nothing is waited for a fixed time: each
address is asked until it has all values. One that never answers at all is left out at the end,
because authorities ask another one then; one that answers without a value is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT

from portico.adapters.acme.child.challenges.dns.lookup import AuthoritativeServer, Lookup
from portico.adapters.acme.child.context import RunContext, pauses
from portico.adapters.acme.child.failures import setup_failure

QUESTION_TIMEOUT: Final = 3.0  # seconds
MAX_PARALLEL_QUESTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class ExpectedRecord:
    """The values that the TXT record of a name must have, perhaps beside others."""

    name: str
    zone: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Question:
    server: AuthoritativeServer
    record: ExpectedRecord


def wait_until_served(
    records: Sequence[ExpectedRecord], lookup: Lookup, timeout: float, context: RunContext
) -> None:
    """Raises AcmeFailure after `timeout` seconds, with each server that lacks a value."""
    servers = {zone: lookup.servers(zone) for zone in {each.zone for each in records}}
    open_questions = [_Question(server, each) for each in records for server in servers[each.zone]]
    pause, ends = pauses(), context.clock.monotonic() + timeout
    with ThreadPoolExecutor(MAX_PARALLEL_QUESTIONS) as pool:
        while True:
            answers = dict(
                zip(open_questions, pool.map(partial(_ask, context), open_questions), strict=True)
            )
            open_questions = [
                question
                for question, found in answers.items()
                if found is None or question.record.values - found
            ]
            if not open_questions:
                return
            seconds = pause()
            if context.clock.monotonic() + seconds > ends or seconds > context.time_left():
                _give_up(answers, servers, context)
                return
            context.pause(seconds, f"waiting for {open_questions[0].server}")


def _ask(context: RunContext, question: _Question) -> frozenset[str] | None:
    """What a server has; None when it did not answer."""
    server = question.server
    query = dns.message.make_query(question.record.name, dns.rdatatype.TXT, flags=0)
    limit = min(QUESTION_TIMEOUT, max(context.time_left(), 0.1))
    try:
        answer, _ = dns.query.udp_with_fallback(
            query, server.address, limit, server.port, ignore_unexpected=True
        )
    except (dns.exception.DNSException, OSError, EOFError):
        return None
    return frozenset(
        b"".join(data.strings).decode(errors="replace")
        for rrset in answer.answer
        for data in rrset
        if isinstance(data, TXT)
    )


def _give_up(
    answers: Mapping[_Question, frozenset[str] | None],
    servers: Mapping[str, Sequence[AuthoritativeServer]],
    context: RunContext,
) -> None:
    """Go on only when nobody who answers lacks anything, and somebody answers for each zone."""
    lacking = [q for q, found in answers.items() if found is not None and q.record.values - found]
    silent = [q for q, found in answers.items() if found is None]
    dead = [
        zone for zone, all_of in servers.items() if {q.server for q in silent}.issuperset(all_of)
    ]
    if lacking:
        where = ", ".join(sorted({f"{q.server} for {q.record.name}" for q in lacking}))
        raise setup_failure(
            f"the TXT record is published, but {where} does not serve it yet; validation was not "
            "triggered, since it would fail and count"
        )
    if dead:
        where = ", ".join(sorted({str(q.server) for q in silent}))
        raise setup_failure(
            f"cannot check whether the TXT record is served: no answer from {where}"
        )
    for server in sorted({str(q.server) for q in silent}):
        context.say("note", f"the name server {server} does not answer; all others serve it")
