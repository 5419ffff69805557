"""What the entries of a PM2 file are read with, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["missing", "text", "program", "folder"]
"""What a path is: nothing, a text that an interpreter reads, or what the system itself runs."""
Values = Mapping[str, object]
"""The attributes of an app by PM2's main words, each as `pm2_attributes` has read it."""
Table = dict[str, object]
"""A table of portico.toml."""


@dataclass(frozen=True, slots=True)
class Pm2Context:
    """What the meaning of a PM2 file depends on."""

    look: Callable[[str], Kind]
    """At a path, relative ones from the folder that the file's paths start in."""
    which: Callable[[str], str | None] = lambda _: None
    """The path of a program in PATH."""
    sends: Callable[[str], bool] = lambda _: True
    """Whether the script at a path, or a file that it loads by a relative path, may report that it
    is ready."""
    python: str = "python3"
    """The Python that runs Portico's own programs."""
    cores: int = 1
    home: str = "/"
    environment: str | None = None
    """The NAME of `--env NAME`."""
    only: tuple[str, ...] = ()
    """The names of `--only a,b`; empty for all."""
    base: str = ""
    """Folder that relative paths start in, where that is not the file's own."""
