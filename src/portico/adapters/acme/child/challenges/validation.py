"""Proves to an authority whose names these are: shows it, has it look, and waits for its word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from portico.adapters.acme.child.challenges.responses import Proof, proofs, response_plan
from portico.adapters.acme.child.challenges.serving import answering_http, answering_tls, listen
from portico.adapters.acme.child.challenges.tokens import waited_for
from portico.adapters.acme.child.context import RunContext, pauses
from portico.adapters.acme.child.documents import Authorization
from portico.adapters.acme.child.failures import AcmeFailure, explanation
from portico.adapters.acme.child.order_folder import OrderFolder, names_of
from portico.adapters.acme.child.protocol.authority import Authority
from portico.adapters.acme.methods import Dns, Http, Lookups, Manual, Method, Standalone, TlsAlpn
from portico.adapters.acme.wire import Failure, IssueRequest, ManualSteps

if TYPE_CHECKING:
    from portico.adapters.acme.child.challenges.dns.publishing import TxtRecords

_FAILED_STATUSES: Final = frozenset({"invalid", "deactivated", "expired", "revoked"})


def look_ahead(request: IssueRequest, folder: OrderFolder, context: RunContext) -> None:
    """What would keep us from proving the names, found before anything is ordered."""
    plan = list(response_plan(names_of(request), request.methods))
    for method in request.methods:
        names = [name for name, chosen in plan if chosen is method]
        if not names:
            continue
        match method:
            case Standalone() | TlsAlpn():
                listen(method).close()
            case Dns():
                txt_records(method, folder, context).check(names)
            case Http() | Manual():
                pass
            case _:
                assert_never(method)


def validate(
    request: IssueRequest,
    authorizations: Sequence[str],
    authority: Authority,
    folder: OrderFolder,
    context: RunContext,
) -> ManualSteps | None:
    """All authorizations of an order; a person's part is returned instead, while it is not done.

    Raises AcmeFailure with what is wrong with each name. Nothing that was shown stays behind.
    """
    documents = [authority.authorization(url)[0] for url in authorizations]
    open_ones = [each for each in documents if each.status == "pending"]
    found = proofs(open_ones, request.methods, authority.thumbprint)
    by_hand = [
        (proof, proof.method.lookups)
        for proof in found
        if isinstance(proof.method, Manual) and not proof.is_answered
    ]
    if not all(_is_published(proof, lookups, context) for proof, lookups in by_hand):
        return ManualSteps(tuple(proof.put for proof, _ in by_hand))
    with ExitStack() as shown:
        for method, those in _by_method(request.methods, found):
            shown.enter_context(_answers_of(method, those, folder, context))
        for proof in found:
            if not proof.is_answered:
                authority.answer(proof.challenge.url)
                context.say(
                    "answered", f"triggered validation of {proof.name} at {authority.host}"
                )
        _wait_for_authority(authorizations, authority, context)
    return None


def _is_published(proof: Proof, lookups: Lookups, context: RunContext) -> bool:
    """Whether every name server serves now what a person was to publish."""
    from portico.adapters.acme.child.challenges.dns import publishing  # noqa: PLC0415

    now = replace(lookups, timeout=0.0)
    try:
        publishing.wait_for([publishing.entry_by_hand(proof, now, context)], now, context)
    except AcmeFailure:
        return False
    return True


def _by_method(
    methods: Sequence[Method], found: Sequence[Proof]
) -> Iterator[tuple[Method, list[Proof]]]:
    for method in methods:
        if those := [proof for proof in found if proof.method is method]:
            yield method, those


def _answers_of(
    method: Method, those: Sequence[Proof], folder: OrderFolder, context: RunContext
) -> AbstractContextManager[None]:
    match method:
        case Http():
            tokens = (proof.challenge.token for proof in those)
            return waited_for(method, *tokens, context=context)
        case Standalone():
            return answering_http(method, those)
        case TlsAlpn():
            return answering_tls(method, those, context)
        case Dns():
            return txt_records(method, folder, context).publish(those)
        case Manual():
            return nullcontext()
        case _:
            assert_never(method)


def txt_records(method: Dns, folder: OrderFolder, context: RunContext) -> TxtRecords:
    """Those of an order. Only orders in DNS pay for what is imported for it: a third of the time
    that a child takes to start.
    """
    from portico.adapters.acme.child.challenges.dns.publishing import TxtRecords  # noqa: PLC0415

    return TxtRecords(method, folder, context)


def _wait_for_authority(
    authorizations: Sequence[str], authority: Authority, context: RunContext
) -> None:
    """Until none is open any more; all of them, so that each failure is told."""
    ended: dict[str, Authorization] = {}
    pause: Callable[[], float] = pauses()
    while True:
        asked_to_wait = 0.0
        for url in authorizations:
            if url not in ended:
                document, seconds = authority.authorization(url)
                asked_to_wait = max(asked_to_wait, seconds or 0.0)
                if document.status != "pending":
                    ended[url] = document
        if len(ended) == len(authorizations):
            break
        context.pause(max(pause(), asked_to_wait), f"{authority.host} validated the names")
    if failed := {
        each.name: _failure_text(each)
        for each in ended.values()
        if each.status in _FAILED_STATUSES
    }:
        raise _validation_failure(failed, authority.host)
    context.say("proven", f"{authority.host} has validated all names")


def _failure_text(authorization: Authorization) -> str:
    reasons = [explanation(each.error) for each in authorization.challenges if each.error]
    return "; ".join(reasons) or f"its authorization is {authorization.status}"


def _validation_failure(failed: Mapping[str, str], host: str) -> AcmeFailure:
    each = "; ".join(f"{name}: {why}" for name, why in failed.items())
    return AcmeFailure(Failure("unproven", f"validation failed at {host}: {each}", failed))
