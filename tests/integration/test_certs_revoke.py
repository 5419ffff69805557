"""`portico certs revoke`: another is served first, and a revoked one never silently."""

from __future__ import annotations

import asyncio
import json
import os
from types import SimpleNamespace

import pytest

from portico.core.model.certificate import RenewalState
from portico.core.model.revocation import REASON_CODES
from portico.core.planning.expiry import warning
from portico.engine.certificates.revocation import Revocation
from portico.engine.changes import Change
from portico.errors import NotFound, Refused
from tests.fakes import pebble
from tests.fakes.certificates_kept import Keeping
from tests.fakes.state import events_of
from tests.tls import served_serial
from tests.unit.certificates import DAY
from tests.waiting import eventually

NAME = "shop.example.com"
FILE = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
preflight = false
limits = {{ same_names = "2/7d" }}

[sites."shop.example.com"]
folder = "."

[[sites."shop.example.com".tls.files]]
combined = "tls.pem"
mode = "0640"
group = "{group}"

[sites."nas.internal"]
folder = "."

[sites."app.localhost"]
folder = "."
"""


@pytest.fixture
def keeping(tmp_path):
    keeping = Keeping(tmp_path, [NAME])
    held = keeping.lineages.hold(NAME, at=keeping.clock.now() - DAY, serial="f00d")
    keeping.state.put_renewal_state(RenewalState(NAME, served=held.serial))
    return keeping


def revoke(keeping, name=NAME, reason="superseded", *, force=False):
    """What was said, and which serials were revoked for which reasons."""
    revoked = []

    async def ask(issuer, certificate, code):
        revoked.append((issuer.directory, certificate.serial, code))

    keeping.authority.revoke = ask
    change = Change("1", "revoke", name, frozenset(), 0.0)

    async def work(keeper):
        engine = SimpleNamespace(
            clock=keeping.clock,
            events=events_of(keeping.state, keeping.clock),
            state=keeping.state,
        )
        revocation = Revocation(
            engine, keeper, authorities=keeping.authority, lineages=keeping.lineages
        )
        under_way = asyncio.create_task(revocation.revoke(name, reason, change, force=force))
        while not under_way.done():
            await keeping.clock.advance(0.2)
        try:
            await under_way
        except (NotFound, Refused) as error:
            change.lines[:] = [str(error)]

    keeping.do(work)
    return change.lines, revoked


@pytest.mark.parametrize(("reason", "code"), REASON_CODES.items())
def test_the_reason_of_a_revocation_is_what_rfc_5280_calls_it(keeping, reason, code):
    before = keeping.lineages.current(NAME)
    _, revoked = revoke(keeping, reason=reason)
    assert revoked == [(before.issuer, before.serial, code)]


@pytest.mark.parametrize("force", [False, True])
def test_another_certificate_is_served_before_one_is_revoked(keeping, force):
    before = keeping.lineages.current(NAME)
    said, revoked = revoke(keeping, force=force)
    after = keeping.lineages.current(NAME)
    assert [serial for _, serial, _ in revoked] == [before.serial]
    assert after.serial == keeping.state.renewal_state(NAME).served != before.serial
    assert said[-1].endswith("is revoked, reason superseded")
    assert warning(after, keeping.state.renewal_state(NAME), keeping.clock.now()) == ""


def test_what_cannot_be_replaced_is_revoked_only_by_force_and_that_is_said(keeping):
    before, memory = keeping.lineages.current(NAME), keeping.state.renewal_state(NAME)
    keeping.authority.refused = {NAME}
    [said], revoked = revoke(keeping)
    assert revoked == []
    assert "it does not issue for this name" in said
    assert f"`portico certs revoke {NAME} --force`" in said
    assert keeping.state.renewal_state(NAME).forced == memory.forced, "nothing else is wanted"

    said, revoked = revoke(keeping, force=True)
    assert [serial for _, serial, _ in revoked] == [before.serial]
    assert "it is served until another one is obtained" in said[-1]
    keeping.look()
    assert any("is revoked" in sentence for sentence in keeping.troubles.sentences())

    keeping.authority.refused.clear()
    asyncio.run(keeping.clock.advance(2 * DAY))
    keeping.look()
    keeping.look()
    assert keeping.lineages.current(NAME).serial != before.serial, "it is due at once"
    assert keeping.troubles.sentences() == []


def test_one_that_no_site_uses_any_more_is_revoked_without_another(keeping):
    keeping.lineages.hold("old.example.com", at=keeping.clock.now(), serial="abc")
    _, revoked = revoke(keeping, "old.example.com")
    assert [serial for _, serial, _ in revoked] == ["abc"]
    assert keeping.authority.orders == []
    [none], revoked = revoke(keeping, "none.example.com")
    assert "there is no certificate" in none
    assert revoked == []


@pytest.mark.slow
@pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED)
def test_a_revocation_loses_no_request_and_the_next_certificate_has_another_key(stack, tmp_path):
    with pebble.running(tmp_path / "pebble") as authority:
        stack.http, stack.https = authority.http, authority.tls
        group = os.getgid()
        text = FILE.format(directory=authority.directory, root=authority.root, group=group)
        (stack.folder / "index.html").write_text("hello")
        stack.up(text, bind=["127.0.0.1"])
        first, private = eventually(lambda: all_served(stack), 60)
        assert private["issuer"] == authority.directory
        assert served_serial(stack.https, "nas.internal") == private["serial"]
        key = (stack.home / "certificates" / "live" / NAME / "privkey.pem").read_bytes()

        with stack.load("app.localhost", rate=40) as load:
            told = stack.done("certs", "revoke", NAME, "--reason", "keycompromise").stderr
        assert load.stop().failed == {}
        assert f"{NAME}: serial {first['serial']} is revoked, reason keycompromise" in told
        status = json.loads(authority.managed(f"/cert-status-by-serial/{first['serial']}"))
        assert (status["Status"], status["Reason"]) == ("Revoked", 1)
        second, _ = all_served(stack)
        assert served_serial(stack.https, NAME) == second["serial"] != first["serial"]
        assert (stack.home / "certificates/live" / NAME / "privkey.pem").read_bytes() != key

        live, copy = stack.home / "certificates" / "live" / NAME, stack.folder / "tls.pem"
        parts = [(live / f"{part}.pem").read_bytes() for part in ("privkey", "fullchain")]
        assert copy.read_bytes() == b"".join(parts)
        assert (copy.stat().st_mode & 0o777, copy.stat().st_gid) == (0o640, group)

        refused = stack.portico("certs", "revoke", NAME)
        assert refused.returncode == 2
        assert "is not revoked, because" in refused.stderr
        assert authority.status(second["serial"]) == "Valid"
        stack.done("certs", "revoke", NAME, "--force")
        assert authority.status(second["serial"]) == "Revoked"
        assert served_serial(stack.https, NAME) == second["serial"]
        assert "is revoked" in stack.done("certs").stdout
        assert "is revoked" in stack.done("certs", "show", NAME).stdout
        assert "is revoked" in stack.done("events").stdout
        eventually(lambda: "is revoked" in str(stack.status()))


def all_served(stack):
    """Both certificates of the authority, once nginx serves them."""
    views = stack.api("/v1/certificates")
    return views if [view["served"] for view in views] == [True, True] else []
