"""Public reports about certificates: when they are ordered, and what is left of a failure."""

from __future__ import annotations

import asyncio

import pytest

from portico.importers.certbot import read_folder
from portico.ports.certificates import AuthorityError
from tests.certbot_folder import write_lineage
from tests.fakes.certificates_kept import Keeping, desired_of
from tests.signing import Signed
from tests.unit.certificates import DAY, HOUR, MINUTE

NAMES = ["a.example.com", "b.example.com", "c.example.com"]


@pytest.fixture
def keeping(tmp_path):
    return Keeping(tmp_path, NAMES[:1])


def look_for(keeping, seconds, *, every):
    for _ in range(int(seconds / every)):
        asyncio.run(keeping.clock.advance(every))
        keeping.look()


def restarted(keeping, folder):
    """Another daemon: what is on disk is left."""
    again = Keeping(folder, keeping.names, start=keeping.clock.now())
    again.lineages.newest, again.lineages.given = keeping.lineages.newest, keeping.lineages.given
    again.authority, again.desired = keeping.authority, keeping.desired
    again.authority.clock = again.lineages.clock = again.clock
    return again


def test_an_authority_that_limits_orders_is_not_asked_every_minute(keeping):
    """https://github.com/traefik/traefik/issues/6818 and
    https://github.com/traefik/traefik/issues/5413: while an account is limited (429), each name is
    ordered again every minute or sooner, so that the limit is never over.
    """
    keeping.authority.error = AuthorityError("rateLimited", limited=True)
    look_for(keeping, 3 * HOUR, every=MINUTE)
    assert len(keeping.authority.orders) <= 5
    keeping.authority.error = None
    look_for(keeping, DAY, every=HOUR)
    assert keeping.lineages.given.keys() == {"a.example.com"}


def test_a_restart_orders_nothing_that_there_is(keeping, tmp_path):
    """https://github.com/traefik/traefik/issues/7952 and
    https://github.com/traefik/traefik/issues/4131: valid certificates are ordered again
    at each start.
    """
    keeping.look()
    for _ in range(20):
        keeping = restarted(keeping, tmp_path)
        keeping.look()
    assert len(keeping.authority.orders) == 1


def test_a_program_that_is_started_again_and_again_does_not_order_again_and_again(
    keeping, tmp_path
):
    """https://github.com/NixOS/nixpkgs/issues/174172: while nginx cannot start, its unit is tried
    again, and each time a certificate is ordered, until the authority refuses for a week.
    """
    keeping.authority.refused = {"a.example.com"}
    for _ in range(30):
        keeping.look()
        keeping = restarted(keeping, tmp_path)
        asyncio.run(keeping.clock.advance(1))
    assert len(keeping.authority.orders) == 1


@pytest.mark.parametrize("refused", NAMES)
def test_one_name_that_fails_stops_no_other(tmp_path, refused):
    """https://github.com/dehydrated-io/dehydrated/issues/747 and
    https://github.com/dehydrated-io/dehydrated/issues/828: the first certificate that fails ends
    the run, and those after it in the list expire.
    """
    keeping = Keeping(tmp_path, NAMES)
    keeping.authority.refused = {refused}
    keeping.look()
    assert keeping.lineages.given.keys() == set(NAMES) - {refused}


@pytest.mark.parametrize(
    ("days", "before", "after"),
    [(1, 0.45, 0.55), (160 / 24, 3, 3.6), (30, 19, 20.5), (45, 29, 30.5), (90, 59, 61)],
)
def test_a_certificate_of_any_lifetime_is_renewed_in_time_and_not_long_before(
    keeping, days, before, after
):
    """https://github.com/traefik/traefik/issues/11843 and
    https://github.com/traefik/traefik/issues/12461: 90 days are assumed, so that one of 24 or 160
    hours expires first; https://github.com/hlandau/acmetool/issues/354: with 30 days before the
    end one of 45 days lives for 15.
    """
    keeping.hold_all(age_days=before, days=days)
    keeping.look()
    assert keeping.authority.orders == []
    asyncio.run(keeping.clock.advance((after - before) * DAY))
    keeping.look()
    assert len(keeping.authority.orders) == 1


def test_an_expired_certificate_is_ordered_whatever_was_decided_earlier(keeping):
    """https://github.com/acmesh-official/acme.sh/issues/2217 and
    https://github.com/acmesh-official/acme.sh/issues/3492: a stored time of the next renewal keeps
    an expired certificate from being renewed.
    """
    keeping.hold_all(age_days=70)
    keeping.authority.refused = {"a.example.com"}
    look_for(keeping, 21 * DAY, every=DAY)
    keeping.authority.refused = set()
    look_for(keeping, 2 * HOUR, every=10 * MINUTE)
    assert keeping.lineages.given["a.example.com"].generation == 2


def test_a_deploy_hook_that_fails_is_said_and_run_again_without_an_order(keeping):
    """https://github.com/certbot/certbot/issues/8528, and
    https://github.com/acmesh-official/acme.sh/pull/3388: a hook that fails is not repeated,
    because nothing is due, and the exit code is 0.
    """
    keeping.desired = desired_of(NAMES[:1], deploy_hook=["reload-mail"])
    keeping.hooks.failing = {"reload-mail"}
    keeping.look()
    [said] = keeping.troubles.sentences()
    assert "reload-mail exited with code 1" in said
    keeping.hooks.failing = set()
    look_for(keeping, DAY, every=HOUR)
    assert keeping.hooks.ran.count("reload-mail") == 2
    assert len(keeping.authority.orders) == 1
    assert keeping.troubles.sentences() == []


def test_a_configuration_of_certbot_that_cannot_be_read_hides_no_other(tmp_path):
    """https://github.com/bunkerity/bunkerweb/issues/3635: with one of them `certbot certificates`
    fails, so that all are taken for missing, and ordered.
    """
    signed = Signed("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "a key")
    for name in ("a.test", "b.test"):
        write_lineage(tmp_path, name, signed)
    (tmp_path / "renewal/a.test.conf").write_text("[renewalparams\nno = sense\n")
    found = read_folder(tmp_path)
    assert [each.name for each in found.lineages] == ["b.test"]
    assert len(found.troubles) == 1
