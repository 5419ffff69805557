"""Certificates: who makes them, where they are kept, and who else renews."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from portico.core.model.certificate import (
    Certificate,
    Issuer,
    Provenance,
    Refusal,
)
from portico.core.model.order import Accounts, NewCertificate, Order
from portico.core.model.pair import Facts, Findings, OwnCopy, OwnPair, Trust
from portico.core.model.pem_file import PemFile
from portico.core.model.place import CertificateFiles
from portico.core.model.preflight import PreflightFacts
from portico.core.model.renewers import CertbotImport, Renewer
from portico.errors import Failed


class Certificates(Protocol):
    """Calls that have work to do start a child process; Failed when it fails or hangs."""

    def preload(self) -> AbstractAsyncContextManager[None]:
        """For a block in which `local` may be called: where no local authority exists yet, the
        child process loads its libraries meanwhile. Nothing is written.
        """

    async def local(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        """A certificate of the local authority for each lineage, made or renewed where needed."""

    def expected_files(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        """The pairs that `local` would return, without making any; paths may not exist yet."""

    async def own_copies(self, pairs: Sequence[OwnPair]) -> Mapping[OwnPair, OwnCopy]:
        """What nginx is to be given of operators' own pairs, which are copied where they have
        changed and can be used. Cheap where they have not.
        """

    def expected_own_copies(self, pairs: Sequence[OwnPair]) -> Mapping[OwnPair, CertificateFiles]:
        """The copies that there will be, without making any. Blocks."""

    async def examine(self, pairs: Sequence[OwnPair]) -> list[Findings]:
        """What is wrong with operators' own pairs; one answer for each, in their order."""

    async def inspect(self, pairs: Sequence[OwnPair]) -> list[Facts]:
        """What certificates say of themselves, and what keeps them from being used. `names` are
        exactly what a certificate must be for; without any, it may be for whatever it is.
        """

    async def account_key(self, jwk: str) -> str:
        """A private key as PEM, of a JSON Web Key. Raises Failed for one that is none."""

    async def trust(self) -> Trust:
        """Install the local authority's root where the system and browsers look for it."""

    async def untrust(self) -> Trust: ...


class AuthorityError(Failed):
    """An authority said no, or could not be asked; with what follows from it."""

    def __init__(
        self,
        text: str,
        *,
        retry_at: float | None = None,
        unproven: tuple[str, ...] = (),
        limited: bool = False,
        wrong: Mapping[str, str] | None = None,
        unreachable: bool = False,
    ) -> None:
        """`wrong` says why by name, where it was because of single names; `unreachable` whether
        there was no usable answer.
        """
        self.retry_at, self.unproven, self.limited = retry_at, unproven, limited
        self.unreachable = unreachable
        self.wrong = wrong or {}
        super().__init__(text)


KeepOrder = Callable[[Mapping[str, str]], Awaitable[None]]
"""Is given the files of an order, by name, so that it can be continued elsewhere."""


class Authorities(Protocol):
    """Certificate authorities (RFC 8555). Every call is a child process with a deadline, and
    raises AuthorityError.
    """

    async def accounts(self) -> Accounts:
        """No authority is asked. The key is made if there is none."""

    async def key_digest(self) -> str:
        """Of the file of the accounts' key; empty while there is none. Starts no child process."""

    async def prepare_rollover(self, issuers: Sequence[Issuer]) -> Accounts:
        """Make the key that `roll_over` is to give, so that `account_files` has it, after all of
        `issuers` have answered. Where they know that key already, it is the account's key from
        then on, and there is nothing left to do.
        """

    async def roll_over(self, issuers: Sequence[Issuer]) -> Accounts:
        """Give all accounts a new key (RFC 8555 7.3.5); `issuers` are all that have one of ours.

        What was interrupted goes on. Where one of them does not answer at first, nothing is begun.
        """

    async def deactivate(self, issuer: Issuer) -> Accounts:
        """For ever (RFC 8555 7.3.6). Also where that was done already and is not known here."""

    async def issue(
        self,
        order: Order,
        *,
        no_account: Refusal | None,
        made_account: Callable[[], None],
        note: Callable[[str], None],
        keep: KeepOrder | None = None,
    ) -> NewCertificate:
        """The same order goes on where an earlier run was interrupted. If its certificate is to
        have a `preflight`, that has just found nothing.

        `no_account` is why no account may be made now; `made_account` is called if one was, and
        `note` for what an operator should know although nothing has failed. `keep` is called
        before the order is sent and before anything is proven; what it raises is raised, and
        nothing else is sent then.
        """

    async def take_order(self, order: str, files: Mapping[str, str]) -> None:
        """Have it go on here from what `keep` was given elsewhere; where it was begun here with
        the same key, that stays. Starts no child process. Raises Failed.
        """

    async def account_files(self) -> Mapping[str, str]:
        """Of the accounts' key, by name; none while there is none. Starts no child process."""

    async def take_account(self, files: Mapping[str, str]) -> None:
        """Use this key from now on, and its accounts. Starts no child process. Raises Failed."""

    async def preflight(self, order: Order, folders: Sequence[str]) -> PreflightFacts:
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


class PemFiles(Protocol):
    async def write(self, certificate: Certificate, files: Iterable[PemFile]) -> list[str]:
        """Write each file that is not as it should be. Returns what could not be written, and why;
        what was there before is unchanged then.
        """


class Lineages(Protocol):
    """Certificates of authorities on disk. Looking is cheap and never waits for the disk."""

    async def load(self) -> Mapping[str, str]:
        """Read what is there, before anything else, and again to see what was lost or changed;
        rights that are too wide are repaired.

        Returns what is wrong, by lineage: a generation that cannot be used is left out.
        """

    def held(self, lineage: str) -> Certificate | None:
        """The newest complete generation, whether nginx has it or not."""

    def current(self, lineage: str) -> Certificate | None:
        """The generation that was switched to: what nginx is given."""

    async def store(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: Provenance
    ) -> Certificate:
        """Put a chain (PEM, the certificate first) and its private key (a PEM file's path) on
        disk as a new generation, which is not current yet.

        The same certificate stored twice is one generation. Raises Failed, and leaves what there
        was, if pair, names, chain or dates are wrong, or staging would follow production.
        """

    async def take(
        self, lineage: str, names: Sequence[str], chain: str, key: str, about: Provenance
    ) -> Certificate:
        """The same with the private key itself (PEM), of another machine of the cluster."""

    async def switch(self, lineage: str, generation: int) -> Certificate:
        """Make a generation current, here and in the folder that other programs read.

        Older ones go, all but the one that was current before. Raises Failed if it is not there.
        """

    async def put_back(self, lineage: str) -> Certificate | None:
        """Make the one that was current before current again; None where there is none, and then
        what is current stays.
        """

    async def withdraw(self, lineage: str) -> None:
        """Make none current."""

    async def remove(self, lineage: str) -> None:
        """Take the lineage away with all its keys."""

    def folder(self, lineage: str) -> str:
        """Where other programs find `cert.pem`, `chain.pem`, `fullchain.pem` and `privkey.pem`."""

    def folders(self, lineage: str) -> tuple[str, ...]:
        """Everything that is written to for it, there already or not."""

    def names(self) -> list[str]:
        """Every lineage that is on disk, sorted."""


Called = Callable[[Sequence[str]], "str | None"]
"""The site that has exactly these names."""


class Certbot(Protocol):
    """Other programs that keep certificates on this machine: certbot's folder, and renewers."""

    async def take(self, folder: str, called: Called) -> CertbotImport:
        """Take over what certbot keeps in a folder, and mark it there so that certbot leaves it
        alone. Raises NotFound or Failed where the folder cannot be used, and has changed nothing.
        """

    async def give(self, folder: str, certificates: Sequence[Certificate]) -> Mapping[str, str]:
        """Write them into a folder as certbot keeps them, marked so that it leaves them alone.
        Returns by lineage what certbot calls each. Raises Failed or Refused.
        """

    async def renewers(self) -> list[Renewer]: ...
