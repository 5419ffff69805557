"""A keeper of certificates between a real database and an authority that signs at a word."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from portico.adapters.state.sqlite import SqliteState
from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.certificate import Certificate
from portico.core.model.order import Accounts, NewCertificate
from portico.core.model.preflight import PreflightFacts
from portico.core.planning import renewal_state
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.deploy_hooks import DeployHooks
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.ports.certificates import AuthorityError
from tests.fakes.clock import FakeClock
from tests.fakes.state import events_of
from tests.unit.certificates import DAY, certificate

DIRECTORY = "https://ca.test/directory"


def desired_of(names, directory=DIRECTORY, *, of_sites=None, **tls):
    """`of_sites` has more keys of single sites, `tls` more of all."""
    sites = {name: {"redirect": "https://elsewhere.example.com"} for name in names}
    sites = {name: site | (of_sites or {}).get(name, {}) for name, site in sites.items()}
    limits = {"same_names": "5/7d", "domain": "50/7d", "orders": "300/3h"}
    tls = {"issuer": directory, "limits": limits, **tls}
    document = read_document({"tls": tls, "sites": sites}, source="x")
    return desired_from(
        document, folder="/", environ={}, cores=1, root=True, asked={}, paused=frozenset()
    )


class Ticking(FakeClock):
    """Time goes on a little between two looks at it, as it does in truth."""

    def now(self) -> float:
        self._elapsed += 1e-6
        return super().now()


class Lineages:
    """In memory; `hold` puts one there that was issued at some time."""

    def __init__(self, clock):
        self.clock, self.newest, self.given, self.before = clock, {}, {}, {}

    def hold(self, name, *, at, days=90.0, serial="1", **more) -> Certificate:
        said = {"issuer": DIRECTORY, "ari_id": ""} | more
        held = certificate(name, at=at, days=days, serial=serial, **said)
        self.newest[name] = self.given[name] = held
        return held

    def held(self, name):
        return self.newest.get(name)

    def current(self, name):
        return self.given.get(name)

    def names(self):
        return sorted(self.newest)

    async def switch(self, name, generation):
        if self.given.get(name) != self.newest[name]:
            self.before[name] = self.given.get(name)
        self.given[name] = self.newest[name]

    async def put_back(self, name):
        if self.before.get(name):
            self.given[name] = self.before[name]
        return self.before.get(name)

    async def withdraw(self, name):
        self.given[name] = None

    def folder(self, name):
        return f"/live/{name}"

    def folders(self, name):
        return (f"/lineages/{name}",)

    async def store(self, name, names, chain, key, about):
        before = self.newest.get(name)
        held = certificate(*names, at=self.clock.now(), serial=chain, ari_id="")
        number = before.generation + 1 if before else 1
        self.newest[name] = replace(held, issuer=about.issuer, generation=number)
        return self.newest[name]


@dataclass
class Authority:
    """Implements ports.Authorities."""

    clock: FakeClock
    orders: list[tuple[float, str]] = field(default_factory=list)
    seen: PreflightFacts = field(default_factory=PreflightFacts)
    down: bool = False
    refused: set[str] = field(default_factory=set)
    bugs: set[str] = field(default_factory=set)
    """What ends an order for these names is nothing that anybody foresaw."""
    unproven: set[str] = field(default_factory=set)
    """Names that it does not find here."""
    error: AuthorityError | None = None
    """What every order is answered with."""
    notes: list[str] = field(default_factory=list)
    """What every order says on its way."""
    window: tuple[float, float] | None = None
    replaced: list[str | None] = field(default_factory=list)
    """What each order has named as what it follows."""
    looked: int = 0
    forgotten: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def accounts(self):
        return Accounts("thumbprint")

    async def key_digest(self):
        return "digest"

    async def preflight(self, order, folders):
        self.looked += 1
        if self.down:
            raise AuthorityError("no answer")
        return self.seen

    async def issue(self, order, *, no_account, made_account, note, keep=None):
        lineage = order.lineage
        self.orders.append((self.clock.now(), lineage.name))
        self.replaced.append(order.replaces)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        for each in self.notes:
            note(each)
        if self.error:
            raise self.error
        if lost := self.unproven & set(lineage.names):
            wrong = dict.fromkeys(sorted(lost), "it could not connect")
            raise AuthorityError("validation failed", unproven=tuple(wrong), wrong=wrong)
        if lineage.name in self.bugs:
            raise LookupError(lineage.name)
        if lineage.name in self.refused:
            raise AuthorityError("it does not issue for this name")
        return NewCertificate(f"{len(self.orders):x}", "/key", replaced=False)

    async def forget(self, order):
        self.forgotten.append(order)

    async def renewal_window(self, issuer, certificate):
        if self.window is None:
            raise AuthorityError("it does not offer renewal information")
        return *self.window, "", self.clock.now() + 3600


@dataclass
class Hooks:
    """Implements ports.Hooks and ports.PemFiles: what ran, and what fails."""

    failing: set[str] = field(default_factory=set)
    """Names of commands, and of files."""
    ran: list[str] = field(default_factory=list)

    async def run(self, command, environ, deadline):
        self.ran.append(command[0])
        return f"{command[0]} exited with code 1" if command[0] in self.failing else None

    async def write(self, certificate, files):
        return [f"cannot write {file.path}" for file in files if file.path in self.failing]


class Deployment:
    def __init__(self, lineages, state, takes, hooks=None):
        self.lineages, self.state, self.takes = lineages, state, takes
        self.hooks = hooks
        self.batches = []

    async def deploy(self, lineages):
        self.batches.append([lineage.name for lineage in lineages])
        for lineage in lineages:
            await self.lineages.switch(lineage.name, 0)
        for _ in range(self.takes):
            await asyncio.sleep(0)
        return {}

    async def finish(self, lineage):
        held = self.lineages.held(lineage.name)
        await self.hooks.run(lineage, held)
        memory = self.state.renewal_state(lineage.name)
        now = self.lineages.clock.now()
        self.state.put_renewal_state(renewal_state.after_deployment(memory, held.serial, now))

    async def render_again(self):
        pass


class Intent:
    def __init__(self, desired):
        self.desired = desired

    def wanted(self):
        return self.desired, ""


class Keeping:
    """`do` runs what a test does with the keeper, and ends when all that is due is done."""

    def __init__(self, folder, names, *, start=1_790_000_000.0):
        self.clock = Ticking(start)
        self.names = tuple(names)
        self.lineages = Lineages(self.clock)
        self.state = SqliteState(folder / "portico.db")
        self.authority = Authority(self.clock)
        self.troubles = Troubles()
        self.hooks = Hooks()
        self.desired = desired_of(self.names)

    def hold_all(self, *, age_days, days=90.0):
        at = self.clock.now() - age_days * DAY
        with self.state.transaction():
            for number, name in enumerate(self.names):
                held = self.lineages.hold(name, at=at, days=days, serial=f"{number + 1:x}")
                memory = self.state.renewal_state(name)
                self.state.put_renewal_state(
                    renewal_state.after_deployment(memory, held.serial, at)
                )

    def do(self, work, *, batch_takes=0):
        """Returns the names of each batch that was deployed, which takes so many turns."""
        deploying = Deployment(self.lineages, self.state, batch_takes)

        async def run():
            async with asyncio.TaskGroup() as group:
                engine = SimpleNamespace(
                    clock=self.clock,
                    events=events_of(self.state, self.clock),
                    intent=Intent(self.desired),
                    state=self.state,
                    tasks=Tasks(group, self.troubles, self.clock),
                    troubles=self.troubles,
                )
                deploying.hooks = DeployHooks(
                    engine, hooks=self.hooks, lineages=self.lineages, pem_files=self.hooks
                )
                keeper = CertificateLoop(
                    engine,
                    deploying,
                    deploying,
                    authorities=self.authority,
                    lineages=self.lineages,
                    passthrough=AlpnPassthrough(),
                    sharing=None,
                )
                await work(keeper)

        asyncio.run(run())
        return deploying.batches

    def look(self, *, batch_takes=0):
        async def once(keeper):
            await keeper.look()

        return self.do(once, batch_takes=batch_takes)
