"""Bring the slots of one app to the version wanted without ever taking the last one away.

With automatic ports the new instance starts beside the old one, takes its slot in discovery
when it is ready, and the old one drains. A pinned port can be held by one process only: there
the old one leaves first while the other slots carry the load. Where there is no other slot, a
stand-in on a free port serves meanwhile, if a site sends it requests. A program that cannot run
twice (`stop_first`, or on a port that it chose itself) has its slot empty in between.

An instance that is to be recycled counts as old although it runs the version wanted. If its
successor does not become ready there is no version to roll back to: it simply keeps running.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import (
    LEAVING_STATES,
    LIVE_STATES,
    PROVEN_STATES,
    Instance,
    InstanceState,
)
from portico.core.planning.own_port import holds_own_port
from portico.core.planning.runs import is_up, why_it_leaves
from portico.core.planning.serving import serving_instances, takes_requests
from portico.core.planning.steps import Drain, StartInstance, Step

S = InstanceState


class Slot(NamedTuple):
    """One slot of an app: who is in it."""

    number: int
    port: int | None
    """Pinned."""
    holder: Instance | None
    """Who has the pinned port; it may be in another slot, where the first port was another."""
    new: tuple[Instance, ...]
    """In the version wanted, and staying."""
    old: tuple[Instance, ...]
    """In another version, or to be recycled."""
    leaving: tuple[Instance, ...]
    ready: bool
    """Whether one of the new ones is as it should be."""

    @property
    def under_way(self) -> bool:
        """Whether it is between versions: begun and not ready yet, or nobody serves in it."""
        return not self.ready and bool(self.new or not _any_ready(self.old))

    @property
    def is_blocked(self) -> bool:
        """Whether another slot has to move on first, because it has the port of this one."""
        holder = self.holder
        return (
            holder is not None
            and holder.slot != self.number
            and holder.state not in LEAVING_STATES
        )


def rollout(
    app: DesiredApp, instances: Sequence[Instance], now: float, *, may_replace: bool = True
) -> Iterator[Step]:
    """What to start and what to drain now, for all slots of one app. If not `may_replace`, no
    slot begins to have another version.
    """
    wanted = 0 if app.stopped else app.instances
    holders = {i.port: i for i in instances if i.state is not S.GONE}
    by_slot: defaultdict[int, list[Instance]] = defaultdict(list)
    for i in instances:
        by_slot[i.slot].append(i)
    slot_of = partial(_slot, app, by_slot, holders)
    pending = [n for n in range(1, wanted + 1) if not _is_complete(app, n, by_slot[n])]
    begun = {n: slot_of(n) for n in pending if not _is_untouched(app, by_slot[n])}
    serving = {i.slot for i in serving_instances(app, instances, now)}
    room = app.app.batch - sum(slot.under_way and not slot.is_blocked for slot in begun.values())
    for number in pending:
        if number not in begun and (room <= 0 or not (may_replace or by_slot[number][0].worn)):
            continue  # a thousand that wait for their turn cost nothing
        slot = begun.get(number) or slot_of(number)
        has_begun = slot.under_way or slot.ready
        may_begin = room > 0 and (may_replace or any(i.worn for i in slot.old))
        last = app.reached and slot.holder is not None and serving == {slot.holder.slot}
        steps = list(_steps(app, slot, last=last, may_begin=has_begun or may_begin))
        if steps and not has_begun:
            room -= 1
        if not slot.ready and any(isinstance(step, Drain) for step in steps):
            serving.discard(slot.number)
        yield from steps
    yield from _surplus_steps(app, [i for i in instances if i.slot > wanted], serving)


def ready_slots(app: DesiredApp, instances: Sequence[Instance]) -> frozenset[int]:
    """The wanted slots in which the version wanted is ready, on its own port."""
    return frozenset(
        i.slot
        for i in instances
        if is_up(app, i)
        and i.spec == app.spec.id
        and i.slot <= app.instances
        and app.app.pinned_port(i.slot) in {None, i.port}
    )


def is_rolled_out(app: DesiredApp, instances: Sequence[Instance]) -> bool:
    """Whether every slot is ready in the version wanted, and nothing older serves any more.

    What has a schedule runs when it is time: nothing has to be ready before.
    """
    if app.app.schedule is not None:
        return True
    older = any(i.spec != app.spec.id and i.state in PROVEN_STATES for i in instances)
    return not older and len(ready_slots(app, instances)) == app.instances


def _surplus_steps(
    app: DesiredApp, instances: Sequence[Instance], serving: set[int]
) -> Iterator[Step]:
    """What is in no wanted slot leaves, but the last one that serves only after another does."""
    why = why_it_leaves(app, f"scaled to {app.instances}")
    keep = takes_requests(app) and not app.abrupt
    for i in instances:
        serves = i.state in PROVEN_STATES
        if i.state in LEAVING_STATES or (keep and serves and serving == {i.slot}):
            continue
        if serves:
            serving.discard(i.slot)
        yield Drain(i.id, why)


def _is_complete(app: DesiredApp, number: int, instances: Sequence[Instance]) -> bool:
    """Whether a slot has the one ready instance that it should have, beside what leaves, and
    nothing is to do.
    """
    if len(instances) > 1:
        instances = [i for i in instances if i.state not in LEAVING_STATES]
    if len(instances) != 1:
        return False
    [i] = instances
    wanted = i.state is S.READY and i.spec == app.spec.id and not i.worn
    return wanted and app.app.pinned_port(number) in {None, i.port}


def _is_untouched(app: DesiredApp, instances: Sequence[Instance]) -> bool:
    """Whether a slot has one ready instance that waits for its turn to be replaced."""
    if len(instances) != 1 or app.abrupt:
        return False
    [i] = instances
    return i.state is S.READY and (i.spec != app.spec.id or bool(i.worn))


def _slot(
    app: DesiredApp,
    by_slot: Mapping[int, Sequence[Instance]],
    holders: Mapping[int, Instance],
    number: int,
) -> Slot:
    staying = [i for i in by_slot[number] if i.state not in LEAVING_STATES]
    new = tuple(i for i in staying if i.spec == app.spec.id and not i.worn)
    port = app.app.pinned_port(number)
    return Slot(
        number,
        port,
        holders.get(port) if port else None,
        new=new,
        old=tuple(i for i in staying if i.spec != app.spec.id or i.worn),
        leaving=tuple(
            i for i in by_slot[number] if i.state in LEAVING_STATES and i.state in LIVE_STATES
        ),
        ready=any(is_up(app, i) for i in new),
    )


def _steps(app: DesiredApp, slot: Slot, *, last: bool, may_begin: bool) -> Iterator[Step]:
    if app.must_end and any(i.state in LIVE_STATES for i in (*slot.old, *slot.leaving)):
        may_begin = False  # one run at a time
    if app.abrupt:
        yield from _replace_at_once(app, slot)
    elif app.app.replace_order == "stop_first" or _own_port_is_held(app, slot):
        yield from _replace_stop_first(app, slot, may_begin=may_begin)
    elif slot.port is None:
        yield from _replace_side_by_side(app, slot, may_begin=may_begin)
    else:
        yield from _replace_on_its_port(app, slot, last=last, may_begin=may_begin)


def _own_port_is_held(app: DesiredApp, slot: Slot) -> bool:
    return any(holds_own_port(i, app.app) for i in (*slot.old, *slot.leaving))


def _replace_at_once(app: DesiredApp, slot: Slot) -> Iterator[Step]:
    for i in slot.old:
        yield Drain(i.id, "restarted by hand")
    if not slot.new and not slot.old and not slot.leaving and not slot.holder:
        yield StartInstance(app.name, slot.number, slot.port, "configured, not running")


def _replace_stop_first(app: DesiredApp, slot: Slot, *, may_begin: bool) -> Iterator[Step]:
    if not may_begin:
        return
    for i in slot.old:
        because = "it has a port of its own" if i.own_port else "stop_first is set"
        yield Drain(i.id, f"{_replacement_reason(slot.old)}, and {because}")
    if not slot.new and not slot.old and not slot.leaving and not slot.holder:
        yield StartInstance(app.name, slot.number, slot.port, "configured, not running")


def _replace_side_by_side(app: DesiredApp, slot: Slot, *, may_begin: bool) -> Iterator[Step]:
    if slot.ready:
        for i in slot.old:
            yield Drain(i.id, "its successor is ready")
    elif not slot.new and may_begin:
        why = _replacement_reason(slot.old) if slot.old else "configured, not running"
        yield StartInstance(app.name, slot.number, None, why)


def _replace_on_its_port(
    app: DesiredApp, slot: Slot, *, last: bool, may_begin: bool
) -> Iterator[Step]:
    """`last` says that who has the pinned port is the last one that serves."""
    if slot.holder in slot.new:
        if slot.holder.state is S.READY:
            for i in (*slot.old, *slot.new):
                if i is not slot.holder:
                    yield Drain(i.id, "its successor is ready")
    elif may_begin and slot.holder is None:
        yield StartInstance(app.name, slot.number, slot.port, "configured, not running")
    elif may_begin and last and not slot.ready:
        if not slot.new:
            why = "temporary instance while the pinned port is handed over"
            yield StartInstance(app.name, slot.number, None, why)
    elif may_begin and slot.holder in slot.old:
        for i in slot.old:
            yield Drain(i.id, f"{_replacement_reason(slot.old)}, and its port is pinned")


def _replacement_reason(old: Sequence[Instance]) -> str:
    return next((i.worn for i in old if i.worn), "the version has changed")


def _any_ready(instances: Sequence[Instance]) -> bool:
    return any(i.state is S.READY for i in instances)
