"""The files of an order and of the account, as another machine of the cluster is given them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.adapters.acme.child.order_folder import KEY, RECORD
from portico.errors import Failed
from portico.system.files import sync_folder, write_new
from portico.system.folders import begin_folder, finish_folder, remove_folder

KEY_FILE: Final = "key.pem"
"""Of the account."""


def files_of(folder: Path) -> Mapping[str, str]:
    """Texts by name; none where the folder is not there. Raises Failed."""
    try:
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return {each.name: each.read_text() for each in found if _is_kept(each)}
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"cannot read {folder}: {error}") from error


def take_order(folder: Path, files: Mapping[str, str], account_key: str) -> None:
    """Unless it was sent from here with the same key. Raises Failed."""
    here = files_of(folder)
    try:
        if here.get(KEY) == files[KEY] and json.loads(here[RECORD])["order"]:
            return
        record = json.loads(files[RECORD])
        record["asked"]["account_key"] = account_key  # where it lies on this machine
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"cannot continue the order {folder.name}: its record is damaged") from error
    _replace(folder, {**files, RECORD: json.dumps(record)})


def take_account(folder: Path, files: Mapping[str, str]) -> None:
    """Another key that was here is kept beside it. Raises Failed."""
    is_another = files_of(folder).get(KEY_FILE) not in {None, files.get(KEY_FILE)}
    _replace(folder, files, folder.with_name(f"{folder.name}.before") if is_another else None)


def _replace(folder: Path, files: Mapping[str, str], keep_as: Path | None = None) -> None:
    if any("/" in name or name.startswith(".") for name in files):
        raise Failed(f"cannot write {folder}: it has a file with an invalid name")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = begin_folder(folder.parent)
        try:
            for name, text in files.items():
                write_new(unfinished / name, text)
            if keep_as:
                remove_folder(keep_as)
                folder.rename(keep_as)
            remove_folder(folder)
            finish_folder(unfinished, folder)
        finally:
            remove_folder(unfinished)
        sync_folder(folder.parent)
    except OSError as error:
        raise Failed(f"cannot write {folder}: {error.strerror}") from error


def _is_kept(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")
