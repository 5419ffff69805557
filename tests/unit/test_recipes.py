"""The recipes of docs/ARCHITECTURE.md, followed in a copy of the code; one program is run over it,
which has a part for each.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")


MARK = "----"


class Copy:
    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self._source = folder, folder / "portico"
        section = PAGE.split(f"### {recipe}\n")[1].split("\n##")[0]
        self.named = set(re.findall(r"`([a-z_/]+\.py|[a-z_0-9/]+/NAME\.py)`", section))
        self.edited: set[str] = set()

    def edit(self, file: str, before: str, after: str) -> None:
        """Put something in, before or after what is there."""
        path = self._source / file
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{file}: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")
        self.edited.add(file)

    def add(self, file: str, text: str) -> None:
        (self._source / file).write_text(text, encoding="utf-8")
        self.edited.add(str(Path(file).with_name("NAME.py")))


FOLLOWED: dict[str, Callable[[Copy], str]] = {}
"""Each edits the copy, and returns a program over it."""


def recipe(name: str) -> Callable:
    def follow(function: Callable[[Copy], str]) -> None:
        FOLLOWED[name] = function

    return follow


@recipe("A key of the file")
def a_key(copy: Copy) -> str:
    copy.edit(
        "core/model/app.py",
        "    inherit_env: bool = Field(",
        '    nickname: str | None = Field(None, description="What its program calls itself.")\n'
        "    inherit_env: bool = Field(",
    )
    copy.edit(
        "core/planning/environment.py",
        "        INSTANCE: instance,\n    }\n",
        "        INSTANCE: instance,\n    }\n"
        "    if app.nickname:\n"
        '        itself["NICKNAME"] = app.nickname\n',
    )
    return (
        "from portico.core.config.document import read_document\n"
        "from portico.core.config.reference import reference\n"
        "from portico.core.config.json_schema import json_schema\n"
        "from portico.core.planning import environment\n"
        "table = {'apps': {'web': {'command': 'x', 'nickname': 'Joe'}}}\n"
        "app = read_document(table, source='x').apps['web']\n"
        "print(environment.instance_variables(app, 'web', 'web.1.1', 1, 8000)['NICKNAME'])\n"
        "print('| `nickname` |' in reference(), '\"nickname\"' in json_schema())\n"
    )


@recipe("A verb")
def a_verb(copy: Copy) -> str:
    copy.edit(
        "core/model/verbs.py",
        "\nVERBS: Final",
        "POLISH: Final[Verb[ChangeView]] = Verb(\n"
        '    "polish", "POST", "/v1/apps/{app}/polish", "Polish an app.",\n'
        "    group=CHANGE_APPS, arguments=(_ONE_APP,),\n"
        ")\n\nVERBS: Final",
    )
    copy.edit(
        "engine/control/operations.py",
        "    async def resume(\n",
        "    async def polish(self, app: str, who: Requester) -> ChangeView:\n"
        "        done = {'kind': 'polish', 'state': 'done', 'started': 0}\n"
        "        return ChangeView(id='c1', subject=app, **done)\n\n"
        "    async def resume(\n",
    )
    return (
        "import asyncio\n"
        "from portico.api.app import Api, Request\n"
        "from portico.api.openapi import document\n"
        "from portico.cli.help import overview\n"
        "from portico.cli.reference import reference\n"
        "from portico.core.model.verbs import VERBS\n"
        "from portico.engine.control.operations import Operations\n"
        "print(any('polish' in line for line in overview().splitlines()))\n"
        "print('### portico polish APP [--json]' in reference())\n"
        "print('/v1/apps/{app}/polish' in document(VERBS)['paths'])\n"
        "api = Api(Operations.__new__(Operations))\n"
        "request = Request('POST', '/v1/apps/web/polish', 'root', b'')\n"
        "print(asyncio.run(api.answer(request)).status)\n"
    )


@recipe("A kind of check")
def a_kind_of_check(copy: Copy) -> str:
    copy.edit(
        "core/model/check.py",
        "    # when, and what follows\n",
        '    greeting: str | None = Field(None, description="What it says first.")\n\n'
        "    # when, and what follows\n",
    )
    copy.edit(
        "core/config/health_rules.py", '"command", "grpc")', '"command", "grpc", "greeting")'
    )
    copy.edit(
        "adapters/probes/loopback.py",
        "    return await ask_http(check, port, connection) if check.path else None\n",
        "    if check.greeting:\n"
        "        from portico.adapters.probes.greeting import ask_greeting\n\n"
        "        return await ask_greeting(check.greeting, connection)\n"
        "    return await ask_http(check, port, connection) if check.path else None\n",
    )
    copy.add(
        "adapters/probes/greeting.py",
        "async def ask_greeting(wanted, connection):\n"
        "    said = await connection.receive()\n"
        "    return None if said.startswith(wanted.encode()) else f'said {said!r}'\n",
    )
    return (
        "import asyncio\n"
        "from portico.adapters.probes.loopback import LoopbackProbes\n"
        "from portico.core.config.document import read_document\n"
        "def check(**keys):\n"
        "    table = {'apps': {'web': {'command': 'x', 'health': keys}}}\n"
        "    return read_document(table, source='x').apps['web'].check\n"
        "async def main():\n"
        "    async def serve(reader, writer):\n"
        "        writer.write(b'220 ready'); writer.close()\n"
        "    server = await asyncio.start_server(serve, '127.0.0.1', 0)\n"
        "    port = server.sockets[0].getsockname()[1]\n"
        "    for greeting in ('220', '550'):\n"
        "        print(await LoopbackProbes().probe(check(greeting=greeting), port))\n"
        "asyncio.run(main())\n"
    )


@recipe("A DNS provider")
def a_dns_provider(copy: Copy) -> str:
    copy.edit("core/model/issuing.py", "^(rfc2136|command|", "^(rfc2136|command|paper|")
    copy.edit(
        "core/model/issuing.py",
        "    auth: Argv = Field(\n",
        '    sheet: str | None = Field(None, description="paper: the file to write to.")\n'
        "    auth: Argv = Field(\n",
    )
    copy.edit(
        "core/config/issuing_rules.py",
        '        "command": ("auth",),\n',
        '        "command": ("auth",),\n        "paper": ("sheet",),\n',
    )
    copy.edit(
        "core/planning/lineages.py",
        "    if dns.secret_file:\n",
        "    if dns.sheet:\n"
        '        yield "sheet", absolute(dns.sheet, folder)\n'
        "    if dns.secret_file:\n",
    )
    copy.edit(
        "adapters/acme/methods.py",
        "Publisher = Rfc2136 |",
        'class Paper(PublisherSettings, frozen=True, tag="paper"):\n    sheet: str\n\n\n'
        "Publisher = Paper | Rfc2136 |",
    )
    copy.edit(
        "adapters/acme/authorities.py",
        "    if challenge.provider == COMMAND:\n",
        '    if challenge.provider == "paper":\n'
        '        return methods.Paper(options["sheet"])\n'
        "    if challenge.provider == COMMAND:\n",
    )
    copy.edit(
        "adapters/acme/child/challenges/dns/publishing.py",
        "        case Command() as settings:\n",
        "        case Paper() as settings:\n            return PaperRecords(settings)\n"
        "        case Command() as settings:\n",
    )
    copy.edit(
        "adapters/acme/child/challenges/dns/publishing.py",
        "from portico.adapters.acme.methods import Command,",
        "from portico.adapters.acme.child.challenges.dns.paper import PaperRecords\n"
        "from portico.adapters.acme.methods import Paper, Command,",
    )
    copy.add(
        "adapters/acme/child/challenges/dns/paper.py",
        "class PaperRecords:\n"
        "    by = 'paper'\n"
        "    def __init__(self, settings):\n"
        "        self._sheet = settings.sheet\n"
        "    def put(self, entry, context):\n"
        "        open(self._sheet, 'a').write(f'{entry.name} {entry.value}')\n"
        "        return ''\n",
    )
    return (
        "import tomllib\n"
        "from portico.adapters.acme import authorities, methods\n"
        "from portico.adapters.acme.child.challenges.dns.publisher import Entry\n"
        "from portico.adapters.acme.child.challenges.dns import publishing\n"
        "from portico.core.config.desired import desired_from\n"
        "from portico.core.config.document import read_document\n"
        "from portico.core.planning.lineages import wanted_lineages\n"
        "table = tomllib.loads('''apps.web.command = \"x\"\n"
        'tls.dns = { provider = "paper", sheet = "sheet.txt" }\n'
        '[sites."*.example.com"]\napp = "web"\'\'\')\n'
        "document = read_document(table, source='x')\n"
        f"facts = dict(folder='{copy.folder}', environ={{}}, cores=2, root=True)\n"
        "desired = desired_from(document, **facts)\n"
        "challenge = wanted_lineages(desired, {})['*.example.com'].challenges[0]\n"
        "method = methods.Dns(authorities._publisher(challenge))\n"
        "entry = Entry('example.com', '_acme-challenge.example.com', 'example.com', 'abc')\n"
        "publishing._publisher(method).put(entry, None)\n"
        f"print(open('{copy.folder}/sheet.txt').read())\n"
    )


@recipe("A balancing method")
def a_balancing_method(copy: Copy) -> str:
    copy.edit(
        "core/model/balancing.py",
        '    RANDOM = "random"\n',
        '    RANDOM = "random"\n    FAIR = "fair"\n',
    )
    copy.edit(
        "core/model/balancing.py",
        "    Method.LEAST_CONN: ((),),\n",
        "    Method.LEAST_CONN: ((),),\n    Method.FAIR: ((), ('weighted',)),\n",
    )
    return (
        "from portico.core.config.document import read_document\n"
        "from portico.core.render.upstream_block import _method\n"
        "from portico.core.model.upstream import Upstream\n"
        "table = {'apps': {'web': {'command': 'x', 'balance': 'fair weighted'}}}\n"
        "balance = read_document(table, source='x').apps['web'].balance\n"
        "(line,) = _method(Upstream(apps=('web',), balance=balance))\n"
        "print(line.head)\n"
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> dict[str, str]:
    folder, programs = tmp_path_factory.mktemp("copy"), list[str]()
    shutil.copytree(ROOT / "src/portico", folder / "portico")  # with what is compiled
    for name, follow in FOLLOWED.items():
        copy = Copy(folder, name)
        programs.append(follow(copy))
        assert copy.edited == copy.named, f"{name}: the page names every file that is edited"
    done = subprocess.run(
        [sys.executable, "-c", f"print({MARK!r})\n".join(programs)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(FOLLOWED, done.stdout.split(f"{MARK}\n"), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("A key of the file", "Joe\nTrue True\n"),
        ("A verb", "True\nTrue\nTrue\n202\n"),
        ("A kind of check", "None\nsaid b'220 ready'\n"),
        ("A DNS provider", "_acme-challenge.example.com abc\n"),
        ("A balancing method", "fair weighted\n"),
    ],
)
def test_what_is_added_as_the_page_says_works(printed, name, lines):
    assert printed[name] == lines


@pytest.mark.slow
def test_every_recipe_of_the_page_is_followed():
    recipes = PAGE.split("## Recipes\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (.+)$", recipes, re.MULTILINE)) == FOLLOWED.keys()
