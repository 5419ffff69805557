"""The file by which one machine joins a cluster: it has a key, and is used once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portico.core.model.cluster import machine_host
from portico.core.model.moments import moment
from portico.errors import Refused
from portico.system.files import write, write_new
from portico.system.x509 import PARSE_ERRORS, is_signed_by, names_of

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Invitation:
    cluster: str
    """A UUID."""
    name: str
    """Of the machine that it is for."""
    authority: str
    """PEM, as the two below."""
    certificate: str
    key: str

    @property
    def serial(self) -> str:
        return f"{self.leaf.serial_number:x}"

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())


def write_invitation(file: Path, invitation: Invitation) -> None:
    """A new file for this user alone. Raises OSError."""
    write_new(file, json.dumps({"v": SCHEMA, **asdict(invitation)}, indent=1) + "\n")


def mark_used(file: Path, invitation: Invitation, now: float) -> None:
    """Take the key out of it. Raises OSError."""
    record = {"v": SCHEMA, "name": invitation.name, "used": moment(now)}
    write(file, json.dumps(record) + "\n")


def read_invitation(file: Path, now: float) -> Invitation:
    """Refused where there is none, or it was used, or its parts do not belong together, or it
    does not hold at this time.
    """
    try:
        record = json.loads(file.read_bytes())
        _assert_usable(file, record)
        found = Invitation(**{key: str(each) for key, each in record.items() if key != "v"})
        assert_consistent(found)
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}; nothing was changed") from error
    except (AttributeError, KeyError, TypeError, *PARSE_ERRORS) as error:
        raise Refused(
            f"cannot join with {file}: it is not an invitation, or it is damaged; nothing was "
            "changed. `portico cluster invite` on the first machine writes one"
        ) from error
    _assert_valid(file, found.leaf, now)
    return found


def _assert_usable(file: Path, record: dict[str, object]) -> None:
    if used := record.get("used"):
        raise Refused(
            f"cannot join with {file}: it was used at {used}; nothing was changed. Create another "
            f"with `portico cluster invite {record['name']} --replace` on the first machine"
        )
    if record["v"] != SCHEMA:
        raise Refused(
            f"cannot join with {file}: another version of Portico wrote it; nothing was changed. "
            "Install the same version on both machines"
        )


def assert_consistent(found: Invitation) -> None:
    """Raises PARSE_ERRORS."""
    authority = x509.load_pem_x509_certificate(found.authority.encode())
    subject = found.leaf.subject.rfc4514_string()
    key = load_pem_private_key(found.key.encode(), None)
    if (
        not is_signed_by(found.leaf, authority)
        or subject != f"OU={found.name},O={found.cluster}"
        or names_of(found.leaf) != {machine_host(found.name)}
        or key.public_key() != found.leaf.public_key()
    ):
        raise ValueError("its parts are of different invitations")


def _assert_valid(file: Path, leaf: x509.Certificate, now: float) -> None:
    start, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    if now < start:
        raise Refused(
            f"cannot join with {file}: its certificate is valid from {moment(start)}, and the "
            f"clock of this machine says {moment(now)}; nothing was changed. Set the clock of the "
            "machine where it is wrong"
        )
    if now > end:
        raise Refused(
            f"cannot join with {file}: its certificate was valid until {moment(end)}, and the "
            f"clock of this machine says {moment(now)}; nothing was changed. Create another "
            "invitation, or set the clock"
        )
