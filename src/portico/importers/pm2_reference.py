"""The reference of PM2's attributes, from the table that reads them."""

from __future__ import annotations

from typing import Final

from portico.importers.pm2_attributes import (
    ATTRIBUTES,
    TOP_LEVEL,
    Attribute,
    MappedAttribute,
    PartialAttribute,
)

_HEAD: Final = """\
# PM2 files

<!-- Written by scripts/reference from the code; change src/portico/importers/ there. -->

`portico up ecosystem.config.js` runs a PM2 file unchanged (also `.cjs`, `.mjs`, `.json`,
`.yaml`; JavaScript is evaluated by the Node in your PATH). `--env NAME` adds `env_NAME`.

- An instance listens on the port in its variable `PORT` or `port`; the variable keeps its name.
  An app with one instance and neither runs without a port until it has a site. It may listen on a
  fixed port, so that it is stopped before its successor starts. With a site it gets a `PORT`; if
  it listens on a port of its own all the same, requests are sent there (`find_port`), and a
  program of Node is replaced without losing a request (`port_fallback`).
- Several instances of a cluster have a port each. A program that listens on a fixed port does so
  in one of them, and on `PORT` in the others (`port_fallback`).
- What is not ready after `listen_timeout` continues, as with PM2. If no site sends requests to it
  it counts as ready, so that a cluster of programs that listen nowhere is one of workers.
- Entries that differ in nothing but the port (and the files of `logs`) become peers of one
  upstream, named after the common start of their names. Others are separate apps.
- `--site NAME` adds a site for the file's app; `--site NAME=APP` selects one of several. For more,
  write a `portico.toml` next to it with `ecosystem = "ecosystem.config.js"`: its own `[apps]` and
  `[upstreams]` take precedence, key by key.
- `--only APP,APP` starts no other apps of the file; those that run are unchanged.
- JavaScript sees `--env NAME` and `--only` in `process.argv`, as under `pm2 start`.
- Programs get the whole environment of the shell (`inherit_env`), `name` and `pm_id`, an
  input that never ends, and are stopped with SIGINT.

Attributes that are not supported are listed whenever the file is read.

| attribute | also | here |
|---|---|---|
"""


def reference() -> str:
    """The text of `docs/reference/pm2.md`."""
    rows = [
        *map(_row, ATTRIBUTES),
        "| `env_NAME` | | env, with `--env NAME` |",
        *(f"| `{name}` (next to `apps`) | | {why} |" for name, why in TOP_LEVEL.items()),
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _row(attribute: Attribute) -> str:
    first, *more = attribute.words
    also = ", ".join(f"`{word}`" for word in more)
    return f"| `{first}` | {also} | {_equivalent(attribute)} |"


def _equivalent(attribute: Attribute) -> str:
    match attribute:
        case MappedAttribute(key=key, how=how):
            return f"`{key}`" + (f": {how}" if how else "")
        case PartialAttribute(how=how):
            return how
        case _:
            return attribute.why
