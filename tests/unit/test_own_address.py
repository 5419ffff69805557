"""At which address the other machines of a cluster reach this one."""

from __future__ import annotations

import pytest

from portico.cli.cluster import own_address
from portico.cli.cluster.own_address import address_towards, assert_own, assert_reachable
from portico.errors import Refused


def test_an_address_of_another_machine_is_refused() -> None:
    assert_own("127.0.0.1")
    for address in ("192.0.2.1", "2001:db8::1"):  # RFC 5737 and RFC 3849: of no machine
        with pytest.raises(
            Refused, match=f"cannot use --address {address}: .*nothing was changed"
        ):
            assert_own(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_loopback_address_is_for_a_cluster_at_one(address: str) -> None:
    assert_reachable(address, ["127.0.0.2", "::1", "localhost"])
    assert_reachable("10.0.0.7", ["m1.example"])
    with pytest.raises(Refused, match=r"m1\.example cannot reach a loopback address"):
        assert_reachable(address, ["127.0.0.1", "m1.example"])


def test_what_is_reached_by_loopback_says_nothing_of_this_machine() -> None:
    with pytest.raises(
        Refused, match=r"it reaches 127\.0\.0\.1 by 127\.0\.0\.1; .* Set it by --a"
    ):
        address_towards("127.0.0.1", 8445)


@pytest.mark.parametrize("source", ["127.0.0.2", "::1", "fe80::1%eth0", "0.0.0.0"])
def test_an_address_that_others_cannot_reach_is_not_used(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(own_address, "_source_address", lambda *_: source)
    with pytest.raises(Refused, match=f"by {source}; nothing was changed"):
        address_towards("m1.example", 8445)


def test_the_address_by_which_a_machine_is_reached_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_address, "_source_address", lambda *_: "10.0.0.7")
    assert address_towards("m1.example", 8445) == "10.0.0.7"


def test_a_machine_that_has_no_way_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> str:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(own_address, "_source_address", unreachable)
    with pytest.raises(Refused, match=r"m1\.example cannot be reached: Network is unreachable"):
        address_towards("m1.example", 8445)
