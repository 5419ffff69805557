"""What an event makes of an instance: the table of states, with its times and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from portico.core.model.app import App
from portico.core.model.instance import (
    LEAVING_STATES,
    PROVEN_STATES,
    Exit,
    Instance,
    InstanceEvent,
    InstanceState,
    LastExit,
    Process,
    next_state,
)
from portico.core.planning.backoff import restart_delay

STEADY_TIME: Final = 600.0
"""Seconds. A program that keeps failing its check needs longer for it than one that exits: only
after so long without is its restart the first one again."""
MAX_MOVES: Final = 16
FAILURE_LINES: Final = 5
"""Of its output, in the event that an instance is not started again."""
MAX_LINE_LENGTH: Final = 200

S, E = InstanceState, InstanceEvent
REBOOT_REASON: Final = "the machine was rebooted"


def move(instance: Instance, event: InstanceEvent, *, now: float, reason: str = "") -> Instance:
    """The instance after an event that needs no more than its time and its reason."""
    state = next_state(instance.state, event)
    return replace(instance, state=state, since=now, reason=reason, against=0)


def after_spawn(instance: Instance, process: Process, *, now: float) -> Instance:
    """A process runs for it, for the first time or again."""
    if instance.process is None and instance.state is InstanceState.STARTING:
        return replace(instance, process=process, since=now, spawned=now)
    again = replace(move(instance, InstanceEvent.SPAWNED, now=now), said_ready=False, taken=False)
    failure = instance.reason if instance.crashes else ""
    restarts = instance.restarts + 1
    return replace(again, process=process, spawned=now, restarts=restarts, last_failure=failure)


def after_adoption(instance: Instance, *, now: float) -> Instance:
    """A new daemon looks after it. One that is starting has its time once more: nobody has asked
    it meanwhile, or heard what it said.
    """
    return replace(instance, since=now) if instance.state is S.STARTING else instance


def with_port_taken(instance: Instance, reason: str, *, now: float) -> Instance:
    """Something that it did not start listens on its port. It was never that one's answer that
    made it ready.
    """
    i = instance
    if i.state is S.READY:
        i = move(i, E.CHECK_FAILED, now=now)
    return replace(i, taken=True, reason=reason)


def with_own_port(instance: Instance) -> Instance:
    """Its port is its own again, or nobody's; its check says when it is ready."""
    return replace(instance, taken=False, reason="") if instance.taken else instance


def after_kill(instance: Instance, *, now: float, why: str = "") -> Instance:
    """SIGKILL was sent: it has its time once more, before it is sent again.

    Where it never became ready, why is its reason from then on.
    """
    reason = why if instance.state is S.STARTING and not instance.is_run else ""
    return replace(instance, since=now, reason=reason or instance.reason)


def after_interruption(instance: Instance, *, now: float) -> Instance:
    """One that was starting when the daemon before this one died, and has no process: it is
    started, and has all of its time for that.
    """
    return replace(instance, since=now, process=None, said_ready=False, taken=False)


def after_boot(instance: Instance, *, now: float) -> Instance:
    """The instance after a boot of the machine: what ran is to run again at once, which is no
    crash of it, what runs at its times waits for the next, and what was leaving is gone.
    """
    before = replace(
        instance, process=None, spawned=now, retry_at=now, crashes=0, worn="", taken=False
    )
    match instance.state:
        case S.DRAINING | S.STOPPING:
            return move(before, E.FINISHED, now=now, reason=instance.reason)
        case S.STARTING | S.READY if instance.is_run:
            return move(replace(before, ended=None), E.FINISHED, now=now, reason=REBOOT_REASON)
        case S.STARTING | S.READY | S.UNREADY | S.RESTARTING | S.BACKOFF:
            return move(before, E.CRASHED, now=now, reason=REBOOT_REASON)
        case S.STOPPED | S.FAILED | S.GONE:
            return replace(before, since=now, crashes=instance.crashes)
        case _:
            assert_never(instance.state)


def after_exit(
    instance: Instance, ending: Exit, app: App, *, now: float, jitter: float, reason: str
) -> Instance:
    """Its process has ended, or could not be started: wait, stop, give up, or be gone.

    `reason` says in words why it ended; crash loops are counted here (PM2's max_restarts
    within min_uptime).
    """
    event, crashes = _ending(instance, ending, app, now)
    after = replace(
        move(instance, event, now=now, reason=reason),
        process=None,
        ended=LastExit(ending, now - instance.spawned),
    )
    if after.state is not InstanceState.BACKOFF:
        return replace(after, crashes=crashes)
    delay = restart_delay(crashes, first=app.backoff, limit=app.backoff_limit, jitter=jitter)
    return replace(after, crashes=crashes, retry_at=now + delay)


def moves(instance: Instance, app: App) -> bool:
    """Whether it is started again on another port, which is no crash of it: its own was taken.

    Not for ever: a program whose leftovers take every port that it gets is in a crash loop.
    """
    pinned = instance.own_port or instance.port == app.pinned_port(instance.slot)
    return instance.taken and not pinned and instance.restarts < MAX_MOVES


def _ending(instance: Instance, ending: Exit, app: App, now: float) -> tuple[InstanceEvent, int]:
    if instance.state in LEAVING_STATES:
        return InstanceEvent.FINISHED, 0
    restarting = instance.state is InstanceState.RESTARTING
    if moves(instance, app) and app.comes_back:
        return InstanceEvent.CRASHED, instance.crashes
    if not app.comes_back or (ending.code in app.stop_exit_codes and not restarting):
        return InstanceEvent.FINISHED, 0
    crashes = _crashes(instance, app, now - instance.spawned)
    looping = crashes >= max(1, app.max_restarts)
    return (InstanceEvent.GAVE_UP if looping else InstanceEvent.CRASHED), crashes


def _crashes(instance: Instance, app: App, uptime: float) -> int:
    """How many in a row it are with this one."""
    if instance.state is InstanceState.RESTARTING:
        return instance.crashes + 1 if uptime < STEADY_TIME else 1
    early = instance.state not in PROVEN_STATES or uptime < app.min_uptime
    return instance.crashes + 1 if early else 0


def _last_output(output: Sequence[str]) -> str:
    lines = [line.strip()[:MAX_LINE_LENGTH] for line in output if line.strip()][-FAILURE_LINES:]
    return f"; it printed last: {' | '.join(lines)}" if lines else ""


def move_event(
    before: Instance | None, after: Instance, output: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Kind and text of the event that an instance went from one state to another; None where it
    did not, or where an event of its exit says the same. `output` is what it printed last.
    """
    was = before.state if before else None
    if was is after.state or after.state in {S.BACKOFF, S.STOPPED, S.GONE}:
        return None
    if after.state is S.FAILED:
        return "failed", (after.reason or "it keeps exiting") + _last_output(output)
    kind = "check" if {was, after.state} == {S.READY, S.UNREADY} else "state"
    return kind, f"{after.state}: {after.reason}" if after.reason else str(after.state)
