"""Who may join by a token, and what is refused."""

from __future__ import annotations

import pytest

from portico.core.model.joining import JoinOffer, JoinRequest, Token, offer_problem
from portico.core.model.shared import JoinToken, SharedMachine
from portico.core.planning.joining import digest_of, reason_not_to_join
from portico.errors import Refused

NOW = 1_800_000_000.0
SECRET = "5" * 32
TOKEN = Token("0a1b2c3d", SECRET, "e" * 64)
RECORD = JoinToken(digest=digest_of(SECRET), until=NOW + 60)
MACHINES = {
    "m1": SharedMachine(address="10.0.0.1", serial="1", labels=("large",)),
    "m2": SharedMachine(address="10.0.0.2", serial="2"),
}


def request(**fields: object) -> JoinRequest:
    usual = {
        "id": TOKEN.id,
        "secret": SECRET,
        "name": "m3",
        "address": "10.0.0.3",
        "port": 8445,
        "request": "PEM",
    }
    return JoinRequest(**{**usual, **fields})


def reason(token: JoinToken | None = RECORD, now: float = NOW, **fields: object) -> str:
    return reason_not_to_join(request(**fields), token, MACHINES, now)


def test_a_token_is_read_as_it_was_written() -> None:
    assert Token.parse(f" {TOKEN}\n") == TOKEN
    for text in ("", "x", str(TOKEN)[:-1], f"{TOKEN}0", str(TOKEN).upper(), f"{TOKEN} {TOKEN}"):
        with pytest.raises(Refused, match="not a whole token"):
            Token.parse(text)


def test_a_machine_with_a_new_name_and_address_may_join() -> None:
    assert reason() == ""
    assert reason(labels=("small",), address="fd00::3") == ""
    assert reason(address="10.0.0.1", port=9000) == ""


@pytest.mark.parametrize(
    ("token", "fields", "why"),
    [
        (None, {}, "the token is not valid here"),
        (RECORD, {"secret": "6" * 32}, "the token is not valid here"),
        (JoinToken(digest="ü", until=NOW + 1), {}, "the token is not valid here"),
        (RECORD, {"v": 2}, "different versions of Portico"),
        (RECORD, {"store_schema": 0}, "has schema 1, and Portico of this machine knows 0"),
        (
            JoinToken(digest=RECORD.digest, until=NOW - 1),
            {},
            "until 2027-01-15 07:59:59 UTC, and the clock there says 2027-01-15 08:00:00 UTC",
        ),
        (JoinToken(digest=RECORD.digest, until=-1e300), {}, "was valid until unknown"),
        (JoinToken(digest=RECORD.digest, until=NOW + 1, used="m2"), {}, "was used by m2"),
        (JoinToken(digest=RECORD.digest, until=NOW + 1, replaces="m2"), {}, "is for machine m2"),
        (RECORD, {"name": "m2"}, "token --replace m2"),
        (RECORD, {"name": "large"}, "is a label of another machine"),
        (RECORD, {"labels": ("m1",)}, "the label m1 is the name of a machine"),
        (RECORD, {"labels": ("m3",)}, "the label m3 is the name of a machine"),
        (RECORD, {"address": "10.0.0.2"}, "machine m2 has the address 10.0.0.2 with port 8445"),
        (RECORD, {"name": "m3; }"}, "cannot be those of a machine"),
        (RECORD, {"name": "M3"}, "cannot be those of a machine"),
        (RECORD, {"labels": ("a b",)}, "cannot be those of a machine"),
        (RECORD, {"address": "10.0.0.3; }"}, "cannot be those of a machine"),
        (RECORD, {"address": "0.0.0.0"}, "cannot be those of a machine"),
        (RECORD, {"address": "fe80::3"}, "cannot be those of a machine"),
        (RECORD, {"address": "fe80::3%eth0"}, "cannot be those of a machine"),
        (RECORD, {"address": "fd00::3%; x"}, "cannot be those of a machine"),
        (RECORD, {"port": 0}, "cannot be those of a machine"),
        (RECORD, {"port": 65536}, "cannot be those of a machine"),
    ],
)
def test_what_may_not_join_is_told_why(
    token: JoinToken | None, fields: dict[str, object], why: str
) -> None:
    assert why in reason(token, **fields)


def test_a_token_made_for_a_machine_replaces_it() -> None:
    token = JoinToken(digest=RECORD.digest, until=NOW + 1, replaces="m2")
    assert reason(token, name="m2", address="10.0.0.2") == ""
    assert reason(token, name="m2", address="10.0.0.7") == ""
    assert "machine m1 has the address" in reason(token, name="m2", address="10.0.0.1")


def test_another_version_and_a_clock_that_is_hours_off_are_named() -> None:
    offer = JoinOffer(cluster="c", authority=b"", version="1.2.0", now=NOW)
    assert offer_problem(offer, "1.3.0", NOW + 500) == ""
    assert "set the one that is wrong" in offer_problem(offer, "1.3.0", NOW + 3 * 3600)
    assert "set the one that is wrong" in offer_problem(offer, "1.3.0", NOW - 3 * 3600)
    absurd = JoinOffer(cluster="c", authority=b"", version="1.2.0", now=1e300)
    assert "the clock there says never" in offer_problem(absurd, "1.3.0", NOW)
    newer = JoinOffer(v=2, cluster="c", authority=b"", version="2.0.0", now=NOW)
    assert "version 2.0.0, and here 1.3.0" in offer_problem(newer, "1.3.0", NOW)
