"""Rules of forward authentication."""

from __future__ import annotations

import tomllib

import pytest

from portico.core.config.auth_rules import sign_in_loop
from portico.core.config.document import read_document
from portico.core.config.rules import notes
from portico.core.model.auth import Auth
from portico.errors import ConfigError
from tests.rendered import wanted

HEAD = """
[apps.web]
command = "run"
[apps.proxy]
command = "run"
[apps.job]
command = "run"
port = false
[upstreams.away]
servers = ["10.0.0.5:80"]
"""


def document(auth: str, routes: str = ""):
    site = f'[sites."a.test"]\napp = "web"\nauth = {auth}\n[sites."a.test".routes]\n{routes}'
    return read_document(tomllib.loads(HEAD + site), source="portico.toml")


@pytest.mark.parametrize(
    ("auth", "what"),
    [
        ("{}", "needs app, upstream or url"),
        ('{app = "proxy", url = "http://a.test/"}', "has app and url; set only one"),
        ('{app = "proxy", upstream = "away"}', "has app and upstream; set only one"),
        ('{app = "porxy"}', 'there is no app "porxy"'),
        ('{app = "job"}', 'app "job" has no port'),
        ('{upstream = "proxy"}', 'there is no upstream "proxy"'),
        ('{url = "http://a.test/x", path = "/y"}', "cannot be combined with url"),
        ('{app = "proxy", sign_in = "/x?$urll"}', 'has "$urll", an unknown variable'),
        ('{app = "proxy", sign_in = "start"}', "must be a URL or a path"),
        ('{app = "proxy", path = "auth"}', "must be a path"),
        ('{app = "proxy", path = "/$uri"}', "must be a path"),
        ('{url = "ftp://a.test"}', "must be a URL"),
        ('{url = "http://user@a.test"}', "must be a URL"),
        ('{url = "http://a.test:99999"}', "must be a URL"),
        ('{url = "https://10.0.0.5/x"}', "has an address"),
        ('{url = "https://[::1]:9/x"}', "has an address"),
        ('{app = "proxy", request_headers = ["X User"]}', "must be the name of a header"),
        ('{app = "proxy", request_headers = {X_User = "A"}}', "must be the name of a header"),
        ('{app = "proxy", timeout = 0}', "0.001 seconds or more"),
        ("true", "must be false or a table"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(auth, what):
    with pytest.raises(ConfigError) as error:
        document(auth)
    assert any(what in str(problem) for problem in error.value.problems), error.value.problems


LOOP = "may be redirected in a loop"


@pytest.mark.parametrize(
    ("sign_in", "routes", "loops"),
    [
        ("/start", "", True),
        ("/start", '"/start" = {auth = false}', False),
        ("/oauth2/start?rd=$uri", '"/oauth2/" = {app = "proxy", auth = false}', False),
        ("/oauth2/start", '"/oauth2/" = {app = "proxy"}', True),
        ("/oauth2/start", '"/oauth2/" = {auth = false}\n"= /oauth2/start" = "web"', True),
        ("/oauth2/start", '"/oauth2/" = "proxy"\n"^~ /oauth2/start" = {auth = false}', False),
        ("/oauth2start", '"/oauth2" = {auth = false}', True),
        ("/start", '"~ ^/st" = {auth = false}', False),
        ("https://auth.test/start", "", False),
    ],
)
def test_a_sign_in_that_needs_a_sign_in_is_noted(sign_in, routes, loops):
    read = document(f'{{app = "proxy", sign_in = "{sign_in}"}}', routes)
    site = read.sites["a.test"]
    assert sign_in_loop(site, site) == loops
    assert any(LOOP in note for note in notes(read)) == loops


@pytest.mark.parametrize(
    ("url", "name", "path", "address", "tls"),
    [
        ("http://10.0.0.5", "auth.http.10.0.0.5", "/", "10.0.0.5:80", False),
        ("http://a.test:91/v?x=1", "auth.http.a.test_91", "/v?x=1", "a.test:91", False),
        ("https://A.test/v/", "auth.https.a.test", "/v/", "a.test:443", True),
        ("https://[::1]/v", "auth.https.___1_", "/v", "[::1]:443", True),
        ("http://[::1]:91/v", "auth.http.___1__91", "/v", "[::1]:91", False),
    ],
)
def test_a_url_has_an_upstream_of_its_own(url, name, path, address, tls):
    auth = Auth(url=url)
    assert auth.upstream_and_path == (name, path)
    assert auth.url_upstream
    assert (auth.url_upstream.servers[0].address, auth.url_upstream.tls) == (address, tls)


def test_who_decides_gets_requests_and_is_no_unused_app():
    read = document('{app = "proxy", path = "/x"}')
    assert not any("apps.proxy" in note for note in notes(read))
    text = HEAD + '[sites."a.test"]\napp = "web"\nauth = {app = "proxy"}\n'
    assert wanted(text).apps["proxy"].reached
