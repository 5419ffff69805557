"""The pages of docs/doctor, written from the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portico.stack.doctor.diagnose import FAMILIES, RULES
from portico.stack.doctor.other_checkers import GIXY, NGINX_LINT, OTHER_TOOLS_TEXT
from portico.stack.doctor.rule import Example, Rule

PLACE: Final = "docs/doctor"
_INTRODUCTION: Final = """\
# What `portico doctor` finds

`portico doctor FILE…` examines the files of a stack: nginx's with all that they include, PM2's,
crontabs, units of systemd, compose files, Caddyfiles and others, and portico.toml. Each finding
has the file and the line, what is wrong, what happens because of it, how to fix it, and a code
with a page here. Nothing is changed.

| severity | means | exit code |
|---|---|---|
| error | does not work, or is open to attack | 2 |
| warning | works, and will fail or lose requests some day | 1 |
| advice | works, and could be better at little cost | 0 |
| hint | depends on taste, or on what is not in the files; shown with `--all` | 0 |

The exit code is that of the most severe finding. `--fail-on error` ends with 0 where there is no
error, `--fail-on advice` with 1 where there is advice, `--fail-on never` always with 0.
`--ignore CODE,CODE` leaves findings out. `--json` prints a list
([its schema](../reference/doctor.schema.json)), `--sarif` SARIF 2.1.0 for code review.

Files of this machine (below `/etc`, or of PM2) are compared with what is there: files of
certificates and who can read them, listening ports, memory, other renewals, rotation of logs. For
others `--live` does so. `portico doctor --live` without a file reads the portico.toml of this
folder and the files of the nginx, PM2, cron and certbot of this machine.

A rule reports nothing where the files do not show enough: what an include that cannot be read may
have set is not reported as missing.
"""


def pages() -> Mapping[str, str]:
    """By name of the file."""
    return {"README.md": _index()} | {f"{each.code}.md": _page(each) for each in RULES}


def _index() -> str:
    text = _INTRODUCTION
    for family, (title, _) in FAMILIES.items():
        text += f"\n## {title}\n\n| code | severity | what is wrong |\n|---|---|---|\n"
        for each in RULES:
            if each.family == family:
                text += f"| [{each.code}]({each.code}.md) | {each.severity} | {each.title} |\n"
    return text + _others()


def _others() -> str:
    text = "\n## What other checkers find\n"
    for name, theirs in (("gixy, gixy-ng, gixy-next", GIXY), ("nginx-lint", NGINX_LINT)):
        text += f"\n| {name} | here |\n|---|---|\n"
        for code, ours in theirs.items():
            text += f"| `{code}` | {', '.join(f'[{each}]({each}.md)' for each in ours)} |\n"
    return f"{text}\n{OTHER_TOOLS_TEXT}"


def _page(rule: Rule) -> str:
    example = rule.example
    return "\n".join(
        [
            f"# {rule.code}",
            "",
            f"{rule.title}. Severity: {rule.severity}. [All codes](README.md)",
            "",
            "## What happens",
            "",
            rule.why,
            "",
            "## How to fix it",
            "",
            rule.fix,
            "",
            *_example(example),
        ]
    )


def _example(example: Example) -> list[str]:
    if example.after == example.before:
        return _files("Where it is reported", example.before)
    return [*_files("Before", example.before), *_files("After", example.after)]


def _files(title: str, files: Mapping[str, str]) -> list[str]:
    text = [f"## {title}", ""]
    for name, content in files.items():
        text += [f"`{name}`:", "", "```", content.rstrip(), "```", ""]
    return text
