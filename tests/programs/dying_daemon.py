"""porticod, killed in the next start of an instance.

`dying_daemon.py recorded`: once the instance is on record and before it has a process;
`dying_daemon.py started`: before its process is on record.
"""

import os
import signal
import sys

from portico.adapters.state.sqlite import SqliteState
from portico.core.model.instance import InstanceState
from portico.daemon import main, wiring

moment = sys.argv.pop()


class Dying(SqliteState):
    def put_instance(self, instance):
        starting = instance.state is InstanceState.STARTING
        if starting and instance.process and moment == "started":
            os.kill(os.getpid(), signal.SIGKILL)
        super().put_instance(instance)
        if starting and not instance.process and moment == "recorded":
            os.kill(os.getpid(), signal.SIGKILL)


wiring.SqliteState = Dying
main.main()
