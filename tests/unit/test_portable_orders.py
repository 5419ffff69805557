"""Files of orders and of the account, taken from another machine of the cluster."""

from __future__ import annotations

import json

import pytest

from portico.adapters.acme.portable import files_of, take_account, take_order
from portico.errors import Failed

KEY = "/here/account/key.pem"


def order(key="theirs", url="", account="/there/key.pem"):
    record = {"asked": {"account_key": account, "names": ["a.test"]}, "order": url}
    return {"privkey.pem": key, "order.json": json.dumps(record)}


def test_an_order_of_another_machine_is_taken_with_our_place_of_the_accounts_key(tmp_path):
    folder = tmp_path / "orders" / "a.test.c1"
    take_order(folder, order(), KEY)
    assert files_of(folder) == order(account=KEY)
    assert (folder / "privkey.pem").stat().st_mode & 0o777 == 0o600
    take_order(folder, order("newer", "url"), KEY)
    assert files_of(folder) == order("newer", "url", KEY)
    take_order(folder, order("newer"), KEY)
    assert files_of(folder) == order("newer", "url", KEY), "what was sent from here is known best"


@pytest.mark.parametrize("more", [{"order.json": "{"}, {"order.json": "[]"}, {"../x": "y"}])
def test_a_damaged_order_changes_nothing(tmp_path, more):
    folder = tmp_path / "orders" / "a.test.c1"
    take_order(folder, order(), KEY)
    with pytest.raises(Failed):
        take_order(folder, order("newer") | more, KEY)
    assert files_of(folder) == order(account=KEY)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]


def test_an_account_of_this_machine_is_kept_beside_that_of_the_cluster(tmp_path):
    folder = tmp_path / "account"
    take_account(folder, {"key.pem": "own", "key.json": "1"})
    take_account(folder, {"key.pem": "shared", "key.json": "1"})
    take_account(folder, {"key.pem": "shared", "key.json": "2"})
    assert files_of(folder) == {"key.pem": "shared", "key.json": "2"}
    assert files_of(tmp_path / "account.before") == {"key.pem": "own", "key.json": "1"}
