"""Which other machines are sent requests, by whether they answer.

Each machine asks every other one for its list of what is ready there, all at once, every
`interval`. One that does not answer twice in a row is out, one that answers is in. Where none
answers, nothing changes: it is this machine that is cut off, and what it sends to them is lost
either way. With a store that is another matter: one that is not in the store, while this machine
is, is dead or cut off itself. One that answers that it does not take this machine is reached, and
gets nothing.

So within three intervals of a change every machine that reaches us has our newest list, or sends
us nothing any more: a list that was read just before the change, two questions that fail, each
within an interval. What leaves the list on purpose waits for that, and for nginx
(`departure_wait`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from portico.core.model.cluster import Machine
from portico.core.model.neighbour import NearList, Neighbour
from portico.core.model.world import FarEndpoint

SCHEMA: Final = 1
FAILURES_TO_LEAVE: Final = 2
SHORT_INTERVAL: Final = 0.5
LONG_INTERVAL: Final = 1.0
MAX_NEIGHBOURS_ASKED_OFTEN: Final = 10
INTERVALS_UNTIL_KNOWN: Final = 3
NGINX_WAIT: Final = 2.0
"""Seconds until the nginx of another machine has asked its discovery, and what it passed on just
before has arrived."""
MAX_APPS: Final = 10_000
MAX_WEIGHT: Final = 65_535  # RFC 2782


class Refusal(str):
    """Why there is no list of a machine that has answered."""

    __slots__ = ()


def interval(neighbours: int) -> float:
    """Seconds between two questions to each; also the deadline of one."""
    return SHORT_INTERVAL if neighbours <= MAX_NEIGHBOURS_ASKED_OFTEN else LONG_INTERVAL


def departure_wait(neighbours: int) -> float:
    """Seconds for which an app that has left the list still has to take requests."""
    return INTERVALS_UNTIL_KNOWN * interval(neighbours) + NGINX_WAIT if neighbours else 0.0


def near_text(near: NearList) -> str:
    shown = {
        "v": SCHEMA,
        "machine": near.machine,
        "leaving": near.leaving,
        "down": near.down,
        "apps": near.apps,
    }
    return json.dumps(shown, separators=(",", ":"), sort_keys=True) + "\n"


def read_near(text: bytes, name: str) -> NearList:
    """The list of the machine of this name. Raises ValueError with what is wrong with it."""
    try:
        found = json.loads(text)
        apps = {_name(app): _count(count) for app, count in found["apps"].items()}
        is_down = found.get("down") is True
        near = NearList(found["machine"], apps, found["leaving"] is True, is_down)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("its answer is not a list of apps") from None
    if near.machine != name:
        raise ValueError(f"machine {near.machine!r:.60} answers at its address")
    if len(apps) > MAX_APPS:
        raise ValueError(f"it has more than {MAX_APPS} apps")
    return near


def _name(app: str) -> str:
    if not app.isprintable():
        raise ValueError
    return app


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_WEIGHT:
        raise ValueError
    return value


def neighbours_of(
    machines: Mapping[str, Machine], before: Mapping[str, Neighbour]
) -> dict[str, Neighbour]:
    """These machines, each with what is known of it. One at another address is another one."""
    new = {name: Neighbour(name, each.address, each.port) for name, each in machines.items()}
    return {
        name: before[name] if _is_same(before.get(name), each) else each
        for name, each in new.items()
    }


def _is_same(known: Neighbour | None, now: Neighbour) -> bool:
    return known is not None and (known.address, known.port) == (now.address, now.port)


def with_answers(
    before: Mapping[str, Neighbour],
    answers: Mapping[str, NearList | str],
    absent: Collection[str] = (),
) -> dict[str, Neighbour]:
    """The machines after all of them were asked once; an answer, or why there is none. `absent`
    are those that the store, which this machine reaches, does not hear of either.
    """
    is_cut_off = not any(isinstance(each, NearList | Refusal) for each in answers.values())
    return {
        name: _with_answer(each, answers[name], is_cut_off=is_cut_off and name not in absent)
        for name, each in before.items()
    }


def _with_answer(before: Neighbour, answer: NearList | str, *, is_cut_off: bool) -> Neighbour:
    if isinstance(answer, NearList):
        return replace(
            before,
            apps=answer.apps,
            leaving=answer.leaving,
            down=answer.down,
            is_out=False,
            failures=0,
            reason="",
            has_answered=True,
        )
    failures = min(before.failures + 1, FAILURES_TO_LEAVE)
    is_out = before.is_out or (failures >= FAILURES_TO_LEAVE and not is_cut_off)
    return replace(before, is_out=is_out, failures=failures, reason=str(answer))


def without_first_failures(
    before: Mapping[str, Neighbour], after: Mapping[str, Neighbour]
) -> dict[str, Neighbour]:
    """The machines where none could be asked: one that has never answered has failed no more."""
    return {
        n: each if each.has_answered else replace(each, failures=before[n].failures)
        for n, each in after.items()
    }


def are_known(neighbours: Mapping[str, Neighbour]) -> bool:
    """Whether enough is known of them to decide by; until then nginx keeps what it has."""
    every = neighbours.values()
    return any(n.has_answered for n in every) and all(
        n.has_answered or n.failures >= FAILURES_TO_LEAVE for n in every
    )


def are_silent(neighbours: Mapping[str, Neighbour]) -> bool:
    """Whether none has ever answered this daemon, and each had the time to."""
    every = neighbours.values()
    return bool(every) and not any(n.has_answered or n.failures < FAILURES_TO_LEAVE for n in every)


def far_endpoints(neighbours: Mapping[str, Neighbour]) -> dict[str, tuple[FarEndpoint, ...]]:
    """By app, where its requests may cross to."""
    found: dict[str, tuple[FarEndpoint, ...]] = {}
    for _, n in sorted(neighbours.items()):
        for app, count in n.apps.items() if not n.is_out else ():
            found[app] = (*found.get(app, ()), FarEndpoint(n.name, n.address, n.port, count))
    return found


def apps_elsewhere(neighbours: Mapping[str, Neighbour]) -> frozenset[str]:
    """The apps that a machine is ready for which is not drained itself: two that are drained at
    once do not leave an app to each other.
    """
    return frozenset(app for n in _serving(neighbours) for app in n.apps)


def missing_elsewhere(
    app: str, parts: Mapping[str, int], neighbours: Mapping[str, Neighbour]
) -> int:
    """How many instances of an app the machines that are not drained have less than their `parts`
    of it, which are by machine.
    """
    return sum(parts.get(n.name, 0) - n.apps.get(app, 0) for n in _serving(neighbours))


def _serving(neighbours: Mapping[str, Neighbour]) -> list[Neighbour]:
    return [n for n in neighbours.values() if not n.is_out and not n.leaving]


def drained_machines(
    before: Collection[str],
    neighbours: Mapping[str, Neighbour],
    parts: Callable[[frozenset[str]], Mapping[str, Mapping[str, int]]],
) -> frozenset[str]:
    """The other machines whose part of each `total` is run elsewhere, by those `before`: each that
    says that it is drained, until it says that it is not and has its part ready. What is not known
    of a machine, or not any more, changes nothing. `parts` are how many instances of each app each
    machine has ready while those machines are drained.

    Of those that return as many as possible do, as each part is the smaller the more return: first
    all of them are looked at, then all but those that have not so much ready, and so on.
    """
    heard = {
        n: known for n, known in neighbours.items() if known.has_answered and not known.is_out
    }
    drained = frozenset(n for n in neighbours if (heard[n].leaving if n in heard else n in before))
    back = [known for n, known in heard.items() if n in before and n not in drained]
    while back:
        needed = parts(drained)
        missing = {n.name for n in back if not _has_ready(n, needed)}
        if not missing:
            break
        drained |= missing
        back = [n for n in back if n.name not in missing]
    return drained


def _has_ready(machine: Neighbour, parts: Mapping[str, Mapping[str, int]]) -> bool:
    every = parts.items()
    return all(machine.apps.get(app, 0) >= found.get(machine.name, 0) for app, found in every)
