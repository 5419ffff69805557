"""Who gets requests, and who of those that fail their check is to be started again.

An instance that fails its check gets no requests, as long as another one is ready. When none is,
all that have failed go on getting them. A check that fails everywhere says more about the check,
or about something that all of them need, than about each of them; and nginx without any peer
answers 502 for sure, where a failing instance perhaps answers something. For the same reason they
are then restarted one by one, the next one only after the one before is ready again; and where a
restart did not help one of them, it is not tried on the others.

One whose port was taken by somebody else gets no request in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

from portico.core.model.desired import DesiredApp
from portico.core.model.instance import Instance, InstanceState
from portico.core.planning.health import recovery

S = InstanceState
RETURNING_STATES = frozenset({S.RESTARTING, S.BACKOFF, S.STARTING})


def serving_instances(
    app: DesiredApp, instances: Sequence[Instance], now: float
) -> list[Instance]:
    """Those that may be handed out."""
    ready = ready_instances(app, instances)
    leaving = set() if ready else {i.id for i in to_restart(app, instances, now)}
    return ready or [i for i in instances if _is_needed(app, i) and i.id not in leaving]


def ready_instances(app: DesiredApp, instances: Sequence[Instance]) -> list[Instance]:
    """Those that are ready, in a slot that gets requests."""
    if not app.app.listens or app.app.down:
        return []
    closed = {int(slot) for slot, its in app.app.slots.items() if its.down}
    return [
        i
        for i in instances
        if i.state is S.READY and not i.taken and i.port and i.slot not in closed
    ]


def takes_requests(app: DesiredApp) -> bool:
    """Whether any slot of it is handed out as soon as an instance is ready in it."""
    return not app.stopped and any(_is_open(app, n) for n in range(1, app.instances + 1))


def to_restart(app: DesiredApp, instances: Sequence[Instance], now: float) -> list[Instance]:
    """The unready instances that had their time to recover.

    Of those that are handed out because nobody is ready it is one at most, which has to leave
    discovery first, as every other one has.
    """
    if not (app.app.check.restart and app.app.comes_back):
        return []
    recovery_time = recovery(app.app.check)
    due = [i for i in instances if i.state is S.UNREADY and now - i.since >= recovery_time]
    if not due or ready_instances(app, instances):
        return due
    needed = sorted((i for i in due if _is_needed(app, i)), key=lambda i: (i.since, i.id))
    return [i for i in due if not _is_needed(app, i)] + [
        i for i in needed[:1] if not _has_to_wait(i, app, instances)
    ]


def _is_needed(app: DesiredApp, instance: Instance) -> bool:
    return instance.state is S.UNREADY and not instance.taken and _gets_requests(app, instance)


def _has_to_wait(instance: Instance, app: DesiredApp, instances: Sequence[Instance]) -> bool:
    """Whether another one is on its way back, or was given up since this one began to fail."""
    versions = {instance.spec, app.spec.id}
    return any(
        i.state in RETURNING_STATES or (i.state is S.FAILED and i.since > instance.since)
        for i in instances
        if i.spec in versions
    )


def _gets_requests(app: DesiredApp, instance: Instance) -> bool:
    """A worker, of this version or one before, has no port."""
    return instance.port != 0 and _is_open(app, instance.slot)


def _is_open(app: DesiredApp, slot: int) -> bool:
    settings = app.app
    return settings.listens and not settings.down and not settings.slot(slot).down
