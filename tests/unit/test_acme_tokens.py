"""What nginx is shown of the tokens that an order waits for."""

from __future__ import annotations

import os
import time

import pytest

from portico.adapters.acme.child.challenges.tokens import waited_for
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.methods import Http
from portico.system.clock import SystemClock

CONTEXT = RunContext(SystemClock(), time.sleep, float("inf"), lambda *_: None)


def test_a_token_is_there_while_it_is_waited_for_and_open_to_another_user(tmp_path):
    folder = tmp_path / "nginx/tokens"
    before = os.umask(0o077)
    try:
        with waited_for(Http(str(folder)), "one", "-_2", context=CONTEXT):
            assert {each.name for each in folder.iterdir()} == {"one", "-_2"}
            assert folder.stat().st_mode & 0o777 == 0o711
    finally:
        os.umask(before)
    assert list(folder.iterdir()) == []


def test_what_a_killed_run_has_left_is_removed_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("new", 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with waited_for(Http(str(tmp_path)), "one", context=CONTEXT):
        assert {each.name for each in tmp_path.iterdir()} == {"new", "one"}


@pytest.mark.parametrize("token", ["../key.pem", "/etc/x", "", "a/b", ".", "a\0b", "x" * 256])
def test_an_authority_cannot_name_a_path(tmp_path, token):
    folder = tmp_path / "tokens"
    with (
        pytest.raises(AcmeFailure, match="is not base64url"),
        waited_for(Http(str(folder)), "fine", token, context=CONTEXT),
    ):
        pass
    assert list(tmp_path.rglob("*")) == []
