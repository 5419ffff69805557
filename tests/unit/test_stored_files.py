from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from portico.engine.certificates.stored_files import CHECK_INTERVAL, StoredFiles
from portico.engine.troubles import Troubles
from tests.fakes.clock import FakeClock


class Here:
    """Lineages, and what is in force."""

    def __init__(self):
        self.clock, self.troubles = FakeClock(1_800_000_000.0), Troubles()
        self.revisions, self.wrong, self.rendered = {"p": 1}, {}, 0
        engine = SimpleNamespace(clock=self.clock, intent=self, troubles=self.troubles)
        self.stored = StoredFiles(engine, self, self)

    async def load(self):
        return self.wrong

    def names(self):
        return ["a.test"]

    async def render_without_waiting(self):
        self.rendered += 1

    def look(self, seconds=CHECK_INTERVAL + 1):
        async def later():
            await self.clock.advance(seconds)
            await self.stored.look()

        asyncio.run(later())


@pytest.fixture
def here():
    return Here()


def test_files_are_compared_and_rendered_again_once_an_hour(here):
    here.look(60)
    assert here.rendered == 0, "a daemon that starts has done it"
    here.look()
    assert here.rendered == 1


def test_what_was_lost_is_said_until_it_is_there_again(here):
    here.wrong = {"a.test": "cannot read privkey.pem"}
    here.look()
    assert here.troubles.sentences() == ["certificate a.test: cannot read privkey.pem"]
    here.wrong = {}
    here.look()
    assert here.troubles.sentences() == []


def test_nothing_is_rendered_where_no_file_is_in_force(here):
    here.revisions = {}
    here.look()
    assert here.rendered == 0
