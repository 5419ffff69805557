"""The reference of PM2's attributes, from the table that reads them."""

from __future__ import annotations

from typing import Final

from portico.importers.pm2_attributes import ATTRIBUTES, TOP_LEVEL, Attribute, Mapped, Read

_HEAD: Final = """\
# Files of PM2

<!-- Written by scripts/reference from the code; change src/portico/importers/ there. -->

`portico up ecosystem.config.js` runs a PM2 file as it stands (also `.cjs`, `.mjs`, `.json`,
`.yaml`; JavaScript is evaluated by the Node in your PATH). `--env NAME` adds `env_NAME`.

- An instance listens where its variable `PORT` or `port` says, and that variable keeps its name.
  An app of one instance with neither runs without a port until a site is put before it.
- Entries that run one program on several ports become peers of one upstream, named after what
  their names begin with.
- `--site NAME` puts what the file runs behind a site; `--site NAME=APP` says which, where there
  are several. For more than that, write a `portico.toml` beside it with
  `ecosystem = "ecosystem.config.js"`: its own `[apps]` and `[upstreams]` win, key by key.
- Programs get the whole environment of the shell (`inherit_env`) and are stopped by SIGINT.

What a file asks for and Portico does not do is told by name whenever the file is read.

| attribute | also | here |
|---|---|---|
"""


def reference() -> str:
    """The text of `docs/reference/pm2.md`."""
    rows = [
        *map(_row, ATTRIBUTES),
        "| `env_NAME` | | env, with `--env NAME` |",
        *(f"| `{name}` (beside `apps`) | | {why} |" for name, why in TOP_LEVEL.items()),
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _row(attribute: Attribute) -> str:
    first, *more = attribute.words
    also = ", ".join(f"`{word}`" for word in more)
    return f"| `{first}` | {also} | {_here(attribute)} |"


def _here(attribute: Attribute) -> str:
    match attribute:
        case Mapped(key=key, how=how):
            return f"`{key}`" + (f": {how}" if how else "")
        case Read(how=how):
            return how
        case _:
            return attribute.why
