"""What portico needs from the outside world, in its own words. Adapters implement these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from portico.core.model.certificate import (
    About,
    Certificate,
    Entry,
    Issuer,
    KeyType,
    Lineage,
    RenewalState,
)
from portico.core.model.check import Check
from portico.core.model.desired import Listeners, Spec
from portico.core.model.included import Line
from portico.core.model.instance import Exit, Instance, Listening, LogFiles, Process
from portico.core.model.names import PROJECT, InstanceId
from portico.core.model.place import Build, CertificateFiles
from portico.core.model.site import Site
from portico.core.model.watched import Look, Watched
from portico.core.model.world import Endpoint, NginxSeen
from portico.core.planning.ledger import Refusal
from portico.core.planning.ownership import Answering
from portico.core.planning.preflight import Seen
from portico.errors import Failed


class Clock(Protocol):
    def now(self) -> float:
        """Wall time, seconds since 1970. For people and certificates only."""

    def monotonic(self) -> float:
        """Seconds since boot, suspend included; the same for every process of this boot."""

    def jitter(self) -> float:
        """A number in [0, 1), evenly spread."""

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that starting one instance takes."""

    instance: InstanceId
    spec: Spec
    slot: int
    port: int


class Processes(Protocol):
    """Starts, watches and signals instances; they outlive this process."""

    async def spawn(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        """Start the program in its own session, its output appended to its log files.

        Reads env_file, resolves cwd and finds the program afresh every time. `on_exit` is called
        once, in the event loop, when nothing of all that it has started is left. Raises Failed
        with every reason why it cannot start (no such program, folder or user, a bad env_file).
        """

    async def adopt(
        self, launch: Launch, process: Process, on_exit: Callable[[Exit], None]
    ) -> bool:
        """Watch a process that an earlier daemon has started so; False when it is not there any
        more.
        """

    async def find(self, since: Sequence[tuple[Launch, float]]) -> Mapping[InstanceId, Process]:
        """Processes that were started so after these moments (of `Clock.monotonic`), by a daemon
        of the same home that did not live to note them. None of another user's.
        """

    async def end_orphans(self, lost: Sequence[tuple[Launch, Process | None]]) -> None:
        """End what earlier processes of these instances have left behind while no daemon lived;
        the process that was found for one stays.
        """

    async def answering(self, asked: Sequence[tuple[Process, int]]) -> list[Answering]:
        """Of each process and port, who takes connections to 127.0.0.1 and that port."""

    def signal(self, process: Process, name: str) -> None:
        """Send `SIGTERM` and the like to the instance's process group, if it still is that one.

        Where the first process has ended and others that it has started have not, those that are
        in sessions of their own are sent it then, `on_exit` waits for all of them for a minute
        after the last signal, and SIGKILL ends them at once.
        """

    async def problems(self, launch: Launch) -> list[str]:
        """Why this could not be started, without starting it; empty if it could."""

    async def run_check(self, launch: Launch, check: Check) -> str | None:
        """Run the check's command with what the instance is run with: environment, folder, user.

        None when it exits with 0, else what was wrong in a few words. At its timeout it is
        killed with all that it has started.
        """

    async def measure(self) -> None:
        """Look at what all instances use, unless that was done just now."""

    def usage(self, process: Process) -> tuple[int, float]:
        """Resident bytes with all children, and percent of a core since it was measured before;
        as they were when all were measured last.
        """

    async def resident(self, processes: Sequence[Process]) -> list[int]:
        """Resident bytes of each with all its children; 0 for one that has ended.

        What several of its processes share is counted in each.
        """


@dataclass(frozen=True, slots=True)
class Notice:
    """What a process has said of itself."""

    sessions: frozenset[int]
    """Its own and those of the processes that it descends from, as the kernel knows it: the pids
    of their leaders."""
    ready: bool = False
    status: str | None = None
    """One line in its own words; None if it said nothing of the kind."""


class Notices(Protocol):
    """Hears what programs say by sd_notify(3), and Node programs by process.send."""

    def heard(self) -> Sequence[Notice]:
        """What each has said since this was last asked; that of then is done with."""


class TcpPorts(Protocol):
    """TCP ports of this machine."""

    async def free(self, avoid: frozenset[int]) -> int:
        """A loopback port that nothing listens on and nobody can guess, outside the system's
        ephemeral range as long as one is free there.
        """

    async def holder(self, port: int) -> str | None:
        """`pid 812 (node)`, with its user if that is another than ours, if something listens on
        the port, else None.
        """

    async def established(self, ports: frozenset[int]) -> Mapping[int, int]:
        """How many established connections each of these local ports has."""

    async def listening(self, process: Process) -> frozenset[Listening]:
        """Where a process, its session's or its children's processes listen on TCP."""


class Logs(Protocol):
    """The files that instances write their output to."""

    def files(self, spec: Spec, slot: int) -> LogFiles: ...

    def begin(self, spec: Spec, slot: int) -> None:
        """A process is about to start: `last_lines` shows only what is written from now on."""

    async def last_lines(self, spec: Spec, slot: int, count: int) -> list[str]:
        """The last lines of standard output and then of standard error, `count` of each at most.

        Reads no more than the last 64 KiB of a file; one that cannot be read has no lines.
        """

    async def sizes(self, paths: Sequence[str]) -> Mapping[str, int]:
        """Bytes, of each; 0 where there is no such file."""

    async def rotate(self, spec: Spec, path: str, max_size: int, keep: int) -> str | None:
        """Move what a file larger than `max_size` holds to PATH.1; it stays open for writing.
        Where the app's user can write its folder, this is done with that user's rights.

        Returns None, or why this could not be done (a full disk, …); it never raises.
        """


class Disks(Protocol):
    async def full(self, folders: Iterable[str]) -> Mapping[str, str]:
        """Those of these folders, and PORTICO_HOME, whose disk has no room left: one sentence for
        all folders of a disk.
        """


class Files(Protocol):
    """Tells which of the operator's files have changed."""

    async def look(self, wanted: Mapping[str, Watched]) -> Mapping[str, Look]:
        """What has changed since the last look, by the names of `wanted`.

        What is new in `wanted` is watched from now on, what is not in it any more is not.
        """


class Discovery(Protocol):
    """Answers nginx's question where the instances of an app are (DNS SRV)."""

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> int:
        """From now on answer this for the app; returns the number of this version."""

    def withdraw(self, app: str) -> None:
        """The app exists no more."""

    def acknowledged(self, app: str) -> tuple[int, float]:
        """The newest version that every nginx worker that asks has been sent, and when the last
        of them was (`Clock.monotonic`); 0 if this daemon was not asked about the app yet.
        """

    @property
    def address(self) -> str:
        """`127.0.0.1:5353`, for nginx's `resolver`; the same over restarts."""


class Held(NamedTuple):
    """Open sockets that keep an address for whoever inherits them: nginx, that of discovery."""

    address: str = ""
    sockets: tuple[int, ...] = ()


class Probes(Protocol):
    async def probe(self, check: Check, port: int) -> str | None:
        """Ask an instance once, at its port; None when it is well, else what was wrong in a few
        words. Not for a check that is a command.
        """


class Sites(Protocol):
    async def ask(
        self, name: str, site: Site, listeners: Listeners, *, proxied: bool = False
    ) -> str | None:
        """Ask a site for its first page through nginx, as a visitor would, certificate unchecked.

        `proxied` says that nginx expects the PROXY protocol, which holds for all of a listener.
        None when something behind nginx answered, else what was wrong in a few words.
        """

    async def served(
        self,
        name: str,
        listeners: Listeners,
        *,
        proxied: bool = False,
        rsa: bool | None = None,
    ) -> set[str]:
        """Fingerprints (SHA-256, lower case hexadecimal) of the certificates that a handshake
        for the name gets, on every address that nginx listens on; empty text for no answer.

        With `rsa` set, of one who can check no other kind of key than RSA, or than ECDSA.
        """


@dataclass(frozen=True, slots=True)
class Tested:
    """A generation that nginx has tested and that can be switched to."""

    number: int
    fingerprint: str


class Nginx(Protocol):
    """The real nginx: finds it, tests, starts, reloads and watches it."""

    async def build(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        """The nginx to use: the one named, else a system's that is new enough and can do all
        that is needed (words of `Build.can`), else the wheel's.

        Raises Refused when the one named is missing or too old, and says what it lacks.
        """

    def seen(self) -> NginxSeen:
        """Whether the master runs and what it serves. Cheap enough for every round."""

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call back, in the event loop, whenever a running master has died."""

    async def install(
        self, files: Mapping[str, str], fingerprint: str, build: Build | None = None
    ) -> Tested:
        """Write a complete new generation and test it with `nginx -t`; what is live stays.

        `files` is name to text; `nginx.conf` is the main one. The build is the one that they are
        for; the one found last if unset. Raises Failed with nginx's own words, and leaves nothing
        behind.
        """

    def included(self, path: str) -> tuple[Line, ...]:
        """The lines of an operator's file, with those that it includes in their place. Blocks.

        A file that cannot be read is one line `include`: nginx has its own word on it.
        """

    async def discard(self, generation: Tested) -> None:
        """Take away what was installed and shall not be switched to."""

    async def switch(self, generation: Tested) -> None:
        """Make nginx serve the generation: start it, or reload it and see it taken over.

        Raises Failed, with the previous generation in force, if the new one does not come up.
        """

    async def start(self) -> None:
        """Start nginx on the generation that is current. Raises Failed (a port in use, …)."""

    async def upgrade(self, build: Build | None) -> None:
        """Replace the program that runs by this build of it, losing no request; its files stay.

        Does nothing where that one runs already, and first ends what another daemon has begun
        of this: `seen().is_upgrade_interrupted`. Raises Failed; then the one before serves on.
        """

    async def stop(
        self, *, graceful: bool, should_abort: Callable[[], bool] = lambda: False
    ) -> None:
        """End it. A graceful end takes no new connection and lets requests finish, as long as the
        files grant them, and until `should_abort` says not to wait any longer.
        """

    async def rotate(self, max_size: int, keep: int) -> Mapping[str, str | None]:
        """Rename log files that are larger and have nginx open new ones; `keep` old ones stay.

        For every log file by its path: what went wrong, or None.
        """


@dataclass(frozen=True, slots=True)
class OwnPair:
    """An operator's own certificate and key, two PEM files, and the names they must cover."""

    certificate: str
    key: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at an operator's pair has shown."""

    problems: tuple[str, ...] = ()
    """Why it cannot be used: no match, names not covered, expired, …"""
    notes: tuple[str, ...] = ()
    """What works and is worth knowing: expires soon, a key that everybody may read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says of itself; moments are seconds since 1970."""

    problems: tuple[str, ...]
    """Why it cannot be used with its key; then the rest may be empty."""
    names: tuple[str, ...] = ()
    serial: str = ""
    not_before: float = 0.0
    not_after: float = 0.0
    issuer: str = ""
    """Common name of who signed it."""
    ari_id: str = ""
    key_type: KeyType | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """Where the root of the local authority was installed, or taken away."""

    root: str
    """Its PEM file."""
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    """Places that were left as they are, each with why and what to type instead."""


class Certificates(Protocol):
    """Calls that have work to do start a child process; Failed when it fails or hangs."""

    async def local(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        """A certificate of the local authority for each lineage, made or renewed where needed."""

    def expected(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        """The pairs that `local` would return, without making any; paths may not exist yet."""

    async def examine(self, pairs: Sequence[OwnPair]) -> list[Findings]:
        """What is wrong with operators' own pairs; one answer for each, in their order."""

    async def inspect(self, pairs: Sequence[OwnPair]) -> list[Facts]:
        """What certificates say of themselves, and what keeps them from being used. `names` are
        exactly what a certificate must be for; without any, it may be for whatever it is.
        """

    async def account_key(self, jwk: str) -> str:
        """A private key as PEM, of a JSON Web Key. Raises Failed for one that is none."""

    async def json_web_key(self, pem: str) -> str: ...

    async def trust(self) -> Trust:
        """Install the local authority's root where the system and browsers look for it."""

    async def untrust(self) -> Trust: ...


@dataclass(frozen=True, slots=True)
class Obtained:
    """A new certificate, checked, and not yet put where it belongs."""

    chain: str
    """PEM, the certificate first, as the authority sent it."""
    key: str
    """PEM file of its private key; it stays until `forget`."""
    replaced: bool
    """The authority took it as a renewal that its limits do not count (RFC 9773 5)."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Our accounts, which all have one key, as far as it is known here."""

    thumbprint: str
    """Of that key (RFC 7638)."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """By directory."""
    deactivated: Mapping[str, str] = field(default_factory=dict)
    """Those that are so for ever; none is made there as long as we have this key."""
    halfway: bool = False
    """The key is being replaced, and not every authority has the new one yet."""


class AuthorityError(Failed):
    """An authority said no, or could not be asked; with what follows from it."""

    def __init__(
        self,
        text: str,
        *,
        retry_at: float | None = None,
        unproven: tuple[str, ...] = (),
        limited: bool = False,
    ) -> None:
        self.retry_at, self.unproven, self.limited = retry_at, unproven, limited
        super().__init__(text)


class Authorities(Protocol):
    """Certificate authorities (RFC 8555). Every call is a child process with a deadline, and
    raises AuthorityError.
    """

    async def accounts(self) -> Accounts:
        """No authority is asked. The key is made if there is none."""

    async def roll_over(self, issuers: Sequence[Issuer]) -> Accounts:
        """Give all accounts a new key (RFC 8555 7.3.5); `issuers` are all that have one of ours.

        What was interrupted goes on. Where one of them does not answer at first, nothing is begun.
        """

    async def deactivate(self, issuer: Issuer) -> Accounts:
        """For ever (RFC 8555 7.3.6). Also where that was done already and is not known here."""

    async def issue(
        self,
        lineage: Lineage,
        issuer: Issuer,
        order: str,
        replaces: str | None,
        *,
        no_account: Refusal | None,
        made_account: Callable[[], None],
    ) -> Obtained:
        """The same order goes on where an earlier run was interrupted.

        `no_account` is why no account may be made now; `made_account` is called if one was.
        """

    async def preflight(
        self, lineage: Lineage, issuer: Issuer, order: str, folders: Sequence[str]
    ) -> Seen:
        """What can be seen from here that decides whether the order would end well. `folders` are
        those that its certificate will be written to.
        """

    async def forget(self, order: str) -> None:
        """Its certificate is stored, or is wanted no more."""

    async def renewal_window(
        self, issuer: Issuer, certificate: Certificate
    ) -> tuple[float, float, str, float]:
        """Start, end, a page for people, and when to ask again (RFC 9773 4.2)."""

    async def revoke(self, issuer: Issuer, certificate: Certificate, reason: int) -> None: ...


class Hooks(Protocol):
    async def run(
        self, command: tuple[str, ...], environ: Mapping[str, str], deadline: float
    ) -> str | None:
        """Run an operator's program; None if it ended well, else what was wrong."""


class Lineages(Protocol):
    """Certificates of authorities on disk. Looking is cheap and never waits for the disk."""

    async def load(self) -> Mapping[str, str]:
        """Read what is there, once, before anything else; rights that are too wide are repaired.

        Returns what is wrong, by lineage: a generation that cannot be used is left out.
        """

    def held(self, lineage: str) -> Certificate | None:
        """The newest complete generation, whether nginx has it or not."""

    def current(self, lineage: str) -> Certificate | None:
        """The generation that was switched to: what nginx is given."""

    async def store(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: About
    ) -> Certificate:
        """Put a chain (PEM, the certificate first) and its private key (a PEM file's path) on
        disk as a new generation, which is not current yet.

        The same certificate stored twice is one generation. Raises Failed, and leaves what there
        was, if pair, names, chain or dates are wrong, or staging would follow production.
        """

    async def switch(self, lineage: str, generation: int) -> Certificate:
        """Make a generation current, here and in the folder that other programs read.

        Older ones go, all but the one that was current before. Raises Failed if it is not there.
        """

    async def put_back(self, lineage: str) -> Certificate | None:
        """Make the one that was current before current again; None where there is none, and then
        what is current stays.
        """

    async def remove(self, lineage: str) -> None:
        """Take the lineage away with all its keys."""

    def folder(self, lineage: str) -> str:
        """Where other programs find `cert.pem`, `chain.pem`, `fullchain.pem` and `privkey.pem`."""

    def folders(self, lineage: str) -> tuple[str, ...]:
        """Everything that is written to for it, there already or not."""

    def names(self) -> list[str]:
        """Every lineage that is on disk, sorted."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A lineage of certbot that is one of ours now."""

    name: str
    names: tuple[str, ...]
    issuer: str
    """Directory URL."""
    settings: Mapping[str, object]
    """As in the table `[sites."NAME".tls]`."""
    signed: Mapping[str, float]
    """Serial and moment of this certificate and of those before it: the authority counts them."""
    notes: tuple[str, ...] = ()
    """What goes another way here, and what is left to do."""


@dataclass(slots=True)
class Taken:
    """What has become of each of certbot's lineages."""

    lineages: list[TakenOver] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What stays with certbot, each with why."""
    notes: list[str] = field(default_factory=list)
    account: str = ""
    """URL of the account that was taken over; empty if none was."""


@dataclass(frozen=True, slots=True)
class Renewer:
    """Somebody else on this machine who renews certificates."""

    where: str
    """Its file, with a line number for a crontab."""
    what: str
    """The line, or the name of the timer."""
    remedy: str


Called = Callable[[Sequence[str]], "str | None"]
"""The site that has exactly these names."""


class Certbot(Protocol):
    """Other programs that keep certificates on this machine: certbot's folder, and renewers."""

    async def take(self, folder: str, called: Called) -> Taken:
        """Take over what certbot keeps in a folder, and mark it there so that certbot leaves it
        alone. Raises NotFound or Failed where the folder cannot be used, and has changed nothing.
        """

    async def give(self, folder: str, certificates: Sequence[Certificate]) -> Mapping[str, str]:
        """Write them into a folder as certbot keeps them, marked so that it leaves them alone.
        Returns by lineage what certbot calls each. Raises Failed or Refused.
        """

    async def renewers(self) -> list[Renewer]: ...


@dataclass(frozen=True, slots=True)
class Revision:
    """One applied file."""

    number: int
    applied: float
    """Wall time."""
    who: str
    source: str
    """Path of the file, or the command that made this revision."""
    folder: str
    document: Mapping[str, object]
    """The file as JSON values, as it was read."""
    environ: Mapping[str, str]
    served: bool = False
    """Its `up` ended well: every app was ready and every site answered."""
    project: str = PROJECT
    """Each project has one file in force."""


@dataclass(frozen=True, slots=True)
class AppRecord:
    """What is remembered of an app beside its file."""

    name: str
    target: Spec
    """The version being rolled out, or in force."""
    good: Spec | None
    """The last version whose instances were all ready."""
    stopped: bool = False
    abrupt: bool = False
    reverted: str = ""
    """Why the last rollout was given up: `target` is the version before the file's then."""


class State(Protocol):
    """The one SQLite file. Every call is done when it returns; Failed when it cannot be.

    What an operator said (revisions, apps, settings) is then on disk and survives a power cut.
    What is only true while the machine runs (instances, serials, events) survives the death of
    this process.
    """

    def together(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """All writes within are done at the end, or none of them: one transaction.

        Nothing may be awaited in it. If not `durable`, what is written survives the death of
        this process and not a power cut, whatever it is.
        """

    def revisions(self) -> list[Revision]:
        """Newest first."""

    def add_revision(self, revision: Revision) -> Revision:
        """Returns it with its number."""

    def put_revision(self, revision: Revision) -> None:
        """The same revision, with more known of it."""

    def apps(self) -> list[AppRecord]: ...

    def put_app(self, record: AppRecord) -> None: ...

    def drop_app(self, name: str) -> None: ...

    def instances(self) -> list[Instance]: ...

    def put_instance(self, instance: Instance) -> None: ...

    def drop_instance(self, instance: InstanceId) -> None: ...

    def specs(self) -> Mapping[str, Spec]:
        """Every version that an app record or an instance refers to, by id."""

    def next_serial(self, app: str) -> int:
        """The number of the next instance this app gets; never given twice in one boot."""

    def setting(self, name: str) -> str | None: ...

    def put_setting(self, name: str, value: str) -> None: ...

    def renewal_states(self) -> Mapping[str, RenewalState]:
        """What is remembered of certificates, by lineage."""

    def renewal_state(self, lineage: str) -> RenewalState:
        """An empty one for a lineage that nothing is known of."""

    def put_renewal_state(self, renewal: RenewalState) -> None: ...

    def drop_renewal_state(self, lineage: str) -> None: ...

    def ledger_since(self, at: float) -> list[Entry]:
        """Entries of that moment and later, oldest first."""

    def last_entry(self) -> int:
        """The number of the newest entry, another one for each; 0 if there is none."""

    def add_ledger(self, entries: Sequence[Entry]) -> None: ...

    def no_ledger_after(self, now: float) -> None:
        """Entries written by a clock that was ahead count as written now."""

    def add_event(self, at: float, kind: str, subject: str, text: str) -> None:
        """Where it cannot be recorded the log has it instead: nothing is refused for that."""

    def events(self, limit: int) -> list[tuple[float, str, str, str]]:
        """Newest first: wall time, kind, subject, text."""
