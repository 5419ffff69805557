"""Accounts at an authority: found by their key, made once, their key replaced without a gap."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, assert_never

from josepy.jwk import JWK
from pydantic import TypeAdapter, ValidationError

from portico.adapters.acme.attempt import Attempt
from portico.adapters.acme.authority import Authority
from portico.adapters.acme.documents import AccountDocument, base64url
from portico.adapters.acme.failures import AcmeFailure, Denied, unready
from portico.adapters.acme.files import locked, rename, write_whole
from portico.adapters.acme.keys import make_key, read_jwk
from portico.adapters.acme.wire import Account, AccountAnswer, AccountRequest, Failure

_URLS: Final = TypeAdapter(dict[str, str])


def account(request: AccountRequest, attempt: Attempt) -> AccountAnswer:
    own = request.account
    with locked(Path(own.key).parent, attempt):
        if request.do == "key":
            return AccountAnswer(base64url(_have_key(own).thumbprint()))
        opened = _open(own, attempt)
        match request.do:
            case "have":
                return opened.answer(opened.document)
            case "contact":
                return opened.answer(opened.authority.change_contact(own.contact))
            case "rollover":
                others = [replace(own, server=server) for server in request.also]
                _replace_key([own, *others], attempt)
                return _open(own, attempt).answer(opened.document)
            case "deactivate":
                document = opened.authority.deactivate()
                _forget(own)
                return opened.answer(document)
            case _:
                assert_never(request.do)


@dataclass(frozen=True, slots=True)
class Opened:
    authority: Authority
    document: AccountDocument
    created: bool

    def answer(self, document: AccountDocument) -> AccountAnswer:
        return AccountAnswer(
            self.authority.thumbprint,
            self.authority.account_url,
            document.status,
            self.created,
            document.addresses,
        )


def open_account(account: Account, attempt: Attempt) -> Opened:
    """The account, ready to sign with; made if there is none, or if the authority lost it."""
    with locked(Path(account.key).parent, attempt):
        return _open(account, attempt)


def _open(account: Account, attempt: Attempt) -> Opened:
    if replaced := _with_new_key(account, attempt):
        return replaced
    authority = Authority(account.server, attempt, _have_key(account))
    if url := _remembered(account):
        try:
            return Opened(authority, authority.use(url), created=False)
        except Denied as denied:
            if denied.code != "accountDoesNotExist":
                raise
    document, created = _registered(account, authority)
    _remember(account, authority.account_url)
    if created:
        attempt.say("account", f"made an account at {authority.host}: {authority.account_url}")
    return Opened(authority, document, created)


def _registered(account: Account, authority: Authority) -> tuple[AccountDocument, bool]:
    if account.none_now is None:
        return authority.register(account.contact, account.binding)
    try:
        return authority.find(), False
    except Denied as denied:
        if denied.code != "accountDoesNotExist":
            raise
        text = f"cannot make an account at {authority.host} now: {account.none_now.why}"
        failure = Failure("unready", text, retry_at=account.none_now.until)
        raise AcmeFailure(failure) from denied


def _have_key(account: Account) -> JWK:
    path = Path(account.key)
    if not path.exists():
        make_key(path, "ecdsa-p256")
    return read_jwk(path)


# replacing the key


def _replace_key(accounts: Sequence[Account], attempt: Attempt) -> None:
    """At every authority where it is known, and only then in our own file: until that has
    happened both keys are there, and each authority is asked with the one that it knows.
    """
    first, path = accounts[0], _new_key(accounts[0])
    named = {each.server.directory for each in accounts}
    if unnamed := sorted(set(_all_remembered(first)) - named):
        raise unready(
            f"cannot replace the account's key {first.key}: accounts at {', '.join(unnamed)} "
            "have it too, and would be lost"
        )
    if not path.exists():
        make_key(path, "ecdsa-p256")
    new = read_jwk(path)
    for each in filter(_remembered, accounts):
        authority = _open(each, attempt).authority
        if authority.thumbprint != base64url(new.thumbprint()):
            authority.change_key(new)
    rename(path, Path(first.key))


def _with_new_key(account: Account, attempt: Attempt) -> Opened | None:
    """The account, if a run that did not come to its end has replaced the key here."""
    new, url = _new_key(account), _remembered(account)
    if not url or not new.exists():
        return None
    authority = Authority(account.server, attempt, read_jwk(new))
    try:
        document = authority.use(url)
    except Denied as denied:
        if denied.failure.kind != "refused":
            raise
        return None
    if len(_all_remembered(account)) == 1:
        rename(new, Path(account.key))
    return Opened(authority, document, created=False)


def _new_key(account: Account) -> Path:
    path = Path(account.key)
    return path.with_name(f"{path.name}.new")


# which accounts the key has


def _forget(account: Account) -> None:
    """A deactivated account never comes back. A key that has no other account is put aside."""
    others = _all_remembered(account)
    others.pop(account.server.directory, None)
    _write_remembered(account, others)
    if not others:
        key = Path(account.key)
        rename(key, key.with_name(f"{key.name}.deactivated"))


def _remembered(account: Account) -> str:
    """The account's URL at this authority; empty if it is not known here."""
    return _all_remembered(account).get(account.server.directory, "")


def _remember(account: Account, url: str) -> None:
    _write_remembered(account, {**_all_remembered(account), account.server.directory: url})


def _all_remembered(account: Account) -> dict[str, str]:
    """URLs of accounts by those of directories; none if the file is lost or damaged."""
    try:
        return _URLS.validate_json(Path(account.key).with_suffix(".json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def _write_remembered(account: Account, urls: Mapping[str, str]) -> None:
    write_whole(Path(account.key).with_suffix(".json"), json.dumps(urls).encode())


def known_url(account: Account) -> str:
    """The URL of an account that was made before; empty if none was. Nobody is asked."""
    return _remembered(account)
