"""Others who renew certificates on this machine, as `status` names them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from portico.core.model.renewers import Renewer
from portico.engine.certificates.migration import Migration
from portico.engine.troubles import Troubles
from portico.errors import Failed

CRON = Renewer("/etc/crontab:7", "0 4 * * * root certbot renew", "comment out this line")


class CertificateLoop:
    """With so many certificates that the file wants."""

    def __init__(self, number):
        self.number = number

    async def wanted_lineages(self):
        if self.number is None:
            raise Failed("cannot read a secret")
        return {f"{each}.test": None for each in range(self.number)}


class Certbot:
    def __init__(self, *renewers):
        self.found = list(renewers)

    async def renewers(self):
        return self.found


def look(moving, troubles):
    asyncio.run(moving.look())
    return troubles.sentences()


def make(keeper, others):
    troubles = Troubles()
    engine = SimpleNamespace(clock=None, intent=None, state=None, troubles=troubles)
    return Migration(engine, keeper, lineages=None, certbot=others), troubles


def test_another_renewer_is_a_trouble_until_it_is_gone():
    others = Certbot(CRON)
    moving, troubles = make(CertificateLoop(1), others)
    [sentence] = look(moving, troubles)
    assert "'0 4 * * * root certbot renew' in /etc/crontab:7" in sentence
    assert sentence.endswith("comment out this line")
    others.found.clear()
    assert look(moving, troubles) == []


@pytest.mark.parametrize("wanted", [0, None], ids=["no certificate", "not known"])
def test_who_has_no_certificate_here_is_not_troubled_with_others(wanted):
    assert look(*make(CertificateLoop(wanted), Certbot(CRON))) == []
