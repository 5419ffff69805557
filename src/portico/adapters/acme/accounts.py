"""Accounts at an authority: found by their key, made once, their key replaced without a gap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from josepy.jwk import JWK

from portico.adapters.acme.attempt import Attempt
from portico.adapters.acme.authority import Authority
from portico.adapters.acme.documents import AccountDocument, base64url
from portico.adapters.acme.failures import Denied
from portico.adapters.acme.files import locked, rename, write_whole
from portico.adapters.acme.keys import make_key, read_jwk
from portico.adapters.acme.wire import Account, AccountAnswer, AccountRequest


def account(request: AccountRequest, attempt: Attempt) -> AccountAnswer:
    with locked(Path(request.account.key).parent, attempt):
        if request.do == "key":
            return AccountAnswer(base64url(_have_key(request.account).thumbprint()))
        opened = _open(request.account, attempt)
        match request.do:
            case "have":
                return opened.answer(opened.document)
            case "contact":
                return opened.answer(opened.authority.change_contact(request.account.contact))
            case "rollover":
                _replace_key(request.account, opened.authority)
                return opened.answer(opened.document)
            case "deactivate":
                document = opened.authority.deactivate()
                _put_aside(Path(request.account.key))
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
    _settle_rollover(account, attempt)
    authority = Authority(account.server, attempt, _have_key(account))
    if url := _remembered(account):
        try:
            return Opened(authority, authority.use(url), created=False)
        except Denied as denied:
            if denied.code != "accountDoesNotExist":
                raise
    document, created = authority.register(account.contact, account.binding)
    _remember(account, authority.account_url)
    if created:
        attempt.say("account", f"made an account at {authority.host}: {authority.account_url}")
    return Opened(authority, document, created)


def _have_key(account: Account) -> JWK:
    path = Path(account.key)
    if not path.exists():
        make_key(path, "ecdsa-p256")
    return read_jwk(path)


def _replace_key(account: Account, authority: Authority) -> None:
    new = _new_key(account)
    if not new.exists():
        make_key(new, "ecdsa-p256")
    authority.change_key(read_jwk(new))
    rename(new, Path(account.key))


def _settle_rollover(account: Account, attempt: Attempt) -> None:
    """A run that was killed may have replaced the key: find out which one is in force."""
    new, url = _new_key(account), _remembered(account)
    if not url or not new.exists():
        return
    try:
        Authority(account.server, attempt, read_jwk(new)).use(url)
    except Denied as denied:
        if denied.failure.kind != "refused":
            raise
    else:
        rename(new, Path(account.key))


def _new_key(account: Account) -> Path:
    path = Path(account.key)
    return path.with_name(f"{path.name}.new")


def _put_aside(key: Path) -> None:
    """A deactivated account never comes back; its key may still prove what was ours."""
    rename(key, key.with_name(f"{key.name}.deactivated"))
    key.with_suffix(".json").unlink(missing_ok=True)


def _remembered(account: Account) -> str:
    """The account's URL at this authority; empty if it is not known here."""
    try:
        urls = json.loads(Path(account.key).with_suffix(".json").read_bytes())
        return str(urls.get(account.server.directory, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _remember(account: Account, url: str) -> None:
    path = Path(account.key).with_suffix(".json")
    write_whole(path, json.dumps({account.server.directory: url}).encode())
