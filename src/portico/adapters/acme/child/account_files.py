"""What is remembered of the accounts of a key, in files beside it; `wire.Account` has which.

Whoever changes anything holds the lock of the folder. The daemon reads them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from portico.adapters.acme.wire import Account, AccountAnswer
from portico.core.model.json_text import DECODE_ERRORS
from portico.system.files import write

_TEXTS: Final = msgspec.json.Decoder(dict[str, str])


def answer(account: Account, thumbprint: str) -> AccountAnswer:
    """What can be said without asking anybody."""
    return AccountAnswer(
        thumbprint,
        remembered_urls(account),
        deactivated_urls(account),
        halfway=new_key_file(account).exists(),
    )


def answer_without_key(account: Account) -> AccountAnswer | None:
    """The same without reading the key; None where it is not the one that was noted, or where
    something cannot be read, which the child will say.
    """
    digest = key_digest(Path(account.key))
    try:
        match _read(_owner_file(account)):
            case {"digest": noted, "thumbprint": thumbprint} if digest and noted == digest:
                return answer(account, thumbprint)
    except OSError:
        pass
    return None


def key_digest(key: Path) -> str:
    """Of the file; empty where it cannot be read, which the child that needs it will say."""
    try:
        return hashlib.sha256(key.read_bytes()).hexdigest()
    except OSError:
        return ""


def owner(account: Account) -> str | None:
    """Thumbprint of the key that the rest is of."""
    return _read(_owner_file(account)).get("thumbprint")


def note_owner(account: Account, thumbprint: str, digest: str) -> None:
    """`digest` is that of the file with the key of this thumbprint."""
    noted = {"thumbprint": thumbprint, "digest": digest}
    if _read(_owner_file(account)) != noted:
        _write(_owner_file(account), noted)


def forget_all(account: Account) -> None:
    for each in (_urls_file, _deactivated_file, _contacts_file):
        each(account).unlink(missing_ok=True)


def known_url(account: Account) -> str:
    """Of the account at this authority; empty if none is known here. Nobody is asked."""
    return remembered_urls(account).get(account.server.directory, "")


def remembered_urls(account: Account) -> dict[str, str]:
    """Those that can be used, whatever a run that was killed has left."""
    given_up = deactivated_urls(account)
    known = _read(_urls_file(account))
    return {each: url for each, url in known.items() if each not in given_up}


def remember(account: Account, url: str) -> None:
    _write(_urls_file(account), {**remembered_urls(account), account.server.directory: url})


def deactivated_urls(account: Account) -> dict[str, str]:
    return _read(_deactivated_file(account))


def note_deactivated(account: Account, url: str) -> None:
    given_up = {**deactivated_urls(account), account.server.directory: url}
    _write(_deactivated_file(account), given_up)
    _write(_urls_file(account), remembered_urls(account))


def begin_with_new_key(account: Account) -> None:
    """With it accounts can be made again where the one of the old key was deactivated."""
    _write(_urls_file(account), remembered_urls(account))
    _write(_deactivated_file(account), {})


def sent_contact(account: Account) -> str | None:
    """The addresses that the authority was sent last."""
    return _read(_contacts_file(account)).get(account.server.directory)


def note_contact(account: Account, addresses: str) -> None:
    sent = _read(_contacts_file(account))
    _write(_contacts_file(account), {**sent, account.server.directory: addresses})


def new_key_file(account: Account) -> Path:
    path = Path(account.key)
    return path.with_name(f"{path.name}.new")


def _urls_file(account: Account) -> Path:
    return Path(account.key).with_suffix(".json")


def _deactivated_file(account: Account) -> Path:
    return Path(account.key).with_suffix(".deactivated.json")


def _contacts_file(account: Account) -> Path:
    return Path(account.key).with_suffix(".contact.json")


def _owner_file(account: Account) -> Path:
    return Path(account.key).with_suffix(".owner.json")


def _read(path: Path) -> dict[str, str]:
    """By URLs of directories, most of them; nothing if the file is lost or damaged."""
    try:
        return _TEXTS.decode(path.read_bytes())
    except (FileNotFoundError, *DECODE_ERRORS):
        return {}


def _write(path: Path, texts: Mapping[str, str]) -> None:
    write(path, json.dumps(texts).encode())
