"""Months of an authority, a machine's clock and a daemon in a second, with the real decisions.

`World` moves from one moment at which something is due to the next. The authority counts by the
true time what is sent to it, by rules of its own; the machine knows only its own clock. What must
never happen is asserted where it would happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from portico.adapters.state.records import ENTRY, MEMORY, from_json, to_json
from portico.core.model.certificate import (
    LETS_ENCRYPT_LIMITS,
    STAGING_LIMITS,
    Certificate,
    Entry,
    Issuer,
    RenewalState,
)
from portico.core.planning import renewal_state
from portico.core.planning.ledger import Ledger
from portico.core.planning.renewal import next_action
from portico.core.planning.renewal_state import RenewalAnswer
from tests.unit.certificates import DAY, HOUR, MINUTE, NOW, certificate, lineage

ISSUER = Issuer(
    "https://ca.test/directory",
    staging="https://staging.test/directory",
    limits=LETS_ENCRYPT_LIMITS,
    staging_limits=STAGING_LIMITS,
)
UNNOTICED = 10 * MINUTE  # of a wrong clock; by more than that, preflight orders nothing
PASS_EVERY = 12 * HOUR  # a daemon looks again at least so often


class Refused(Exception):
    pass


@dataclass
class Authority:
    """Counts as Let's Encrypt does; whoever goes beyond has lost."""

    days: float
    has_ari: bool
    down: bool = False
    unprovable: bool = False
    window_days: float | None = None
    """Renewal is suggested so long from now (a passed moment if negative) instead of in time."""
    malformed: bool = False
    issued: list[tuple[float, tuple[str, ...], bool]] = field(default_factory=list)
    orders: list[float] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    known: dict[str, Certificate] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)

    def order(self, now: float, names: tuple[str, ...], replaces: str) -> Certificate:
        if self.down:
            raise Refused("no answer")
        old = self.known.get(replaces)
        exempt = bool(
            self.has_ari and old and old.names == names and replaces not in self.replaced
        )
        if not exempt:
            self.orders.append(now)
            assert sum(at > now - 3 * HOUR for at in self.orders) <= 300
        if self.unprovable:
            self.failures += [(now, name) for name in names]
            for name in names:
                recent = [at for at, who in self.failures if who == name and at > now - HOUR]
                assert len(recent) <= 5, f"{name} has failed {len(recent)} times in an hour"
            raise Refused("not proven")
        return self._sign(now, names, replaces if exempt else "")

    def _sign(self, now: float, names: tuple[str, ...], replaces: str) -> Certificate:
        serial = f"{(len(self.issued) + 1) * 2654435761 % (1 << 40):x}"
        self.issued.append((now, names, bool(replaces)))
        same = [
            at for at, who, ex in self.issued if who == names and not ex and at > now - 7 * DAY
        ]
        assert len(same) <= 5, f"{len(same)} certificates for {names} within a week"
        if replaces:
            self.replaced.add(replaces)
        signed = certificate(
            *names,
            at=now - HOUR,
            days=self.days,
            serial=serial,
            issuer=ISSUER.directory,
            ari_id=f"issuer.{serial}",
        )
        self.known[signed.ari_id] = signed
        return signed

    def renewal_info(self, now: float, held: Certificate, machine: float) -> RenewalAnswer:
        if self.down:
            return RenewalAnswer(why="no answer")
        if not self.has_ari:
            return RenewalAnswer(machine + 6 * HOUR, why="it does not offer renewal information")
        if self.malformed:
            return RenewalAnswer(machine + 6 * HOUR, now, now - DAY)
        middle = held.not_after - held.lifetime / (2 if self.days < 10 else 3)
        if self.window_days is not None:
            middle = min(middle, now + self.window_days * DAY)
        width = held.lifetime * 0.01
        return RenewalAnswer(machine + 6 * HOUR, middle - width, middle + width)


@dataclass
class Keeping:
    """One lineage, with what is on disk."""

    names: tuple[str, ...]
    memory: RenewalState
    held: Certificate | None = None
    served: Certificate | None = None


@dataclass
class World:
    authority: Authority
    kept: list[Keeping]
    now: float = NOW
    ahead: float = 0.0
    """Seconds by which the machine's clock is wrong."""
    stopped: bool = False
    broken_deploy: bool = False
    ledger: list[Entry] = field(default_factory=list)
    draws: int = 0

    @classmethod
    def of(cls, authority: Authority, lineages: int = 2) -> World:
        names = [(f"n{n}.a.test", f"www.n{n}.a.test") for n in range(lineages)]
        return cls(authority, [Keeping(each, RenewalState(each[0])) for each in names])

    def run(self, until: float) -> None:
        while self.now < until:
            at = min(self._pass(), self.now + PASS_EVERY, until)
            self.move(max(at, self.now + 1.0))

    def move(self, at: float) -> None:
        for each in self.kept:
            if each.served:
                assert each.served.not_after > at, f"{each.names[0]} has expired"
        self.now = at

    def restart(self) -> None:
        """Nothing is left but what was written."""
        for each in self.kept:
            each.memory = from_json(MEMORY, to_json(MEMORY, each.memory))
        self.ledger = [from_json(ENTRY, to_json(ENTRY, entry)) for entry in self.ledger]

    def _pass(self) -> float:
        """Do what is due; returns when the next thing will be."""
        if self.stopped:
            return self.now + PASS_EVERY
        nexts = [self._look(each) for each in self.kept]
        return min(nexts) - self.ahead

    def _look(self, kept: Keeping) -> float:
        for _ in range(6):  # tried, issued, asked and deployed in one pass, and no more
            machine = self.now + self.ahead
            kept.memory = renewal_state.clamped_to_clock(kept.memory, machine)
            wanted = lineage(*kept.names, issuers=(ISSUER,))
            action = next_action(
                wanted, kept.held, kept.memory, self._recent_ledger(machine), machine
            )
            if not action.due(machine):
                return action.at
            match action.kind:
                case "ask_ari":
                    answer = self.authority.renewal_info(self.now, kept.held, machine)
                    kept.memory = renewal_state.after_renewal_info(
                        kept.memory, kept.held, answer, now=machine, random_fraction=self._draw()
                    )
                case "deploy":
                    self._deploy(kept, machine)
                case "issue":
                    self._issue(kept, wanted, action, machine)
        raise AssertionError(f"{kept.names[0]} does not come to rest: {action}")

    def _recent_ledger(self, machine: float) -> Ledger:
        if any(entry.at > machine for entry in self.ledger):
            self.ledger = [replace(e, at=min(e.at, machine)) for e in self.ledger]
        return Ledger((e for e in self.ledger if e.at > machine - 7 * DAY), machine)

    def _deploy(self, kept: Keeping, machine: float) -> None:
        if self.broken_deploy:
            attempt = renewal_state.Attempt(kept.held, machine, self._draw())
            kept.memory = renewal_state.not_deployed(kept.memory, "nginx -t", attempt)
            return
        kept.served = kept.held
        kept.memory = renewal_state.after_deployment(kept.memory, kept.held.serial, machine)

    def _issue(self, kept: Keeping, wanted, action, machine: float) -> None:
        if action.staging:
            if self.authority.down or self.authority.unprovable:
                self._failed(kept, "staging", machine)
            else:
                kept.memory = renewal_state.after_staging(kept.memory, wanted)
            return
        if abs(self.ahead) > UNNOTICED:
            self._failed(kept, "the clock is wrong", machine)
            return
        order = f"{kept.names[0]}.{len(self.ledger)}"
        line = Entry(machine, ISSUER.directory, "order", kept.names, order, exempt=action.exempt)
        self.ledger.append(line)
        try:
            signed = self.authority.order(self.now, kept.names, action.replaces)
        except Refused as refused:
            if str(refused) == "not proven":
                self.ledger.append(replace(line, kind="failed_validation"))
            self.ledger.append(replace(line, kind="abandoned"))
            self._failed(kept, str(refused), machine)
            return
        exempt = self.authority.issued[-1][2]
        self.ledger.append(replace(line, kind="certificate", exempt=exempt))
        kept.held = replace(signed, stored=machine)
        kept.memory = renewal_state.after_issuance(kept.memory)

    def _failed(self, kept: Keeping, why: str, machine: float) -> None:
        attempt = renewal_state.Attempt(kept.held, machine, self._draw())
        kept.memory = renewal_state.after_failure(kept.memory, ISSUER.directory, why, attempt)

    def _draw(self) -> float:
        self.draws += 1
        return self.draws * 0.6180339887498949 % 1
