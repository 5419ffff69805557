"""Machines of a cluster that obtain certificates of one authority, without nginx."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from portico.core.model.certificate import Entry, Lineage, Provenance
from portico.core.model.order import Accounts, NewCertificate
from portico.core.model.place import CertificateFiles
from portico.core.model.preflight import PreflightFacts
from portico.core.model.shared import (
    SCHEMA,
    ClusterRecord,
    SharedMachine,
    decode,
    encode,
    machine_key,
)
from portico.core.model.shared_certificates import AccountThumbprint, digest_of
from portico.core.model.snapshot import Put
from portico.core.planning.ledger import Ledger
from portico.core.planning.lineages import wanted_lineages
from portico.core.planning.mirroring import prefix_of
from portico.core.planning.renewal import Action
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.deploy_hooks import DeployHooks
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.cluster.certificates import SharedCertificates
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.troubles import Troubles
from portico.ports.certificates import AuthorityError
from portico.ports.store import StoreUnavailable
from tests.fakes.certificates_kept import (
    DIRECTORY,
    Deployment,
    Hooks,
    Intent,
    Lineages,
    Ticking,
    desired_of,
)
from tests.fakes.clock import settle
from tests.fakes.state import MemoryState
from tests.fakes.store import FakeStore
from tests.fakes.vault import FakeVault
from tests.unit.certificates import certificate

CLUSTER = "6a1c"
STEPS = ("begun", "key", "sent", "known", "signed", "stored")
"""At which a machine may die in an order: each is what happened last."""


class KilledError(BaseException):
    """Of a machine, by SIGKILL: no handler of errors sees to it."""


@dataclass
class CertificateAuthority:
    """Counts what it is sent. An order that was not signed is answered again (as Boulder does)."""

    orders: list[tuple[str, str]] = field(default_factory=list)
    """Machine and name of the lineage of each new one."""
    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By lineage, the account's key and the URL of the order that can be continued."""
    signed: dict[str, str] = field(default_factory=dict)
    """By URL of the order, serials, in the order of signing."""
    refuses: bool = False
    replaced: set[str] = field(default_factory=set)
    """Keys of accounts that have another one since."""

    def order(self, machine: str, name: str, account: str) -> str:
        if account in self.replaced:
            raise AuthorityError(f"the account has another key than {account}")
        if name in self.open and self.open[name][0] == account:
            return self.open[name][1]
        self.orders.append((machine, name))
        self.open[name] = account, f"order-{len(self.orders)}"
        return self.open[name][1]

    def sign(self, name: str, url: str) -> str:
        if url not in self.signed:
            self.open.pop(name, None)
            self.signed[url] = f"{len(self.signed) + 1:x}"
        return self.signed[url]


class FiledLineages(Lineages):
    """With files, which are shared."""

    def __init__(self, clock, folder: Path) -> None:
        super().__init__(clock)
        self._folder = folder

    async def store(self, name, names, chain, key, about):
        return self.put(name, names, chain, Path(key).read_text(), about)  # noqa: ASYNC240

    async def take(self, name, names, chain, key, about):
        return self.put(name, names, chain, key, about)

    def put(self, name, names, chain, key, about):
        before = self.newest.get(name)
        if before and before.serial == chain:
            return before
        files = CertificateFiles(
            str(self._folder / f"{chain}.pem"), str(self._folder / f"{chain}.key")
        )
        Path(files.certificate).write_text(chain)
        Path(files.key).write_text(key)
        held = certificate(*names, at=self.clock.now(), serial=chain, ari_id="", files=files)
        number = before.generation + 1 if before else 1
        self.newest[name] = replace(held, issuer=about.issuer, generation=number)
        return self.newest[name]


class Reach:
    """A store as one machine reaches it, or does not (ports.Store)."""

    def __init__(self, store: FakeStore) -> None:
        self._store, self.cut = store, False

    def __getattr__(self, name: str) -> object:
        if self.cut and name != "close":
            raise StoreUnavailable("cut off")
        return getattr(self._store, name)


class Authorities:
    """Implements ports.Authorities for one machine. Its files are what survives the daemon."""

    def __init__(self, machine: Machine, authority: CertificateAuthority) -> None:
        self._machine, self._authority = machine, authority
        self.folders: dict[str, dict[str, str]] = {}
        self.account: dict[str, str] = {}
        self.is_cut = False
        """Whether it reaches no authority."""
        self.on_replaced: Callable[[], None] = lambda: None
        """Called when the authority has the new key, and the daemon does not know it yet."""

    async def prepare_rollover(self, issuers):
        if self.account["key.pem"] in self._authority.replaced:  # by another machine
            self.account = {"key.pem": self.account["key.pem.new"]}
        else:
            self.account.setdefault("key.pem.new", f"new account of {self._machine.name}")
        return await self.accounts()

    async def roll_over(self, issuers):
        assert self._machine.cluster.is_shared(self.account), "with this machine the key is lost"
        self._machine.reached("shared")
        self._authority.replaced.add(self.account["key.pem"])
        self._machine.reached("replaced")
        self.on_replaced()
        self.account = {"key.pem": self.account["key.pem.new"]}
        return await self.accounts()

    async def accounts(self):
        self.account = self.account or {"key.pem": f"account of {self._machine.name}"}
        thumbprint = f"thumbprint of {self.account['key.pem']}"
        return Accounts(thumbprint, halfway="key.pem.new" in self.account)

    async def key_digest(self):
        return self.account.get("key.pem", "")

    async def account_files(self):
        return dict(self.account)

    async def take_account(self, files):
        self.account = dict(files)

    async def preflight(self, order, folders):
        if self.is_cut:
            raise AuthorityError("cannot reach the authority", unreachable=True)
        return PreflightFacts()

    async def take_order(self, order, files):
        own = self.folders.get(order, {})
        if own.get("key") != files["key"] or "url" not in own:
            self.folders[order] = dict(files)

    async def issue(self, order, *, no_account, made_account, note, keep=None):
        lineage, order = order.lineage, order.name
        self._machine.reached("begun")
        files = self.folders.setdefault(order, {"key": f"{self._machine.name}-{order}"})
        await keep(files)
        self._machine.reached("key")
        account = self.account["key.pem"]
        if "url" not in files:
            self._machine.cluster.assert_is_issuer(self._machine)
            files["url"] = self._authority.order(self._machine.name, lineage.name, account)
        self._machine.reached("sent")
        await keep(files)
        self._machine.reached("known")
        if self._authority.refuses:
            self._authority.open.pop(lineage.name, None)
            del self.folders[order]
            raise AuthorityError("it does not issue for this name")
        serial = self._authority.sign(lineage.name, files["url"])
        self._machine.reached("signed")
        key = self._machine.folder / "order.key"
        key.write_text(files["key"])
        return NewCertificate(serial, str(key), replaced=False)

    async def forget(self, order):
        self._machine.reached("stored")
        self.folders.pop(order, None)


class Machine:
    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.folder = cluster.folder / name
        self.folder.mkdir()
        self.clock = cluster.clock
        self.state, self.lineages = MemoryState(), FiledLineages(self.clock, self.folder)
        self.authorities = Authorities(self, cluster.authority)
        self.dies_at, self.vault = "", FakeVault()
        self.tasks: list[asyncio.Task[None]] = []
        self.runs = False

    def start(self, *, follows: bool = True) -> None:
        """A daemon that begins with what the one before has left."""
        self.reach, self.troubles, self.work = Reach(self.cluster.store), Troubles(), []
        tasks = SimpleNamespace(start=self._start)
        engine = SimpleNamespace(
            clock=self.clock,
            events=SimpleNamespace(note=lambda *_: None),
            intent=Intent(desired_of([self.cluster.name])),
            state=self.state,
            tasks=tasks,
            troubles=self.troubles,
        )
        deployment = Deployment(self.lineages, self.state, 0)
        self.shared = ClusterStore(
            engine,
            deployment,
            CLUSTER,
            self.name,
            self.reach,
            lambda: self.sharing.answering_thumbprint(),  # noqa: PLW0108 - it is made below
        )
        self.sharing = SharedCertificates(
            engine,
            self.shared,
            authorities=self.authorities,
            lineages=self.lineages,
            vault=self.vault,
        )
        deployment.hooks = DeployHooks(
            engine, hooks=Hooks(), lineages=self.lineages, pem_files=Hooks()
        )
        self.loop = CertificateLoop(
            engine,
            deployment,
            deployment,
            authorities=self.authorities,
            lineages=self.lineages,
            passthrough=AlpnPassthrough(),
            sharing=self.sharing,
        )
        self.sharing.is_busy = self.loop.account.is_in_use
        parts = (self.shared.follower, self.shared.session) if follows else ()
        self.tasks = [asyncio.ensure_future(_again(each)) for each in parts]
        self.runs = True

    async def started(self) -> None:
        self.start()
        await settle()

    async def killed(self) -> None:
        self.kill()
        await settle()

    def kill(self) -> None:
        self.runs, self.reach.cut = False, True
        for each in (*self.tasks, *self.work):
            each.cancel()

    def reached(self, step: str) -> None:
        if self.dies_at == step:
            self.dies_at = ""
            self.kill()
            raise KilledError

    async def look(self) -> None:
        """As the daemon does now and then, and all that is due."""
        with suppress(KilledError):
            await self.loop.look()
            while pending := [each for each in self.work if not each.done()]:
                await asyncio.wait(pending)
        await settle()

    @property
    def lineage(self) -> Lineage:
        return wanted_lineages(desired_of([self.cluster.name]), {})[self.cluster.name]

    @property
    def serial(self) -> int:
        """Of what is served; 0 for none."""
        held = self.lineages.current(self.cluster.name)
        return int(held.serial, 16) if held else 0

    @property
    def next(self) -> Action:
        return self.loop.issuance.next(self.lineage)

    @property
    def counted(self) -> int:
        """Certificates for these names, as the ledger here has them."""
        ledger = Ledger(self.state.ledger_since(0.0), self.clock.now())
        uses = ledger.uses(self.lineage.issuers[0], self.lineage.names)
        return next(use.used for use in uses if use.limit == "same names")

    def obtained_before(self, serial: int) -> None:
        """A certificate, when the machine was in no cluster."""
        name, at = self.cluster.name, self.clock.now()
        about, names = Provenance(DIRECTORY), (name,)
        self.lineages.put(name, names, f"{serial:x}", f"key {self.name}", about)
        self.lineages.given[name] = self.lineages.newest[name]
        order = f"{name}.{serial}"
        self.state.add_ledger(
            [Entry(at, DIRECTORY, kind, names, order) for kind in ("order", "certificate")]
        )

    def _start(self, subject, work, *, of=""):
        self.work.append(asyncio.ensure_future(_fenced(work, self.troubles, subject)))


async def _fenced(work, troubles, subject):
    with troubles.fence(subject):
        await work()


async def _again(part):
    while True:
        await part.look()
        await part.pause()


class Cluster:
    """`run` runs what a test does, each in the same loop: tasks go on from one to the next."""

    def __init__(self, folder: Path, name: str, machines: int = 3) -> None:
        """`name` is the site's."""
        self.folder, self.name = folder, name
        self.clock = Ticking()
        self.store = FakeStore(self.clock)
        self.authority = CertificateAuthority()
        self._runner = asyncio.Runner()
        self.machines = [Machine(self, f"m{number + 1}") for number in range(machines)]
        root = prefix_of(CLUSTER)
        record = Put(f"{root}cluster", encode(ClusterRecord(least=SCHEMA)))
        members = [
            Put(root + machine_key(f"m{number + 1}"), encode(SharedMachine(address="10.0.0.1")))
            for number in range(machines + 1)  # one may still join
        ]
        self._runner.run(self.store.transaction([], [record, *members]))

        async def start():
            for each in self.machines:
                each.start()
            await self.wait(6)

        self.run(start())

    def run(self, work) -> None:
        self._runner.run(work)

    async def wait(self, seconds: float) -> None:
        """What goes on meanwhile goes on in the last seconds alone."""
        self.clock.jump(max(seconds - 6, 0))
        await self.clock.advance(6)
        await settle()

    async def look(self, rounds: int = 6) -> None:
        """All that run, one after the other, until each has what the others have written."""
        for _ in range(rounds):
            for each in self.machines:
                if each.runs:
                    await each.look()
            await self.wait(6)

    async def meanwhile(self, work: Awaitable[None]) -> None:
        """All that run look, until it is done and each has what came of it."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self.look(1)
        await task
        await self.look(3)

    def is_shared(self, account: Mapping[str, str]) -> bool:
        """Whether the store has these files of the account."""
        item = self.store.peek(f"{prefix_of(CLUSTER)}thumbprint")
        return decode(AccountThumbprint, item.value).digest == digest_of(account)

    def assert_is_issuer(self, machine: Machine) -> None:
        """At the moment at which an order is sent."""
        item = self.store.peek(f"{prefix_of(CLUSTER)}issuer")
        assert item, "an order without an issuer"
        assert item.session == machine.shared.session.number, "an order of another machine"

    def machine(self, name: str) -> Machine:
        """One more, which does not run yet."""
        self.machines.append(Machine(self, name))
        return self.machines[-1]

    def keys(self, start: str) -> set[str]:
        """Ends of the keys of the store that begin with it."""
        whole = prefix_of(CLUSTER) + start
        return {key.removeprefix(whole) for key in self.store.names() if key.startswith(whole)}

    def order_names(self) -> set[str]:
        """Of all orders that any machine has in its ledger."""
        entries = (e for each in self.machines for e in each.state.ledger_since(0.0))
        return {entry.order for entry in entries if entry.kind == "order"}

    def close(self) -> None:
        for each in self.machines:
            self.run(each.killed())
        self._runner.close()


__all__ = ["DIRECTORY", "STEPS", "Cluster", "KilledError", "Machine"]
