"""Programs that listen where they like, behind a site."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.instance import InstanceState, ListeningPort
from portico.core.planning.lifecycle import moves
from portico.core.planning.own_port import SETTLE_TIME, OwnPortSearch, holds_own_port, own_port
from tests.documents import problems_of
from tests.unit.worlds import app, one, planned

S = InstanceState


def at(*ports: int, address: str = "*") -> set[ListeningPort]:
    return {ListeningPort(port, address) for port in ports}


@pytest.mark.parametrize(
    ("listening", "expected"),
    [
        (set(), 0),
        (at(3000), 3000),
        (at(41003), 0),
        (at(3000, 41003), 0),
        (at(3000, 9229), 3000),
        (at(9229), 9229),
        (at(24678, 5173, 36001), 5173),
        (at(50051), 50051),
        (at(3000, address="127.0.0.1"), 3000),
        (at(3000, address="10.0.0.7"), 0),
        (at(3000, address="[::1]"), 0),
    ],
)
def test_the_port_of_a_program_is_the_lowest_that_nginx_reaches_unless_it_is_the_offered(
    listening, expected
):
    assert own_port(listening, 41003) == expected


def test_a_port_counts_when_it_has_been_the_same_for_a_second():
    search = OwnPortSearch()
    assert search.settled_port(at(9100), 41003, 10.0) == 0
    assert search.settled_port(at(9100), 41003, 10.9) == 0
    assert search.settled_port(at(3000, 9100), 41003, 11.0) == 0
    assert search.settled_port(at(3000, 9100), 41003, 11.0 + SETTLE_TIME) == 3000
    assert search.settled_port(at(3000, 9100, 41003), 41003, 20.0) == 0


@pytest.mark.parametrize("own", [{"own_port": True, "port": 3000}, {"port": 0}])
def test_no_second_one_starts_beside_one_that_has_a_port_of_its_own(own):
    its = app(version="v2", find_port=True)
    assert planned(its, one(**own)) == ["drain web.1.1"]
    assert planned(its, one(S.STOPPING, **own)) == []
    assert planned(its) == ["start web.1 on a free port"]
    falls_back = app(version="v2", find_port=True, port_fallback=True)
    assert planned(falls_back, one(**own)) == ["start web.1 on a free port"]
    beside = planned(its, one())
    assert beside == ["start web.1 on a free port"], "it listens on $PORT"


def test_without_find_port_nothing_holds_a_port_of_its_own():
    assert not holds_own_port(one(port=0), app().app)


def test_a_port_of_its_own_is_not_exchanged_for_another():
    its, i = app(find_port=True).app, one(taken=True)
    assert moves(i, its)
    assert not moves(replace(i, own_port=True), its)


def test_a_stand_in_serves_only_where_a_site_sends_requests():
    its = app(version="v2", port=3000)
    assert planned(its, one(port=3000)) == ["start web.1 on a free port"]
    assert planned(replace(its, reached=False), one(port=3000)) == ["drain web.1.1"]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("port = 3000", ["cannot be combined with port, which sets the port"]),
        ("instances = 2", ["is for one instance; several cannot listen on the same port"]),
        ("instances = 2\nport_fallback = true", []),
    ],
)
def test_find_port_is_for_one_instance_that_is_told_no_port(key, says):
    text = f"[apps.web]\ncommand = 'x'\nfind_port = true\n{key}\n"
    found = [problem.partition(" (or set port_fallback")[0] for problem in problems_of(text)]
    assert found == [f"apps.web.find_port: {each}" for each in says]
