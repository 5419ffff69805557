from __future__ import annotations

import pytest

from portico.core.config.findings import Draft
from portico.core.config.peers import peers_of_app, peers_of_upstream
from portico.core.config.references import (
    app_named,
    names_served,
    target_named,
    upstream_named,
    waits,
)
from portico.core.config.variables import is_known_variable
from tests.documents import read

FILE = """
apps.web = { command = "x", instances = 3, slots = { 2.backup = true, 3.down = true } }
apps.spare = { command = "x", instances = "max", backup = true, slots.2.down = true }
apps.alone.command = "x"
upstreams.both = { apps = ["web", "spare"], servers = ["a"] }
sites."a.test".routes."/x" = "both"
sites."b.test".app = "web"
"""


def test_what_sites_serve_includes_the_apps_of_their_upstreams():
    document = read(FILE)
    assert names_served(document.sites.values(), document.upstreams) == {"both", "web", "spare"}


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [
        ('app = "web"\nwait = "8s"', 8),
        ('app = "web"', 0),
        ('app = "web"\nwait = "8s"\nroutes."/x" = "web"', 8),
        ('app = "web"\nwait = "8s"\nroutes."/x".wait = "3s"', 3),
        ('app = "web"\nwait = "8s"\nroutes."/x" = [{ match.method = "GET", wait = 0 }]', 0),
        ('app = "web"\nwait = "8s"\nroutes."/x" = { app = "alone", wait = 0 }', 8),
        ('app = "web"\nwait = "8s"\nroutes."/x".grpc = true', 0),
        ('app = "alone"\nwait = "8s"\nroutes."/x" = "both"', 8),
        ('app = "web"\nwait = "8s"\nauth = { app = "web" }', 0),
        ('app = "web"\nwait = "8s"\n[streams.5432]\nupstream = "both"', 0),
    ],
)
def test_an_app_is_waited_for_as_long_as_every_place_that_needs_it_waits(keys, seconds):
    without_sites = FILE[: FILE.index("sites.")]
    document = read(f'{without_sites}[sites."a.test"]\n{keys}\n')
    assert waits(document).get("web", 0) == seconds


def test_what_was_left_out_of_a_file_is_not_missed():
    left_out = [("apps", "gone"), ("upstreams", "gone")]
    draft = Draft.of(read(FILE), left_out)

    for check in (app_named, upstream_named, target_named):
        assert list(check(draft, ("x",), "gone")) == []
        assert len(list(check(draft, ("x",), "other"))) == 1


def test_the_peers_of_an_app_are_its_slots():
    apps = read(FILE).apps
    second = ("apps", "web", "slots", "2", "backup")
    web = [(peer.backup, peer.down) for peer in peers_of_app("web", apps["web"])]
    spare = [(peer.backup, peer.down) for peer in peers_of_app("spare", apps["spare"])]

    assert web == [(None, False), (second, False), (None, True)]
    assert spare == [(None, False), (None, True), (None, False)]


def test_the_peers_of_an_upstream_are_its_servers_and_the_slots_of_its_apps():
    document = read(FILE)
    peers = list(peers_of_upstream(("upstreams", "both"), document.upstreams["both"], document))

    assert len(peers) == 1 + 3 + 3
    assert {peer.backup for peer in peers[4:]} == {("apps", "spare", "backup")}


def test_variables_are_known_by_name_or_by_family():
    assert is_known_variable("request_uri")
    assert is_known_variable("cookie_session")
    assert not is_known_variable("cookie_")
    assert not is_known_variable("upstream_addr")
