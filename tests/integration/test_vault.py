"""What machines of a cluster hide from their store: by the real child."""

from __future__ import annotations

import asyncio
import base64
import os
import sys

import pytest

from portico.adapters.vault import child
from portico.adapters.vault.children import ChildVault
from portico.errors import Failed

NAME = "/portico/c/lineages/a.test/1"
PLAIN = b"a key \x00\xff"


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "cluster.key"
    path.write_bytes(os.urandom(32))
    return path


def act(verb, key, value, name=NAME):
    """In this process: a child takes a third of a second."""
    values = {name: base64.b64encode(value).decode()}
    return base64.b64decode(child.answer({"act": verb, "key": str(key), "values": values})[name])


def test_a_child_seals_and_opens_and_says_why_it_cannot(key):
    vault = ChildVault(sys.executable, str(key))

    async def run():
        sealed = await vault.seal(NAME, PLAIN)
        assert PLAIN not in sealed
        assert await vault.open(NAME, sealed) == PLAIN
        key.unlink()
        with pytest.raises(Failed, match=r"^cannot decrypt data of the cluster: cannot read /.*"):
            await vault.open(NAME, sealed)

    asyncio.run(run())


def test_what_another_key_has_sealed_or_was_changed_or_renamed_is_not_opened(key, tmp_path):
    other = tmp_path / "other.key"
    other.write_bytes(os.urandom(32))
    sealed = act("seal", key, PLAIN)
    assert sealed != act("seal", key, PLAIN), "each has a nonce of its own"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    strange = [(other, NAME, sealed), (key, "/portico/c/account", sealed)]
    strange += [(key, NAME, each) for each in (changed, b"", b"\x02" + sealed[1:])]
    for opened_with, name, value in strange:
        with pytest.raises(Failed, match=f"{name} was encrypted with another key"):
            act("open", opened_with, value, name)


def test_a_damaged_key_is_not_used(key):
    key.write_bytes(b"short")
    with pytest.raises(Failed, match=r"cluster\.key is damaged: it must have 32 bytes"):
        act("seal", key, PLAIN)
