"""certbot's folder (`/etc/letsencrypt` or a copy of it), and single renewal files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portico.errors import Failed
from portico.importers.certbot import CertbotLineage, read_folder, read_lineage
from portico.stack.model import Gap, Lineage, Place, Stack


def read_certbot(path: Path) -> Stack:
    """Raises a PorticoError where the folder, or the file, cannot be read."""
    if path.is_dir():
        folder = read_folder(path)
        found, unread = folder.lineages, folder.troubles
    else:
        above = path.parent
        home = above.parent if above.name == "renewal" else above
        found, unread = (read_lineage(home, path),), ()
    stack = sum((_stack(each) for each in found), Stack())
    return stack + Stack(gaps=tuple(Gap(Place(str(path)), "", why) for why in unread))


def _stack(read: CertbotLineage) -> Stack:
    place = Place(str(read.conf))
    gaps = [Gap(place, "", note) for note in read.notes]
    try:
        names = tuple(_names(read.chain))
    except Failed as failed:
        names = ()
        gaps.append(Gap(place, f"fullchain = {read.chain}", str(failed)))
    lineage = Lineage(
        read.name, names, place, str(read.chain), str(read.key), read.settings, read.params
    )
    return Stack(lineages=(lineage,), gaps=tuple(gaps), files=(str(read.conf),))


def _names(chain: Path) -> Iterator[str]:
    from portico.system.x509 import PARSE_ERRORS, names_of, read_chain  # noqa: PLC0415 - slow

    try:
        yield from sorted(names_of(read_chain(chain.read_bytes())[0]))
    except OSError as error:
        why = error.strerror
        raise Failed(f"cannot read {chain}: {why}; its host names are unknown") from error
    except PARSE_ERRORS as error:
        raise Failed(f"cannot read {chain}: it is not a certificate") from error
