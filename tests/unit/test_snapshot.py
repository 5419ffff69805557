from __future__ import annotations

import pytest

from portico.core.model.snapshot import Changes, Snapshot, StoredItem, endpoint
from portico.errors import Refused

A, B = StoredItem(b"a", 3, 3), StoredItem(b"b", 4, 4)


def test_a_snapshot_is_followed_by_changes():
    before = Snapshot(3, {"a": A, "c": A})
    after = before.with_changes(Changes(4, {"a": None, "b": B, "absent": None}))
    assert after == Snapshot(4, {"b": B, "c": A})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://10.0.0.1:2379", "https://10.0.0.1:2379"),
        ("https://etcd.example/", "https://etcd.example:2379"),
        ("https://[fd00::1]:1", "https://[fd00::1]:1"),
        ("http://127.0.0.1", "http://127.0.0.1:2379"),
        ("http://[::1]:2379", "http://[::1]:2379"),
    ],
)
def test_the_address_of_a_member_is_a_url_without_a_path(text: str, url: str):
    assert endpoint(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1:2379",
        "https://",
        "https://a:port",
        "https://u:p@a",
        "https://a/v3",
        "unix:/a",
        "",
    ],
)
def test_what_is_no_such_url_is_refused(text: str):
    with pytest.raises(Refused, match="cannot be used as the address of etcd"):
        endpoint(text)


def test_etcd_without_encryption_on_another_machine_is_refused_unless_said_to_be_wanted():
    with pytest.raises(Refused, match="is not encrypted and not on"):
        endpoint("http://10.0.0.1:2379")
    with pytest.raises(Refused, match="not encrypted"):
        endpoint("http://127.example:2379")
    assert endpoint("http://10.0.0.1:2379", plain=True) == "http://10.0.0.1:2379"
