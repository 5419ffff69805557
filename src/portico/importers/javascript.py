"""Asks Node what a JavaScript file of settings exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from portico.system.commands import run_in_group
from portico.system.text import file_error

EVALUATION_TIMEOUT: Final = 10.0  # seconds that a file of settings may take
_MAX_ANSWER_SIZE = 16 << 20  # bytes of an answer
_ERROR_LINES = 10  # lines of an error of the file
_NODE_FRAME = re.compile(r"\s+at .*(node:|\[eval\])|Node\.js v\d")

# The answer goes to a file descriptor of its own, so that the file may print what it likes.
# `import` takes CommonJS and modules alike; a .json file may have comments, as PM2 allows.
_READER_SCRIPT: Final = r"""
const fs = require('node:fs');
const [file, output, ...options] = process.argv.slice(1);
process.argv = [process.argv[0], 'pm2', 'start', file, ...options];
const answer = (message) => {
  fs.writeFileSync(Number(output), JSON.stringify(message, plain));
  process.exit(0);
};
const plain = (key, value) => {
  if (typeof value === 'function') return '[function]';
  if (typeof value === 'bigint' || value instanceof RegExp) return String(value);
  return value;
};
const read = async () => {
  if (file.endsWith('.json')) {
    const text = fs.readFileSync(file, 'utf8');
    return judge(require('node:vm').runInThisContext(`(${text}\n)`, { filename: file }));
  }
  const found = await import(require('node:url').pathToFileURL(file).href);
  const exported = 'default' in found ? found.default : { ...found };
  return judge(exported && exported.__esModule && exported.default ? exported.default : exported);
};
const judge = (value) => {
  if (typeof value === 'function') return { is: 'function' };
  if (value && typeof value.then === 'function') return { is: 'promise' };
  if (value === null || typeof value !== 'object') return { is: String(value) };
  return { is: 'object', value };
};
read()
  .then(answer)
  .catch((error) => answer({ is: 'error', words: String((error && error.stack) || error) }));
"""


def evaluate(
    path: Path,
    environ: Mapping[str, str],
    words: Sequence[str] = (),
    *,
    within: float = EVALUATION_TIMEOUT,
) -> object:
    """The object or list that the file exports, as JSON values.

    `words` follow `pm2 start FILE` in the file's process.argv: `--env production`.

    Raises ConfigError when there is no Node, when the file throws, ends the process or hangs,
    and when it exports something else. `within` is in seconds.
    """
    node = shutil.which("node", path=environ.get("PATH"))
    if node is None:
        raise file_error(path, "is evaluated by Node, but node is not in PATH", "install Node")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        argv = [node, "-e", _READER_SCRIPT, "--", str(path), str(output.fileno()), *words]
        code = _run(argv, output, errors, environ, within)
        if code is None:
            raise file_error(
                path, f"did not finish within {within:g} s; does it wait for something?"
            )
        raw = _contents(output)
        if not raw:
            raise file_error(path, _exit_text(code, _contents(errors)))
    try:
        return _read_export(path, json.loads(raw))
    except (ValueError, RecursionError):
        what = f"exports more than {_MAX_ANSWER_SIZE >> 20} MiB, or is nested too deeply"
        raise file_error(path, what) from None


def _run(
    argv: list[str],
    output: IO[bytes],
    errors: IO[bytes],
    environ: Mapping[str, str],
    within: float,
) -> int | None:
    """The exit code, None after the deadline."""
    with run_in_group(
        argv, environ, stdout=subprocess.DEVNULL, stderr=errors, pass_fds=(output.fileno(),)
    ) as child:
        try:
            return child.wait(within)
        except subprocess.TimeoutExpired:
            return None


def _contents(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MAX_ANSWER_SIZE).decode(errors="replace")


def _read_export(path: Path, message: Mapping[str, object]) -> object:
    match message["is"]:
        case "object":
            return message["value"]
        case "error":
            raise file_error(path, _node_message(str(message["words"])))
        case "function" | "promise" as what:
            hint = "export the object itself: module.exports = { apps: [...] }"
            raise file_error(path, f"exports a {what}, which PM2 does not support either", hint)
        case what:
            raise file_error(path, f"exports {what}, not an object with apps")


def _exit_text(code: int, errors: str) -> str:
    if errors.strip():
        return _node_message(errors)
    how = f"with code {code}" if code >= 0 else f"by signal {-code}"
    return (
        f"ended Node {how} before it exported its apps; does it call process.exit(), or await "
        "something that never resolves?"
    )


def _node_message(text: str) -> str:
    """What Node said, without where it was in Node's own code and in ours."""
    lines = [
        line.rstrip()
        for line in text.strip().splitlines()
        if line.strip() and not _NODE_FRAME.match(line)
    ]
    return "\n    ".join(("cannot be evaluated:", *lines[:_ERROR_LINES]))
