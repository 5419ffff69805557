"""What becomes of a file on its way into force, with an nginx and a machine that only count."""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from portico.core.model.generation import TestedGeneration as Generation
from portico.core.model.names import PROJECT
from portico.core.model.pair import OwnCopy, OwnPair
from portico.core.model.place import Build, CertificateFiles
from portico.core.model.requests import DocumentRequest
from portico.core.model.world import NginxSeen
from portico.core.planning.served_certificates import ServedCertificates
from portico.engine.inputs import Inputs
from portico.engine.prepare import LocalSettings, Preparation
from portico.errors import ConfigError, Failed, Problem, Refused
from portico.system.mounts import Mounts
from tests.rendered import MACHINE

FILE = """
apps.web = { command = "run" }
sites."shop.localhost".app = "web"
"""


class Outside:
    """Counts how often it is asked for what. Implements all that a preparation needs."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.missing: list[Problem] = []
        self.live = ""
        self.lost: list[str] = []
        """Files that nginx cannot open."""
        self.installed: list[str] = []
        self.links: dict[str, str] = {}

    # As nginx

    async def build(self, named: str | None, _: object) -> Build:
        if named == "/removed":
            raise Refused("cannot use /removed as nginx: no such program")
        return Build("/usr/sbin/nginx", (1, 31, 0), can=frozenset({"resolve", "ssl"}))

    def observe(self) -> NginxSeen:
        return NginxSeen(1, 1, self.live)

    def read_included(self, _: str) -> tuple[()]:
        return ()

    async def install(self, files: dict[str, str], fingerprint: str, _: Build) -> Generation:
        self.asked["nginx -t"] += 1
        if lost := [path for path in self.lost if path in files["nginx.conf"]]:
            raise Failed(f'open() "{lost[0]}" failed')
        self.installed += [fingerprint]
        return Generation(1, fingerprint)

    async def discard(self, generation: Generation) -> None:
        self.installed.remove(generation.fingerprint)

    # As certificates, those of authorities too

    @asynccontextmanager
    async def preload(self) -> AsyncIterator[None]:
        yield

    async def local(self, names: dict[str, object]) -> dict[str, CertificateFiles]:
        self.asked["certificates made"] += 1
        return self.expected_files(names)

    def expected_files(self, names: dict[str, object]) -> dict[str, CertificateFiles]:
        return {name: CertificateFiles(f"/{name}.pem", f"/{name}.key") for name in names}

    async def own_copies(self, pairs: list[OwnPair]) -> dict[OwnPair, OwnCopy]:
        return {pair: OwnCopy(CertificateFiles(pair.certificate, pair.key)) for pair in pairs}

    def served_certificates(self) -> ServedCertificates:
        return ServedCertificates({}, 0.0)

    def thumbprint(self) -> str:
        self.asked["renderings"] += 1
        return ""

    def answers_any_token(self) -> bool:
        return False

    def asked_by_alpn(self) -> bool:
        return False

    # As the checks of the host

    async def links_of(self, _: object) -> dict[str, str]:
        return dict(self.links)

    async def findings(self, _: object) -> tuple[list[Problem], list[str]]:
        self.asked["host checks"] += 1
        return list(self.missing), ["an access log is on a slow disk"]


INPUTS = Inputs(
    {
        PROJECT: DocumentRequest(
            source="portico.toml", folder="/srv", table=tomllib.loads(FILE), environ={}
        )
    },
    {},
    frozenset(),
)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def preparation(outside: Outside) -> Preparation:
    return Preparation(MACHINE, outside, outside, outside, outside)


def test_a_file_that_is_applied_is_rendered_once_checked_once_and_tested_by_nginx_once(
    outside: Outside, preparation: Preparation
):
    candidate = asyncio.run(preparation.check(INPUTS))
    every = ("renderings", "host checks", "certificates made", "nginx -t")
    assert outside.asked == Counter(dict.fromkeys(every, 1))
    assert candidate.tested == Generation(1, candidate.fingerprint)
    assert "an access log is on a slow disk" in candidate.notes


def test_what_nginx_serves_already_is_not_tested_again(outside: Outside, preparation: Preparation):
    outside.live = asyncio.run(preparation.render(INPUTS)).fingerprint
    assert outside.live
    assert asyncio.run(preparation.tested_again(INPUTS)).tested is None
    assert outside.asked == Counter({"renderings": 2, "certificates made": 1})


def test_for_a_file_that_fails_a_check_of_the_host_nothing_is_made_or_rendered(
    outside: Outside, preparation: Preparation
):
    outside.missing = [Problem("apps.web", "there is no program run")]
    with pytest.raises(ConfigError, match="no program run"):
        asyncio.run(preparation.check(INPUTS))
    assert outside.asked == Counter({"host checks": 1})


def versions(preparation: Preparation, **inputs: object) -> dict[str, str]:
    """The ids of a web that comes after a migration, from a `+` on; `before` is what web ran."""
    table = tomllib.loads(
        """
        apps.web = { command = "run", after = ["migrate"] }
        apps.migrate = { command = "run", port = false, autorestart = false }
        """
    )
    request = DocumentRequest(source="x", folder="/srv", table=table, environ={})
    asked = Inputs({PROJECT: request}, {}, frozenset())
    first = asyncio.run(preparation.render(asked)).desired.apps
    targets = {name: app.spec for name, app in first.items()}
    if before := inputs.pop("before", None):
        targets["web"] = replace(targets["web"], id=before)
    again = replace(asked, targets=targets, **inputs)
    apps = asyncio.run(preparation.render(again)).desired.apps
    return {name: app.spec.id.removeprefix(first[name].spec.id) for name, app in apps.items()}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, {"web": "", "migrate": ""}),
        ({"before": "another"}, {"web": "", "migrate": "+1"}),
        ({"unfinished": frozenset({"migrate"})}, {"web": "", "migrate": "+1"}),
        ({"unfinished": frozenset({"web"})}, {"web": "", "migrate": ""}),
    ],
)
def test_a_migration_runs_again_before_a_rollout_and_where_it_never_ended_well(
    preparation: Preparation, inputs: dict[str, object], expected: dict[str, str]
):
    assert versions(preparation, **inputs) == expected


def test_a_program_that_runs_already_stays_where_its_links_led(
    outside: Outside, preparation: Preparation
):
    def links(inputs: Inputs) -> dict[str, str]:
        return dict(asyncio.run(preparation.render(inputs)).desired.apps["web"].spec.links)

    outside.links = {"/srv": "/releases/1"}
    first = asyncio.run(preparation.render(INPUTS)).desired.apps["web"].spec
    assert first.links == {"/srv": "/releases/1"}
    outside.links = {"/srv": "/releases/2"}
    assert links(INPUTS) == {"/srv": "/releases/2"}
    assert links(replace(INPUTS, targets={"web": first})) == {"/srv": "/releases/1"}
    other = replace(first, id="another")
    assert links(replace(INPUTS, targets={"web": other})) == {"/srv": "/releases/2"}
    back = {"web": {"/srv": "/releases/0"}}
    assert links(replace(INPUTS, targets={"web": first}, links=back)) == back["web"]


def test_mounts_are_asked_for_the_folders_that_are_read_and_no_others(
    preparation: Preparation, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    async def assert_answer(_: Mounts, folders: Iterable[str]) -> None:
        asked.extend(folders)

    monkeypatch.setattr(Mounts, "assert_answer", assert_answer)
    both = with_project_two("nginx.conf", new="two")
    own = {name: each.folder for name, each in both.requests.items()}
    known = asyncio.run(preparation.check(both)).desired.apps
    assert own["two"] in asked
    asked.clear()
    resumed = replace(both, project=None, targets={n: app.spec for n, app in known.items()})
    asyncio.run(preparation.resume(resumed))
    assert asked == []
    asyncio.run(preparation.check(replace(resumed, project="two")))
    assert set(asked) == {own["two"]}


def with_project_two(include: str, *, new: str | None) -> Inputs:
    table = tomllib.loads(f"""
        apps.web = {{ command = "run" }}
        [sites."two.localhost"]
        app = "web"
        include = "{include}"
        certificate = "own.pem"
        key = "own.key"
        routes = {{ "/x" = "web" }}
    """)
    two = DocumentRequest(source="/two/portico.toml", folder="/two", table=table, environ={})
    return replace(INPUTS, requests={**INPUTS.requests, "two": two}, project=new)


@pytest.mark.parametrize("lost", ["/two/nginx.conf", "/two/own.pem"])
def test_what_nginx_cannot_open_of_another_project_closes_its_sites_and_keeps_no_file_away(
    outside: Outside, preparation: Preparation, lost: str
):
    outside.lost = [lost]
    for new in (PROJECT, None):
        inputs = with_project_two("nginx.conf", new=new)
        candidate = asyncio.run(preparation.tested_again(inputs))
        [why] = candidate.unreadable
        assert why == f'/two/portico.toml: open() "{lost}" failed; its sites answer 503'
        text = candidate.files["nginx.conf"]
        assert "proxy_pass http://web;" in text
        assert "two+web" not in text
        assert "/two/" not in text
        assert candidate.desired.sites["two.localhost"].maintenance is True
        assert candidate.desired.issuance("two.localhost") is None  # none is ordered meanwhile
        assert candidate.tested == Generation(1, candidate.fingerprint)
        assert outside.installed.pop() == candidate.fingerprint
        assert outside.installed == []
    outside.lost = []
    again = asyncio.run(preparation.tested_again(with_project_two("nginx.conf", new=None)))
    assert "include /two/nginx.conf;" in again.files["nginx.conf"]


def test_what_nginx_cannot_open_of_the_new_file_is_refused_and_closes_nothing(
    outside: Outside, preparation: Preparation
):
    outside.lost = ["/two/nginx.conf"]
    with pytest.raises(ConfigError, match=r"cannot use /two/portico.toml"):
        asyncio.run(preparation.tested_again(with_project_two("nginx.conf", new="two")))
    assert outside.installed == []


def test_sites_are_served_where_the_nginx_that_was_selected_has_been_removed(outside):
    selected = ["/removed"]
    settings = LocalSettings(selected_nginx=lambda: selected[0])
    preparation = Preparation(MACHINE, outside, outside, outside, outside, settings=settings)
    candidate = asyncio.run(preparation.render(INPUTS))
    assert candidate.build.program == "/usr/sbin/nginx"
    assert candidate.notes[0].startswith("/usr/sbin/nginx is used instead of the nginx selected")
    selected[0] = "auto"
    assert asyncio.run(preparation.render(INPUTS)).notes == candidate.notes[1:]


def test_an_nginx_that_a_file_names_and_that_is_not_usable_is_refused(outside):
    table = {**tomllib.loads(FILE), "edge": {"nginx": "/removed"}}
    request = INPUTS.requests[PROJECT].model_copy(update={"table": table})
    with pytest.raises(Refused, match="no such program"):
        asyncio.run(
            Preparation(MACHINE, outside, outside, outside, outside).render(
                replace(INPUTS, requests={PROJECT: request})
            )
        )
