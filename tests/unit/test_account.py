"""When the key of our accounts may change, and what holds until nginx knows the new one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from portico.core.model.order import Accounts
from portico.engine.certificates.account import THUMBPRINT, AccountKeeper
from portico.errors import NotFound, Refused
from portico.ports.certificates import AuthorityError
from tests.fakes.state import MemoryState
from tests.unit.certificates import FIRST, SECOND, lineage

URL = "https://first.test/acct/1"


class Authorities:
    """The thumbprint counts the replacements of the key."""

    def __init__(self):
        self.known = Accounts("0", {FIRST.directory: URL})
        self.asked, self.error, self.halfway = [], None, False
        self.begun, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def accounts(self):
        return self.known

    async def key_digest(self):
        return f"of {self.known.thumbprint}"

    async def roll_over(self, issuers):
        self.asked.append([each.directory for each in issuers])
        self.begun.set()
        await self.answers.wait()
        if self.error:
            self.known = replace(self.known, halfway=self.halfway)
            raise self.error
        self.known = Accounts(str(int(self.known.thumbprint) + 1), self.known.urls)
        return self.known

    async def deactivate(self, issuer):
        self.known = Accounts("0", {}, self.known.urls)
        return self.known


class Rendering:
    def __init__(self, state):
        self.state, self.rendered, self.error = state, [], None

    async def render_again(self):
        if self.error:
            raise self.error
        self.rendered.append(self.state.setting(THUMBPRINT))


class Here:
    def __init__(self):
        self.state, self.authorities = MemoryState(), Authorities()
        self.rendering = Rendering(self.state)
        self.wanted = {"a.test": lineage("a.test", issuers=(FIRST, SECOND))}
        self.start()

    def start(self):
        """As a daemon does that comes after another one."""
        self.account = AccountKeeper(
            self.rendering, authorities=self.authorities, state=self.state
        )

    async def used(self):
        async with self.account.in_use_by("a.test"):
            return self.state.setting(THUMBPRINT)


@pytest.fixture
def here():
    return Here()


def test_nginx_is_told_the_thumbprint_once_before_the_first_order(here):
    async def twice():
        await here.account.publish_thumbprint(here.wanted)
        await here.account.publish_thumbprint(here.wanted)

    asyncio.run(twice())
    assert here.rendering.rendered == ["0"]


def test_a_key_that_was_lost_or_replaced_by_hand_is_answered_for_before_the_next_order(here):
    asyncio.run(here.account.publish_thumbprint(here.wanted))
    here.authorities.known = Accounts("another")
    here.rendering.error = AuthorityError("nginx did not load the new configuration")
    with pytest.raises(AuthorityError):
        asyncio.run(here.account.publish_thumbprint(here.wanted))
    here.rendering.error = None
    for _ in range(2):
        asyncio.run(here.account.publish_thumbprint(here.wanted))
    assert here.rendering.rendered == ["0", "another"]
    here.start()
    asyncio.run(here.account.publish_thumbprint(here.wanted))
    assert here.rendering.rendered == ["0", "another"], "it is known over restarts"


def test_without_nginx_there_is_nobody_to_tell(here):
    other = {"a.test": replace(here.wanted["a.test"], behind_nginx=False)}
    asyncio.run(here.account.publish_thumbprint(other))
    assert here.rendering.rendered == []
    assert asyncio.run(here.account.roll_over(other)) == "1"
    assert (here.rendering.rendered, here.state.setting(THUMBPRINT)) == ([], "1")


def test_the_key_stays_while_a_certificate_is_obtained_with_it(here):
    async def both():
        async with here.account.in_use_by("a.test"):
            with pytest.raises(Refused, match=r"obtain a certificate for a\.test; nothing was"):
                await here.account.roll_over(here.wanted)
            with pytest.raises(Refused, match="cannot deactivate the account while"):
                await here.account.deactivate(FIRST.directory, here.wanted)
        return await here.account.roll_over(here.wanted)

    assert asyncio.run(both()) == "1"
    assert here.authorities.asked == [[FIRST.directory]], "only who has an account of ours"


def test_no_order_is_begun_before_nginx_answers_for_the_new_key(here):
    async def both():
        here.authorities.answers.clear()
        async with asyncio.TaskGroup() as tasks:
            rolling = tasks.create_task(here.account.roll_over(here.wanted))
            await here.authorities.begun.wait()
            order = tasks.create_task(here.used())
            with pytest.raises(Refused, match="it is already being changed"):
                await here.account.roll_over(here.wanted)
            assert not order.done()
            here.authorities.answers.set()
        return rolling.result(), order.result()

    assert asyncio.run(both()) == ("1", "1")


def test_a_replacement_that_was_not_begun_leaves_everything_as_it_was(here):
    here.authorities.error = AuthorityError("no answer")
    with pytest.raises(AuthorityError):
        asyncio.run(here.account.roll_over(here.wanted))
    asyncio.run(here.account.publish_thumbprint(here.wanted))
    assert asyncio.run(here.used()) == "0"
    assert len(here.authorities.asked) == 1
    assert not asyncio.run(here.account.view(here.wanted)).halfway


def test_a_replacement_that_was_interrupted_is_ended_before_anything_is_ordered(here):
    here.authorities.error, here.authorities.halfway = (
        AuthorityError("no answer"),
        True,
    )
    with pytest.raises(AuthorityError):
        asyncio.run(here.account.roll_over(here.wanted))
    here.start()
    with pytest.raises(Refused, match="still being replaced"):
        asyncio.run(here.used())
    assert asyncio.run(here.account.view(here.wanted)).halfway
    here.authorities.error = None
    asyncio.run(here.account.publish_thumbprint(here.wanted))
    assert asyncio.run(here.used()) == "1"
    assert here.rendering.rendered == ["1"]


def test_a_new_key_that_nginx_was_not_told_of_is_told_and_not_replaced_again(here):
    here.rendering.error = AuthorityError("nginx did not load the new configuration")
    with pytest.raises(AuthorityError):
        asyncio.run(here.account.roll_over(here.wanted))
    here.rendering.error = None
    asyncio.run(here.account.publish_thumbprint(here.wanted))
    assert here.rendering.rendered == ["1"]
    assert len(here.authorities.asked) == 1


def test_only_an_account_that_there_is_is_given_up_and_only_once(here):
    with pytest.raises(NotFound, match=f"accounts: {FIRST.directory}"):
        asyncio.run(here.account.deactivate(SECOND.directory, here.wanted))
    assert asyncio.run(here.account.deactivate(FIRST.directory, here.wanted)) == URL
    with pytest.raises(Refused, match="is already deactivated"):
        asyncio.run(here.account.deactivate(FIRST.directory, here.wanted))
    first, second = asyncio.run(here.account.view(here.wanted)).accounts
    assert (first.url, first.deactivated) == (URL, True)
    assert (second.directory, second.url, second.deactivated) == (SECOND.directory, "", False)
