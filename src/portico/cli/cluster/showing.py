"""`portico cluster show`: who this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from portico.core.model.moments import moment
from portico.system.clock import SystemClock
from portico.system.cluster_identity import AUTHORITY_KEY, ISSUED, read_identity

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.system.cluster_identity import MachineIdentity
    from portico.system.home import Home

RENEWAL_NOTICE: Final = 180 * 86400.0
"""Seconds before the end of a certificate from which on a new one is recommended."""


def show(session: Session) -> None:
    one = read_identity(session.home)
    if one is None:
        if session.json:
            session.show_json(None)
        else:
            session.terminal.write("this machine is in no cluster")
        return
    until, invited = _end(one), _invited(session.home)
    if session.json:
        session.show_json(
            {"cluster": one.cluster, "name": one.name, "until": until, "invited": invited}
        )
        return
    write = session.terminal.write
    write(f"this machine is {one.name} of cluster {one.cluster}")
    write(f"  certificate: {one.certificate}, valid until {moment(until)}")
    write(f"  authority: {one.authority}")
    if invited:
        write(f"  invited from here: {', '.join(invited)}")
    if until - SystemClock().now() < RENEWAL_NOTICE:
        session.terminal.write_labelled(
            "warning",
            f"the certificate is valid until {moment(until)}; run `portico cluster invite "
            f"{one.name} --replace` on the first machine, and join with it here",
        )


def _end(one: MachineIdentity) -> float:
    leaf = x509.load_pem_x509_certificate(Path(one.certificate).read_bytes())
    return leaf.not_valid_after_utc.timestamp()


def _invited(home: Home) -> list[str]:
    """Empty on a machine that cannot invite."""
    if not (home.cluster / AUTHORITY_KEY).exists():
        return []
    return sorted(each.stem for each in (home.cluster / ISSUED).glob("*.pem"))
