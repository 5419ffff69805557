"""Accounts at an authority: found by their key, made once, their key replaced without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from josepy.jwk import JWK

from portico.adapters.acme.child import account_files
from portico.adapters.acme.child.account_files import (
    deactivated_urls,
    key_digest,
    known_url,
    new_key_file,
    note_owner,
    remembered_urls,
)
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure, Denial, setup_failure
from portico.adapters.acme.child.files import lock, rename
from portico.adapters.acme.child.protocol.authority import Authority
from portico.adapters.acme.child.protocol.keys import make_key, read_jwk
from portico.adapters.acme.wire import Account, AccountAnswer, AccountRequest, Failure
from portico.system.base64url import base64url


def account(request: AccountRequest, context: RunContext) -> AccountAnswer:
    own = request.account
    with lock(Path(own.key).parent, context):
        _forget_other_keys(own)
        match request.do:
            case "key":
                return _offline_answer(own)
            case "prepare" | "rollover":
                others = [replace(own, server=server) for server in request.also]
                change = _prepare_new_key if request.do == "prepare" else _replace_key
                change([own, *others], context)
                return _offline_answer(own)
            case "deactivate":
                _deactivate(own, context)
                return _offline_answer(own)
            case _:
                assert_never(request.do)


def _offline_answer(account: Account) -> AccountAnswer:
    return account_files.answer(account, base64url(_have_key(account).thumbprint()))


def open_account(account: Account, context: RunContext) -> Authority:
    """The account, ready to sign with; made if there is none, or if the authority lost it."""
    with lock(Path(account.key).parent, context):
        _forget_other_keys(account)
        return _open(account, context)


def _open(account: Account, context: RunContext) -> Authority:
    authority = _find_account(account, context) or _make_account(account, context)
    _update_contact(authority, account, context)
    return authority


def _make_account(account: Account, context: RunContext) -> Authority:
    """Or found by its key alone."""
    if account.server.directory in deactivated_urls(account):
        raise setup_failure(
            f"the account at {account.server.directory} was deactivated and cannot be created "
            "again with the same key; run `portico certs rollover` to make a new key"
        )
    authority = Authority(account.server, context, _have_key(account))
    created = _register(account, authority)
    account_files.remember(account, authority.account_url)
    if created:
        account_files.note_contact(account, _addresses(account))
        context.say("account", f"created an account at {authority.host}: {authority.account_url}")
    return authority


def _update_contact(authority: Authority, account: Account, context: RunContext) -> None:
    """To the addresses that are wanted now, if there are any. An authority need not show those
    that it has, so what it was sent last is remembered here.
    """
    if not account.contact or account_files.sent_contact(account) == _addresses(account):
        return
    try:
        authority.change_contact(account.contact)
    except Denial as denied:
        if denied.failure.kind != "refused":
            raise
        context.say("note", f"{denied}; its former addresses are kept")
        return
    account_files.note_contact(account, _addresses(account))


def _addresses(account: Account) -> str:
    return ", ".join(account.contact)


def _find_account(account: Account, context: RunContext) -> Authority | None:
    """The one that was made before; None if there was none, or the authority has lost it."""
    if replaced := _resume_rollover(account, context):
        return replaced
    url = known_url(account)
    if not url:
        return None
    authority = Authority(account.server, context, _have_key(account))
    try:
        authority.use(url)
    except Denial as denied:
        if denied.code != "accountDoesNotExist":
            raise
        return None
    return authority


def _register(account: Account, authority: Authority) -> bool:
    """Sign as the account of this key, and whether it was made just now."""
    if account.none_now is None:
        return authority.register(account.contact, account.binding)
    try:
        authority.find()
    except Denial as denied:
        if denied.code != "accountDoesNotExist":
            raise
        text = f"cannot create an account at {authority.host} now: {account.none_now.why}"
        failure = Failure("unready", text, retry_at=account.none_now.until)
        raise AcmeFailure(failure) from denied
    return False


def _have_key(account: Account) -> JWK:
    path = Path(account.key)
    if not path.exists():
        make_key(path, "ecdsa-p256")
    return read_jwk(path)


# replacing the key


def _replace_key(accounts: Sequence[Account], context: RunContext) -> None:
    """At every authority where it is known, and only then in our own file: until that has
    happened both keys are there, and each authority is asked with the one that it knows.
    """
    opened = _prepare_new_key(accounts, context)
    path = new_key_file(accounts[0])
    if not path.exists():  # an earlier run, or another machine, has replaced it
        return
    new = read_jwk(path)
    for each in opened:
        if each.thumbprint != base64url(new.thumbprint()):
            each.change_key(new)
    _promote_new_key(accounts[0])


def _prepare_new_key(accounts: Sequence[Account], context: RunContext) -> list[Authority]:
    """The accounts that there are, ready to sign with the key that each authority knows. Nothing
    is begun before all of them have answered.
    """
    first, path = accounts[0], new_key_file(accounts[0])
    named = {each.server.directory for each in accounts}
    if unnamed := sorted(set(remembered_urls(first)) - named):
        raise setup_failure(
            f"cannot replace the account's key {first.key}: it is also the key of accounts at "
            f"{', '.join(unnamed)}, which would be lost"
        )
    is_begun = path.exists()
    opened = [found for each in accounts if (found := _find_account(each, context))]
    if not is_begun:
        make_key(path, "ecdsa-p256")
    return opened


def _promote_new_key(account: Account) -> None:
    new = new_key_file(account)
    thumbprint, digest = base64url(read_jwk(new).thumbprint()), key_digest(new)
    rename(new, Path(account.key))
    note_owner(account, thumbprint, digest)
    account_files.begin_with_new_key(account)


def _resume_rollover(account: Account, context: RunContext) -> Authority | None:
    """The account, if a run that did not come to its end has replaced the key here."""
    new, url = new_key_file(account), known_url(account)
    if not url or not new.exists():
        return None
    authority = Authority(account.server, context, read_jwk(new))
    try:
        authority.use(url)
    except Denial as denied:
        if denied.failure.kind != "refused":
            raise
        return None
    if len(remembered_urls(account)) == 1:
        _promote_new_key(account)
    return authority


# deactivating


def _deactivate(account: Account, context: RunContext) -> None:
    """Only one that there is. It never comes back, and its key gets no other one there."""
    url = known_url(account)
    if not url:
        raise setup_failure(f"no account at {account.server.directory}")
    try:
        if found := _find_account(account, context):
            found.deactivate()
    except Denial as denied:
        if not _says_deactivated(denied):  # by a run that did not come to its end, or elsewhere
            raise
    account_files.note_deactivated(account, url)


def _says_deactivated(denied: Denial) -> bool:
    """RFC 8555 7.3.6 has no code of its own for it."""
    return denied.code == "unauthorized" and "deactivated" in denied.failure.text


# which accounts the key has


def _forget_other_keys(account: Account) -> None:
    """What is remembered here is of one key. Where that was lost, or replaced by hand, another
    one has none of its accounts; and they are found again if it was theirs after all.
    """
    path = Path(account.key)
    if is_lost := not path.exists():
        make_key(path, "ecdsa-p256")
    digest, thumbprint = key_digest(path), base64url(read_jwk(path).thumbprint())
    if is_lost or account_files.owner(account) not in {None, thumbprint}:
        account_files.forget_all(account)
    is_same = key_digest(path) == digest  # it may be replaced by hand meanwhile
    note_owner(account, thumbprint, digest if is_same else "")
