"""Encrypts or decrypts values and ends: `python -I -m <this module> < request`.

The daemon never imports `cryptography`. The request and the answer are one line of JSON each; what
was wrong is in words on standard error.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Final, Literal, TypedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portico.errors import Failed, PorticoError
from portico.system.cluster_store import KEY_SIZE

FORMAT: Final = b"\x01"
"""The first byte of what is sealed: AES-256-GCM, then the nonce, the text and its tag."""
NONCE_SIZE: Final = 12
"""Bytes, drawn by chance for each value (NIST SP 800-38D 8.2.2)."""


class Request(TypedDict):
    act: Literal["seal", "open"]
    key: str
    """Path of the file with the key of the cluster."""
    values: dict[str, str]
    """By name, in base64; the answer is the same."""


def main() -> None:
    try:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    except PorticoError as error:
        sys.exit(str(error))


def answer(request: Request) -> dict[str, str]:
    cipher = AESGCM(_key(Path(request["key"])))
    act = _seal if request["act"] == "seal" else _decrypt
    return {
        name: base64.b64encode(act(cipher, name, base64.b64decode(value))).decode()
        for name, value in request["values"].items()
    }


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error
    if len(key) != KEY_SIZE:
        raise Failed(f"{path} is damaged: it must have {KEY_SIZE} bytes, and has {len(key)}")
    return key


def _seal(cipher: AESGCM, name: str, plain: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return FORMAT + nonce + cipher.encrypt(nonce, plain, name.encode())


def _decrypt(cipher: AESGCM, name: str, sealed: bytes) -> bytes:
    nonce, text = sealed[1 : NONCE_SIZE + 1], sealed[NONCE_SIZE + 1 :]
    try:
        if sealed[:1] == FORMAT:
            return cipher.decrypt(nonce, text, name.encode())
    except (InvalidTag, ValueError):
        pass
    raise Failed(f"{name} was encrypted with another key, or is damaged")


if __name__ == "__main__":
    main()
