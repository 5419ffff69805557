"""porticod, killed in the next start of an instance.

`dying_daemon.py recorded`: once the instance is on record and before it has a process;
`dying_daemon.py started`: before its process is on record.
"""

import os
import signal
import sys
from contextlib import contextmanager

from portico.adapters.state.sqlite import SqliteState
from portico.core.model.instance import InstanceState
from portico.daemon import life, main

moment = sys.argv.pop()


class Dying(SqliteState):
    def put_instance(self, instance):
        starting = instance.state is InstanceState.STARTING
        if starting and instance.process and moment == "started":
            os.kill(os.getpid(), signal.SIGKILL)
        self.is_new = starting and not instance.process
        super().put_instance(instance)

    @contextmanager
    def transaction(self, *, durable=True, more=False):
        self.is_new = False
        with super().transaction(durable=durable, more=more):
            yield
        if self.is_new and moment == "recorded":
            os.kill(os.getpid(), signal.SIGKILL)


life.SqliteState = Dying
main.main()
