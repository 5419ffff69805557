"""Files in which other programs find a certificate: their keys, and what is written.

Table `[[sites."NAME".tls.files]]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from portico.core.model.units import Table

Part = Literal["privkey", "cert", "chain", "fullchain"]
"""Of a certificate, in certbot's words: its private key, itself, its chain, and both of these."""
_CONTENTS: Final[dict[str, tuple[Part, ...]]] = {
    "fullchain": ("fullchain",),
    "privkey": ("privkey",),
    "cert": ("cert",),
    "chain": ("chain",),
    "combined": ("privkey", "fullchain"),
}
_KEY_MODE: Final = 0o600
_MODE: Final = 0o644
Path = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class PemFile:
    path: str
    """Absolute."""
    parts: tuple[Part, ...]
    """One after the other."""
    mode: int
    owner: str | None = None
    """Name or number of a user; None leaves it to who writes the file."""
    group: str | None = None


class CertificateCopies(Table):
    """Files with this certificate for other programs, written again with each new one, before
    `deploy_hook` runs.
    """

    fullchain: Path | None = Field(None, description="File for the certificate with its chain.")
    privkey: Path | None = Field(None, description="File for the private key.")
    cert: Path | None = Field(None, description="File for the certificate alone.")
    chain: Path | None = Field(None, description="File for the rest of the chain.")
    combined: Path | None = Field(
        None, description="File for the private key, the certificate and its chain."
    )
    owner: Name | None = Field(None, description="User who owns these files, such as root.")
    group: Name | None = Field(None, description="Their group, such as dovecot.")
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] | None = Field(
        None,
        description='Their mode, such as "0640"; default: 0600 with a private key, 0644 without.',
    )

    def paths(self) -> Iterator[tuple[str, str]]:
        """Each key that names a file, and the file."""
        for key in _CONTENTS:
            if (path := getattr(self, key)) is not None:
                yield key, path

    def files(self) -> Iterator[PemFile]:
        """Their paths as they are written."""
        for key, path in self.paths():
            parts = _CONTENTS[key]
            default = _KEY_MODE if "privkey" in parts else _MODE
            mode = int(self.mode, 8) if self.mode else default
            yield PemFile(path, parts, mode, self.owner, self.group)
