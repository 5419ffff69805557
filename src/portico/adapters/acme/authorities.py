"""Certificate authorities as the engine sees them. Implements `ports.Authorities`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, assert_never

from msgspec import structs

from portico.adapters.acme import methods, portable, wire
from portico.adapters.acme.child import account_files
from portico.adapters.acme.child_client import AcmeChild
from portico.core.model.certificate import Certificate, Challenge, Issuer, Refusal
from portico.core.model.order import Accounts, NewCertificate, Order
from portico.core.model.preflight import PreflightFacts
from portico.ports.certificates import AuthorityError, KeepOrder
from portico.system.programs import StartProgram, start_here

log = logging.getLogger(__name__)

_STEPS: Final[tuple[Literal["key", "order"], ...]] = ("key", "order")
"""Of an order, each of which is known to other machines before the next one."""
RFC2136: Final = "rfc2136"
COMMAND: Final = "command"
ROLLOVER_TIMEOUT: Final = 30.0
EACH_AUTHORITY_TIMEOUT: Final = 30.0
"""Seconds more for each authority that is told the new key."""


class Authorities:
    """One key for the accounts at all authorities: nginx then answers HTTP-01 for all alike."""

    def __init__(
        self,
        folder: Path,
        python: str,
        *,
        alpn: str,
        tokens: str,
        start_program: StartProgram = start_here,
    ) -> None:
        """`folder` is PORTICO_HOME/certificates; `alpn` the unix socket to which nginx passes
        who speaks `acme-tls/1`; `tokens` as in `methods.Http`.
        """
        self._alpn, self._tokens = alpn, tokens
        self._key = str(account_key(folder))
        self._orders = str(folder / "orders")
        self._child = AcmeChild(python, start_program=start_program)

    async def accounts(self) -> Accounts:
        account = wire.Account(wire.Server(""), self._key)
        if answer := await asyncio.to_thread(account_files.answer_without_key, account):
            return _accounts(answer)
        return await self._ask_accounts(wire.AccountRequest(account, do="key"))

    async def key_digest(self) -> str:
        return await asyncio.to_thread(account_files.key_digest, Path(self._key))

    async def prepare_rollover(self, issuers: Sequence[Issuer]) -> Accounts:
        return await self._change_key("prepare", issuers)

    async def roll_over(self, issuers: Sequence[Issuer]) -> Accounts:
        return await self._change_key("rollover", issuers)

    async def _change_key(
        self, do: Literal["prepare", "rollover"], issuers: Sequence[Issuer]
    ) -> Accounts:
        first, *others = map(_server, issuers) if issuers else [wire.Server("")]
        account = wire.Account(first, self._key)
        return await self._ask_accounts(
            wire.AccountRequest(
                account,
                do=do,
                also=tuple(others),
                deadline=ROLLOVER_TIMEOUT + EACH_AUTHORITY_TIMEOUT * len(issuers),
            )
        )

    async def deactivate(self, issuer: Issuer) -> Accounts:
        return await self._ask_accounts(
            wire.AccountRequest(self._account(issuer), do="deactivate")
        )

    async def _ask_accounts(self, request: wire.AccountRequest) -> Accounts:
        return _accounts(await self._child.account(request))

    async def issue(
        self,
        order: Order,
        *,
        no_account: Refusal | None,
        made_account: Callable[[], None],
        note: Callable[[str], None],
        keep: KeepOrder | None = None,
    ) -> NewCertificate:
        def report(progress: wire.Progress) -> None:
            if progress.step == "account":
                made_account()
            if progress.step == "note":
                note(progress.text)
            level = logging.WARNING if progress.step == "note" else logging.INFO
            log.log(level, "certificate %s: %s", order.lineage.name, progress.text)

        request = structs.replace(self._request(order), foreseen=order.lineage.preflight)
        if no_account:
            none_now = wire.NoAccount(no_account.why, no_account.until)
            account = replace(request.account, none_now=none_now)
            request = structs.replace(request, account=account)
        if keep:
            folder = Path(self._orders, order.name)
            for step in _STEPS:
                await self._child.issue(structs.replace(request, until=step), report)
                await keep(await asyncio.to_thread(portable.files_of, folder))
        answer = await self._child.issue(request, report)
        if isinstance(answer, wire.ManualSteps):
            raise AuthorityError(_by_hand(order.lineage.name, answer))
        assert isinstance(answer, wire.IssuedCertificate)  # noqa: S101 - it was not to stop before
        return NewCertificate(answer.chain, answer.key, answer.replaced)

    async def take_order(self, order: str, files: Mapping[str, str]) -> None:
        folder = Path(self._orders, order)
        await asyncio.to_thread(portable.take_order, folder, files, self._key)

    async def account_files(self) -> Mapping[str, str]:
        return await asyncio.to_thread(portable.files_of, Path(self._key).parent)

    async def take_account(self, files: Mapping[str, str]) -> None:
        await asyncio.to_thread(portable.take_account, Path(self._key).parent, files)

    async def preflight(self, order: Order, folders: Sequence[str]) -> PreflightFacts:
        challenges = order.lineage.challenges
        resolvers = next((each.resolvers for each in challenges if each.resolvers), ())
        request = wire.PreflightRequest(
            self._request(order),
            (*folders, self._orders, str(Path(self._key).parent)),
            methods.Lookups(resolvers),
        )
        return await self._child.preflight(request)

    async def forget(self, order: str) -> None:
        await self._child.forget(self._orders, order)

    async def renewal_window(
        self, issuer: Issuer, certificate: Certificate
    ) -> tuple[float, float, str, float]:
        request = wire.RenewalInfoRequest(_server(issuer), certificate.cert)
        info = await self._child.renewal_info(request)
        if info.start is None or info.end is None:
            raise AuthorityError(info.why, retry_at=info.ask_again)
        return info.start, info.end, info.explanation, info.ask_again

    async def revoke(self, issuer: Issuer, certificate: Certificate, reason: int) -> None:
        request = wire.RevokeRequest(self._account(issuer), certificate.cert, reason)
        await self._child.revoke(request)

    def _request(self, order: Order) -> wire.IssueRequest:
        lineage = order.lineage
        return wire.IssueRequest(
            self._account(order.issuer),
            order.name,
            self._orders,
            lineage.names,
            tuple(self._method(challenge) for challenge in lineage.challenges),
            key_type=lineage.key_type,
            profile=lineage.profile_at(order.issuer),
            preferred_chain=lineage.preferred_chain,
            replaces=order.replaces,
        )

    def _account(self, issuer: Issuer) -> wire.Account:
        return wire.Account(_server(issuer), self._key, issuer.contact, issuer.binding)

    def _method(self, challenge: Challenge) -> methods.Method:
        match challenge.kind:
            case "http-01":
                return methods.Http(self._tokens)
            case "dns-01":
                return methods.Dns(_publisher(challenge), methods.Lookups(challenge.resolvers))
            case "tls-alpn-01":
                return methods.TlsAlpn(socket=self._alpn)
            case "standalone":
                return methods.Standalone(int(challenge.options.get("port", "80")))
            case "manual":
                return methods.Manual(methods.Lookups(challenge.resolvers))
            case _:
                assert_never(challenge.kind)


def account_key(folder: Path) -> Path:
    """In PORTICO_HOME/certificates."""
    return folder / "account" / "key.pem"


def _accounts(answer: wire.AccountAnswer) -> Accounts:
    return Accounts(answer.thumbprint, answer.accounts, answer.deactivated, answer.halfway)


def _by_hand(lineage: str, todo: wire.ManualSteps) -> str:
    steps = "; ".join(f"{step.where} TXT {step.value}" for step in todo.steps)
    return (
        f"publish {steps}; when every name server has it, run `portico certs renew {lineage} "
        "--force` to continue this order"
    )


def _publisher(challenge: Challenge) -> methods.Publisher:
    options = dict(challenge.options)
    if challenge.provider == RFC2136:
        return methods.Rfc2136(
            options.get("server", ""),
            options.get("key_name", ""),
            options.get("secret", ""),
            options.get("algorithm", "hmac-sha256"),
            options.get("zone"),
        )
    if challenge.provider == COMMAND:
        return methods.Command(challenge.auth, challenge.cleanup, environ=options)
    return methods.Lexicon(challenge.provider, options)


def _server(issuer: Issuer) -> wire.Server:
    return wire.Server(issuer.directory, issuer.ca_bundle)
