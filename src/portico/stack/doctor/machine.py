"""What the machine says of itself, as a value: rules neither read files nor ask the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FileFacts:
    exists: bool = True
    mode: int = 0o644
    owner: int = 0
    public_key: str = ""
    """Digest of the public key of a certificate or of a key; empty where it could not be read."""
    names: tuple[str, ...] = ()
    """Host names that a certificate covers."""
    expires: float | None = None
    """Moment at which a certificate ends, in seconds since 1970."""
    has_ocsp: bool = True
    """Whether a certificate names a responder that could be asked for a status to staple."""
    certificates: int = 0
    """How many there are in the file."""
    key_bits: int = 0
    """Of an RSA key, or of the parameters of a Diffie-Hellman exchange."""
    self_signed: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    program: str = ""
    """`node`; empty where it is not known."""
    beyond_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """Empty, None or absent is what was not looked at: no rule judges by it."""

    nginx: tuple[int, ...] = ()
    """Version of the nginx that serves."""
    nginx_arguments: str = ""
    """What it was configured with, as `nginx -V` prints it."""
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    """By the path that the stack names. Absent where nothing can be said of it."""
    listening: Mapping[int, Listener] | None = None
    """By port of TCP."""
    memory: int | None = None
    """Bytes."""
    cores: int | None = None
    open_files: int | None = None
    """Limit of open files of the nginx that serves, or of what starts it."""
    renewers: tuple[str, ...] = ()
    """Where something else is that renews certificates: a file with line, a timer."""
    deploy_hooks: bool = False
    """Whether certbot's folder has a script that runs after each renewal."""
    rotated: tuple[str, ...] | None = None
    """Patterns of the paths that logrotate rotates."""
    pm2_rotates: bool = False
    """Whether PM2 has its module that rotates logs."""
    now: float | None = None

    def file(self, path: str) -> FileFacts | None:
        return self.files.get(path)

    def nginx_before(self, *version: int) -> bool | None:
        """None where the version is unknown."""
        return self.nginx < version if self.nginx else None
