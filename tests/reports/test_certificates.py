"""Public reports about certificates: names that fail, files that others renew."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from portico.core.model.pair import OwnPair
from portico.system.home import Home
from tests.fakes.certificates_kept import Keeping, desired_of
from tests.fakes.clock import FakeClock
from tests.issuing import IssuingHere
from tests.signing import Signer


@pytest.mark.parametrize("lost", [["c.example.com"], ["a.example.com", "c.example.com"]])
def test_the_names_that_can_be_validated_have_a_certificate(tmp_path, lost):
    """https://github.com/nginx-proxy/acme-companion/issues/935: with several hosts in one
    container, one that fails leaves the others without a certificate.
    """
    keeping = Keeping(tmp_path, ["a.example.com"])
    names = ["a.example.com", "b.example.com", "c.example.com"]
    keeping.desired = desired_of(names[:1], of_sites={names[0]: {"aliases": names[1:]}})
    keeping.authority.unproven = set(lost)
    keeping.look()
    held = keeping.lineages.given["a.example.com"]
    assert held.names == tuple(name for name in names if name not in lost)


@pytest.mark.parametrize("way", ["another link", "another file", "the same file"])
def test_certificates_that_another_program_has_renewed_are_served(tmp_path, way):
    """https://github.com/traefik/traefik/issues/3272 and
    https://github.com/traefik/traefik/issues/7202: files that certbot or rsync has renewed, often
    links below `live`, are served only after a restart.
    """
    signer, live = Signer(), tmp_path / "live"
    clock = FakeClock(time.time())
    pair = OwnPair(str(live / "cert.pem"), str(live / "key.pem"), ("a.test",))
    child = IssuingHere(Home(tmp_path / "home"), clock)
    served = []
    for number in range(2):
        signed = signer.sign("a.test", at=clock.now() - 60)
        place(live, number, {"cert.pem": signed.chain, "key.pem": signed.key}, way)
        copy = asyncio.run(child.own_copies([pair]))[pair]
        assert Path(copy.files.certificate).read_text() == signed.chain
        served.append(copy.files)
    assert served[0] != served[1], "nginx keeps what it has read of a path"


def place(live: Path, number: int, files: dict[str, str], way: str) -> None:
    live.mkdir(exist_ok=True)
    for name, text in files.items():
        path = live / name
        if way == "the same file":
            path.write_text(text)
            continue
        new = live / f"{name}.{number}"
        new.write_text(text)
        if way == "another link":
            link = live / f"{name}.new"
            link.symlink_to(new.name)
            new = link
        new.replace(path)
