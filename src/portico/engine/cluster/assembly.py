"""What is asked of all machines of a cluster with a store, put together."""

from __future__ import annotations

from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.cluster_operations import ClusterOperations
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.local_work import OwnWork
from portico.engine.cluster.scheduled_runs import ScheduledRuns
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.cluster.turns import Turns
from portico.engine.control.assembly import Control
from portico.engine.engine import Engine
from portico.engine.instances.timetable import Timetable
from portico.ports.vault import Vault


def assemble_cluster_operations(
    engine: Engine, shared: ClusterStore, vault: Vault, control: Control, timetable: Timetable
) -> ClusterOperations:
    """With what this machine does of a change, which `shared` repeats; runs of schedules are of
    one machine from now on.
    """
    change_state = ChangeState(shared, engine.state, engine.clock)
    runs = ScheduledRuns(engine, shared)
    work = OwnWork(engine, control, runs.request)
    files = SharedFiles(shared.follower, vault)
    turns = Turns(change_state, files, work, engine.clock, engine.troubles)
    shared.repeated_tasks |= {"changes of the cluster": turns, "runs of schedules": runs}
    timetable.claim = runs.claim
    return ClusterOperations(engine, control, change_state, files)
