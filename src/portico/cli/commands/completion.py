"""`portico completion`: what a shell needs to complete portico's command lines."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.errors import Failed, Refused

SCRIPTS: Final[Mapping[str, str]] = {
    "bash": """\
_portico() {
    local IFS=$'\\n'
    COMPREPLY=($(portico __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _portico portico
""",
    "zsh": """\
#compdef portico
_portico() {
    local -a found
    found=("${(@f)$(portico __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1] " = "_portico " ]; then _portico "$@"; else compdef _portico portico; fi
""",
    "fish": """\
function __portico
    portico __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c portico -a '(__portico)'
""",
}
INSTALL_PATHS: Final[Mapping[str, str]] = {
    "bash": "~/.local/share/bash-completion/completions/portico",
    "zsh": "~/.local/share/zsh/site-functions/_portico",
    "fish": "~/.config/fish/completions/portico.fish",
}


def options(parser: Parser) -> None:
    parser.add_argument(
        "shell",
        metavar="SHELL",
        nargs="?",
        choices=SCRIPTS,
        help="bash, zsh or fish; default: your shell",
    )
    parser.add_argument(
        "--install", action="store_true", help="write it where the shell loads completions"
    )


def run(session: Session, args: Namespace) -> None:
    shell = args.shell or Path(session.environ.get("SHELL", "")).name
    if shell not in SCRIPTS:
        raise Refused(f"which shell? portico completion {', '.join(SCRIPTS)}")
    if not args.install:
        session.terminal.write_raw(SCRIPTS[shell])
        return
    path = _write(shell, session.environ)
    session.terminal.write(f"written to {path}; new shells load it")
    if shell == "zsh":
        session.terminal.write(
            f"if $fpath does not contain {path.parent}: fpath+=({path.parent}) in ~/.zshrc"
        )


def _write(shell: str, environ: Mapping[str, str]) -> Path:
    path = Path(INSTALL_PATHS[shell].replace("~", environ.get("HOME", "/")))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCRIPTS[shell])
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from None
    return path
