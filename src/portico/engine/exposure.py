"""What is worth saying of programs in every `status`: who they run as, and who reaches them."""

from __future__ import annotations

from collections.abc import Iterable

from portico.core.config.notes import as_root, open_to_all
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.name_types import AppName
from portico.core.model.names import split_name
from portico.engine.intent import Intent
from portico.engine.observed import ObservedWorld
from portico.ports.processes import TcpPorts


class Exposure:
    """Where an app listens is looked up once for each of its versions, of one ready instance."""

    def __init__(
        self, intent: Intent, observed: ObservedWorld, ports: TcpPorts, *, root: bool
    ) -> None:
        self._intent, self._observed, self._ports, self._root = intent, observed, ports, root
        self._seen: dict[AppName, tuple[str, bool]] = {}
        """The version of each app that was looked at, and whether it listens on all addresses."""

    async def look(self) -> None:
        for app, i in self._unseen_instances().items():
            if i.process is not None:
                listening = await self._ports.listening_ports(i.process)
                found = any(each.port == i.port and each.address == "*" for each in listening)
                self._seen[app] = i.spec, found

    def notes(self) -> list[str]:
        apps = {name: each.app for name, each in self._intent.desired.apps.items()}
        return [*as_root(apps, root=self._root), *open_to_all(self._open(apps))]

    def notes_after(self, apps: Iterable[AppName]) -> list[str]:
        """Of these apps of one file, by their names in it: what is known only when they run."""
        return open_to_all([split_name(name)[1] for name in self._open(apps)])

    def _open(self, apps: Iterable[AppName]) -> list[AppName]:
        return [name for name in apps if self._seen.get(name, ("", False))[1]]

    def _unseen_instances(self) -> dict[AppName, Instance]:
        return {
            i.app: i
            for i in self._observed.instances.values()
            if i.state is InstanceState.READY
            and i.port
            and self._seen.get(i.app, ("", False))[0] != i.spec
        }
