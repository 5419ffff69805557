"""Tokens of HTTP-01 that are another program's: served by the program or folder of the site."""

from __future__ import annotations

import pytest

from tests.edge import Edge
from tests.fakes.backend import Backend

WELL_KNOWN = "/.well-known/acme-challenge/"
TEXT = """
[tls]
email = "ops@example.com"

[upstreams.program]
servers = [{{ address = "127.0.0.1:{port}" }}]

# ours, with a folder
[sites."shop.example.com"]
folder = "www"
[sites."*.wild.example.com"]
aliases = ["default", "{long}.example.com"]
folder = {{ path = "www", spa = true }}
tls.dns = {{ provider = "command", auth = ["/bin/true"] }}

# ours, with a route for it
[sites."route.example.com"]
upstream = "program"
[sites."route.example.com".routes."/.well-known/acme-challenge/"]
folder = "tokens"

# ours, with a program that answers whatever it is asked for
[sites."app.example.com"]
upstream = "program"

[sites."away.example.com"]
aliases = ["{long}.away.example.com"]
redirect = "https://elsewhere.example.com"
[sites."mixed.example.com"]
upstream = "program"
folder = "www"

# the same, for sites that are not redirected as a whole
[sites."both.example.com"]
upstream = "program"
redirect_http = false
[sites."behind.example.com"]
upstream = "program"
real_ip.trust = ["127.0.0.1"]
auth = {{ upstream = "program", path = "/?status=403" }}

# certificates of their owners
[sites."own.example.com"]
upstream = "program"
certificate = "own.pem"
key = "own.key"
[sites."own-folder.example.com"]
folder = "www"
certificate = "own.pem"
key = "own.key"

# none
[sites."plain.example.com"]
upstream = "program"
https = false
"""
LONG = "a" * 63
FOLDERS = (
    "shop.example.com",
    "default",
    "a.wild.example.com",
    "route.example.com",
    f"{LONG}.example.com",
)
ANSWERED = (*FOLDERS, "away.example.com", f"{LONG}.away.example.com")
REDIRECTED = ("app.example.com", "mixed.example.com")
PASSED = ("both.example.com", "behind.example.com")
PROGRAMS = ("own.example.com", "plain.example.com", "both.example.com")


@pytest.fixture(scope="module")
def edge():
    with Backend() as backend:
        edge = Edge(TEXT.format(port=backend.port, long=LONG), thumbprint="thumb")
        edge.file(f"www{WELL_KNOWN}theirs", "theirs.key")
        edge.file("www/index.html", "index")
        edge.file("tokens/theirs", "theirs.key")
        edge.wait_for_token("ours_-1")
        with edge:
            yield edge


@pytest.mark.parametrize("name", [*FOLDERS, "mixed.example.com"])
def test_a_file_that_another_program_has_put_into_the_folder_of_a_site_is_served(edge, name):
    answer = edge.plain(name, f"{WELL_KNOWN}theirs")
    assert (answer.status, answer.body.decode()) == (200, "theirs.key")


@pytest.mark.parametrize("name", [*ANSWERED, *REDIRECTED, *PASSED])
def test_a_token_that_an_order_of_ours_waits_for_is_answered_for_our_account(edge, name):
    answer = edge.plain(name, f"{WELL_KNOWN}ours_-1")
    assert (answer.status, answer.body.decode()) == (200, "ours_-1.thumb")


@pytest.mark.parametrize("name", REDIRECTED)
def test_other_tokens_are_asked_of_the_program_as_if_there_were_no_answer_of_ours(edge, name):
    """https://github.com/certbot/certbot/issues/3361 and
    https://github.com/jvvan/reverseproxy/issues/10: a webroot is reached by the redirect as well.
    """
    path = f"{WELL_KNOWN}unknown?x=1"
    answer = edge.plain(name, path)
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{name}:{edge.https}{path}"
    assert edge.get(name, path).json["path"] == path


def test_who_may_not_enter_a_site_gets_no_answer_of_its_program_to_other_tokens(edge):
    assert edge.plain("behind.example.com", f"{WELL_KNOWN}unknown").status == 403


@pytest.mark.parametrize("name", ANSWERED)
def test_any_other_token_is_answered_for_our_account(edge, name):
    answer = edge.plain(name, f"{WELL_KNOWN}a-token_1")
    assert (answer.status, answer.body.decode()) == (200, "a-token_1.thumb")
    assert edge.plain(name, "/").status == 308


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_obtains_certificates_itself_is_asked_by_the_authority(edge, name):
    answer = edge.plain(name, f"{WELL_KNOWN}theirs?x=1")
    assert answer.status == 200
    assert (answer.json["method"], answer.json["path"]) == ("GET", f"{WELL_KNOWN}theirs?x=1")
    assert {key.lower(): value for key, value in answer.json["headers"].items()}[
        "host"
    ] == f"{name}:{edge.http}"


def test_a_folder_is_that_of_certbots_webroot_where_the_certificate_is_certbots(edge):
    assert edge.plain("own-folder.example.com", f"{WELL_KNOWN}theirs").body == b"theirs.key"
    assert edge.plain("own-folder.example.com", f"{WELL_KNOWN}another").status == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/.well-known/acme-challengex", "/.well-known/", "/x/.well-known/acme-challenge/a"],
)
@pytest.mark.parametrize("name", ["own.example.com", "own-folder.example.com", "shop.example.com"])
def test_everything_else_is_redirected_as_before(edge, name, path):
    answer = edge.plain(name, f"{path}?q=%2F")
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{name}:{edge.https}{path}?q=%2F"


@pytest.mark.parametrize("path", ["..%2f..%2fsecret", "..", "a/b", "%2e%2e", ".hidden", ""])
def test_no_other_file_is_served_there(edge, path):
    edge.file("www/.well-known/secret", "secret")
    edge.file("secret", "secret")
    answer = edge.plain("shop.example.com", f"{WELL_KNOWN}{path}")
    assert b"secret" not in answer.body


def test_where_another_machine_may_have_ordered_every_token_is_answered_for_our_account():
    with Backend() as backend:
        edge = Edge(TEXT.format(port=backend.port, long=LONG), thumbprint="thumb", any_token=True)
        edge.file(f"www{WELL_KNOWN}theirs", "theirs.key")
        with edge:
            for name in (*ANSWERED, *REDIRECTED, *PASSED):
                answer = edge.plain(name, f"{WELL_KNOWN}of_another-1")
                assert (answer.status, answer.body) == (200, b"of_another-1.thumb"), name
            assert edge.plain(FOLDERS[0], f"{WELL_KNOWN}theirs").body == b"theirs.key"
            assert edge.plain("own.example.com", f"{WELL_KNOWN}theirs").json["method"] == "GET"
