"""porticod, killed in the next start of an instance; before, it makes the file $DIED.

DIES_WHEN=recorded: once the instance is on record and before it has a process;
DIES_WHEN=started: before its process is on record.
"""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from portico.adapters.state.sqlite import SqliteState
from portico.core.model.instance import InstanceState
from portico.daemon import life
from portico.daemon import main as daemon


class Dying(SqliteState):
    def put_instance(self, instance):
        starting = instance.state is InstanceState.STARTING
        if starting and instance.process and _moment() == "started":
            _die()
        self.is_new = starting and not instance.process
        super().put_instance(instance)

    @contextmanager
    def transaction(self, *, durable=True, more=False):
        self.is_new = False
        with super().transaction(durable=durable, more=more):
            yield
        if self.is_new and _moment() == "recorded":
            _die()


def _moment():
    return os.environ["DIES_WHEN"]


def _die():
    Path(os.environ["DIED"]).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    life.SqliteState = Dying
    daemon.main()
