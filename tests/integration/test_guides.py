"""The pages of docs/guides, as a reader follows them: their files, commands and output."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.neighbours import interpreter
from tests.stack import PROGRAMS, Stack

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "docs/server.md"
PAGES = sorted((ROOT / "docs/guides").glob("*.md"))
FRAMEWORKS = ROOT / ".venv/frameworks"
"""What the pages install, from scripts/setup: a test does not wait for a registry."""
GIT_WHO = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
BLOCK = re.compile(r"(?:`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def stack(network, stack):
    """Files that name no port get 80 and 443."""
    stack.network = network
    return stack


class Reader:
    def __init__(self, stack: Stack) -> None:
        self._stack, self._folder = stack, stack.folder
        self._environ = stack.environ | {
            "CURL_CA_BUNDLE": str(stack.authority),
            **dict.fromkeys(GIT_WHO, "reader@localhost"),
        }

    def follow(self, page: Path) -> None:
        """On the ports of this test, instead of those that a user other than root gets."""
        text = page.read_text(encoding="utf-8")
        text = text.replace("8443", str(self._stack.https)).replace("8080", str(self._stack.http))
        for name, language, block in BLOCK.findall(text):
            if language != "console":
                assert name, f"a block whose file is not named:\n{block}"
                self._write(name, block)
            else:
                assert not name, f"{name} is named, but commands follow"
                for command, expected in _commands(block):
                    output = self._run(command)
                    missing = [line for line in expected if line not in output]
                    assert missing == [], f"{command}\n{output}"

    def _write(self, name: str, content: str) -> None:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == "portico.toml" and "[edge]" not in content:
            content += f"\n[edge]\nhttp = {self._stack.http}\nhttps = {self._stack.https}\n"
        file.write_text(content, encoding="utf-8")

    def _run(self, command: str) -> str:
        match shlex.split(command):
            case ["python3", "-m", "venv", folder]:
                (self._folder / folder).symlink_to(FRAMEWORKS)
            case [".venv/bin/pip", "install", *packages]:
                [installed] = FRAMEWORKS.glob("lib/python3*/site-packages")
                for package in packages:
                    assert (installed / package.partition("[")[0]).is_dir(), package
            case ["npm", "install", *packages]:
                (self._folder / "node_modules").symlink_to(FRAMEWORKS / "node_modules")
                for package in packages:
                    assert (FRAMEWORKS / "node_modules" / package).is_dir(), package
            case ["portico", "trust"]:
                pass  # tests/integration/test_trust.py; here curl trusts the authority by itself
            case ["portico", "up"]:
                return self._stack.up().stdout
            case ["portico", *words]:
                return self._stack.done(*words).stdout
            case _:
                return self._shell(command)
        return ""

    def _shell(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            check=False,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each with the lines that its output must have."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        yield command, [line for line in lines if line]


def test_there_are_guides():
    assert {"django", "express", "fastapi", "git"} < {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_guide_works_as_it_is_written(page, stack):
    if not (FRAMEWORKS / "complete").exists() and " install " in page.read_text():
        pytest.skip("scripts/setup could not install the frameworks")
    Reader(stack).follow(page)


def test_the_page_about_a_server_works_but_for_systemd_and_the_authority(stack, neighbour):
    """What it installs is in test_bare_debian and test_bundle, `startup` in test_systemd."""
    page = SERVER.read_text(encoding="utf-8").replace("\n   ", "\n")
    file = next(block for _, language, block in BLOCK.findall(page) if language == "toml")
    changed = {
        '"python3 ': f'"{interpreter()} ',
        '"shop"': f'"{neighbour.name}"',
        'email = "ops@example.com"': 'issuer = "local"',
    }
    for words, others in changed.items():
        assert words in file
        file = file.replace(words, others)
    shutil.copy(PROGRAMS / "echo.py", stack.folder / "app.py")
    shutil.copy(PROGRAMS / "frames.py", stack.folder)
    stack.write(file, bind=["127.0.0.1"])
    steps = re.findall(r"^portico (\w+) /srv/shop$", page, re.MULTILINE)
    assert steps == ["check", "up"]
    for step in steps:
        stack.done(step, str(stack.folder))
    for words in re.findall(r"^`portico ([\w -]+)` shows", page, re.MULTILINE):
        assert stack.done(*words.replace(" -f", "").split()).stdout
    answers = [stack.get(name).json for name in ("shop.example.com", "www.shop.example.com")]
    assert {psutil.Process(each["pid"]).username() for each in answers} == {neighbour.name}
