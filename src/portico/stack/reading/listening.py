"""Where a program listens, as its command line and its variables say it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portico.core.model.units import LAST_PORT

_VARIABLES: Final = ("PORT", "port")
_HOST: Final = r"(?:[A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])"
_OPTION: Final = r"-p|--port|-b|--bind|-l|--listen|--addr|--http|--address"
_PORT: Final = re.compile(
    rf"(?P<before>(?:(?:{_OPTION})=?)?(?:(?:tcp|http)://)?(?:{_HOST}:)?|-D?server\.port=)"
    r"(?P<port>\d{2,5})"
)
_HOST_PORT: Final = re.compile(rf"{_HOST}:\d{{2,5}}")
_OPTIONS: Final = frozenset((*_OPTION.split("|"), "runserver"))
_SOCKET: Final = re.compile(rf"(?P<before>(?:(?:{_OPTION})=?)?)unix:/{{0,2}}(?P<path>/.+)")
_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})")
_PLAIN_WORD: Final = re.compile(r"[\w@%+=:,./${}-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListenCommand:
    words: tuple[str, ...]
    """Of the command, with `$PORT` in the place of the port."""
    env: Mapping[str, object]
    """Without the variable that has the port."""
    ports: tuple[int, ...] = ()
    sockets: tuple[str, ...] = ()
    port_env: str = "PORT"

    @property
    def table(self) -> dict[str, object]:
        """What `[apps.NAME]` has of it."""
        if self.ports:
            named = {} if self.port_env == "PORT" else {"port_env": self.port_env}
            return {"port": self.ports[0], **named}
        return (
            {} if self.sockets or any("$PORT" in word for word in self.words) else {"port": False}
        )


def listen_command(words: Sequence[str], env: Mapping[str, object]) -> ListenCommand:
    """A port of the variable `PORT` or `port`, else of an option such as `--port` or `--bind`."""
    for name in _VARIABLES:
        if port := _port(str(env.get(name, ""))):
            others = {key: value for key, value in env.items() if key != name}
            written = tuple(re.sub(rf"(?<!\d){port}\Z", f"${name}", word) for word in words)
            return ListenCommand(written, others, (port,), port_env=name)
    for index, (before, word) in enumerate(zip(("", *words), words, strict=False)):
        if found := _in_word(before, word):
            changed = (*words[:index], found[0], *words[index + 1 :])
            ports = (found[1],) if isinstance(found[1], int) else ()
            sockets = (found[1],) if isinstance(found[1], str) else ()
            return ListenCommand(changed, env, ports, sockets)
    return ListenCommand(tuple(words), env)


def command_text(words: Sequence[str]) -> str:
    """Words as the text of a command, in which `$NAME` and `${NAME}` are filled in."""
    return " ".join(map(_quote, words))


def _in_word(before: str, word: str) -> tuple[str, int | str] | None:
    """The word with `$PORT`, and the port or the path of the socket."""
    if socket := _SOCKET.fullmatch(word):
        return f"{socket['before']}127.0.0.1:$PORT", socket["path"]
    found = _PORT.fullmatch(word)
    if not found or not (port := _port(found["port"])):
        return None
    if before in _OPTIONS or found["before"].startswith("-") or _HOST_PORT.fullmatch(word):
        return f"{found['before']}$PORT", port
    return None


def _port(text: str) -> int:
    """0 if it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= LAST_PORT else 0


def _quote(word: str) -> str:
    if not _VARIABLE.search(word):
        return shlex.quote(word)
    if _PLAIN_WORD.fullmatch(word):
        return word
    return '"' + re.sub(r'(["\\`])', r"\\\1", word) + '"'
