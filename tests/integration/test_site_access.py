"""Who may come in, and how often, proved by requests to the real nginx."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edge import Edge, edge_with_backend

SECRET = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="  # secret
FILE = f"""
[apps.web]
command = "run"

[sites."app.test"]
app = "web"
real_ip = {{trust = ["127.0.0.1"]}}

[sites."app.test".routes]
"/staff" = {{basic_auth = {{realm = "staff only", users = {{ann = "{SECRET}"}}}}}}
"/file" = {{basic_auth = {{file = "passwords"}}}}
"/inside" = {{allow = ["10.0.0.0/8", "2001:db8::/32"], deny = ["10.6.6.6"]}}
"/outside" = {{deny = ["10.0.0.0/8"]}}
"/slow" = {{rate_limit = "1r/m"}}
"/burst" = {{rate_limit = {{rate = "1r/m", burst = 3, nodelay = true, status = 503}}}}
"/together" = {{rate_limit = {{rate = "1r/m", per = "site"}}}}
"/few" = {{connection_limit = 2}}
"/few-together" = {{connection_limit = {{connections = 2, per = "site", status = 503}}}}

[sites."closed.test"]
app = "web"
allow = ["10.0.0.0/8"]
deny = ["10.6.6.6"]
error_pages = {{403 = "403.html"}}
headers = {{X-A = "1"}}
real_ip = {{trust = ["127.0.0.1"]}}

[sites."closed.test".routes]
"/open" = {{allow = ["all"]}}
"/narrow" = {{deny = ["10.7.7.7"]}}
"/moved" = {{redirect = "/new"}}

[sites."away.test"]
app = "web"
real_ip = {{trust = ["127.0.0.1"]}}
headers = {{X-A = "1"}}
maintenance = {{page = "away.html", retry_after = "1h", allow = ["10.0.0.0/8"]}}
routes = {{"/files" = {{folder = "files"}}, "/old" = {{redirect = "/new"}}}}

[sites."resting.test"]
maintenance = true
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    files = {
        "passwords": f"bob:{SECRET}\n",
        "403.html": "<h1>Not for you</h1>",
        "away.html": "<h1>Away until four</h1>",
    }
    with edge_with_backend(FILE, files) as edge:
        yield edge


def known(name: str, password: str = "secret") -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def test_a_password_is_asked_for(edge):
    stranger = edge.get("app.test", "/staff")
    assert stranger.status == 401
    assert stranger.headers["WWW-Authenticate"] == 'Basic realm="staff only"'
    assert edge.get("app.test", "/staff", **known("ann")).status == 200
    assert edge.get("app.test", "/staff", **known("ann", "wrong")).status == 401
    assert edge.get("app.test", "/staff", **known("bob")).status == 401
    assert edge.get("app.test", "/file", **known("bob")).status == 200
    assert edge.get("app.test", "/").status == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("OPTIONS", {"Origin": "https://b.test", "Access_Control_Request_Method": "PUT"}, 200),
        ("OPTIONS", {"Origin": "https://b.test"}, 401),
        ("OPTIONS", {"Access_Control_Request_Method": "PUT"}, 401),
        ("OPTIONS", {}, 401),
        ("GET", {"Origin": "https://b.test", "Access_Control_Request_Method": "PUT"}, 401),
        ("PUT", {"Origin": "https://b.test"}, 401),
    ],
)
def test_a_browser_may_ask_without_a_password_whether_it_may_ask(edge, method, headers, status):
    assert edge.ask(method, "app.test", "/staff", **headers).status == status


@pytest.mark.parametrize(
    ("site", "path", "address", "status"),
    [
        ("app.test", "/inside", "10.1.2.3", 200),
        ("app.test", "/inside", "2001:db8::5", 200),
        ("app.test", "/inside", "10.6.6.6", 403),
        ("app.test", "/inside", "192.0.2.1", 403),
        ("app.test", "/outside", "10.1.2.3", 403),
        ("app.test", "/outside", "192.0.2.1", 200),
        ("closed.test", "/", "10.1.2.3", 200),
        ("closed.test", "/", "192.0.2.1", 403),
        ("closed.test", "/open", "192.0.2.1", 200),
        ("closed.test", "/open", "10.6.6.6", 403),
        ("closed.test", "/narrow", "10.1.2.3", 200),
        ("closed.test", "/narrow", "10.7.7.7", 403),
        ("closed.test", "/narrow", "192.0.2.1", 403),
    ],
)
def test_networks_are_let_in_or_kept_out(edge, site, path, address, status):
    assert edge.get(site, path, X_Forwarded_For=address).status == status


def test_who_is_kept_out_still_sees_the_page_that_says_so(edge):
    answer = edge.get("closed.test", X_Forwarded_For="192.0.2.1")
    assert answer.status == 403
    assert answer.body == b"<h1>Not for you</h1>"


def statuses(edge: Edge, path: str, number: int, *addresses: str) -> Counter[int]:
    return Counter(
        edge.get("app.test", path, X_Forwarded_For=address).status
        for address in addresses
        for _ in range(number)
    )


def test_a_client_that_asks_too_often_is_told_so(edge):
    assert statuses(edge, "/slow", 4, "192.0.2.1") == {200: 1, 429: 3}
    assert statuses(edge, "/slow", 1, "192.0.2.2") == {200: 1}
    refused = edge.get("app.test", "/slow", X_Forwarded_For="192.0.2.1")
    assert (refused.status, refused.headers.get_all("Retry-After")) == (429, ["60"])
    let_in = edge.get("app.test", "/slow?answer=Retry-After:7", X_Forwarded_For="192.0.2.3")
    assert (let_in.status, let_in.headers.get_all("Retry-After")) == (200, ["7"])


def test_a_burst_is_let_through(edge):
    assert statuses(edge, "/burst", 6, "192.0.2.1") == {200: 4, 503: 2}


def test_a_limit_may_be_for_all_clients_together(edge):
    assert statuses(edge, "/together", 1, "192.0.2.1", "192.0.2.2") == {200: 1, 429: 1}


@pytest.mark.parametrize(
    ("path", "addresses", "expected"),
    [
        ("/few", ["192.0.2.1"] * 5, {200: 2, 429: 3}),
        ("/few", [f"192.0.2.{n}" for n in range(5)], {200: 5}),
        ("/few-together", [f"192.0.2.{n}" for n in range(5)], {200: 2, 503: 3}),
    ],
)
def test_a_client_may_hold_so_many_connections(edge, path, addresses, expected):
    def ask(address: str) -> int:
        return edge.get("app.test", f"{path}?sleep=2", X_Forwarded_For=address).status

    with ThreadPoolExecutor(len(addresses)) as pool:
        assert Counter(pool.map(ask, addresses)) == expected


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/any/path", "/files/a.txt", "/old"])
def test_a_site_under_maintenance_says_so(edge, method, path):
    answer = edge.ask(method, "away.test", path, X_Forwarded_For="192.0.2.1")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "3600"
    assert answer.headers["X-A"] == "1"
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.body == (b"" if method == "HEAD" else b"<h1>Away until four</h1>")


def test_a_network_may_still_reach_a_site_under_maintenance(edge):
    assert edge.get("away.test", X_Forwarded_For="10.1.2.3").status == 200


def test_maintenance_has_a_page_of_its_own(edge):
    answer = edge.get("resting.test")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "120")
    assert b"<h1>Back soon</h1>" in answer.body


def test_a_redirect_too_is_only_for_those_who_may_come_in(edge):
    assert edge.get("closed.test", "/moved", X_Forwarded_For="192.0.2.1").status == 403
    answer = edge.get("closed.test", "/moved", X_Forwarded_For="10.1.2.3")
    assert (answer.status, answer.headers["Location"]) == (308, "/new")
    assert answer.headers["X-A"] == "1"


def test_limits_are_kept_over_a_reload_and_may_change_what_they_count_by():
    """A zone's state goes on in the next generation; nginx refuses to change its key."""
    site = '[sites."app.test"]\nredirect = "https://b.test"\nrate_limit = {rate = "1r/m"%s}\n'
    with Edge(site % "") as edge:
        assert edge.get("app.test").status == 308
        edge.reload(site % ", burst = 0")
        assert edge.get("app.test").status == 429
        edge.reload(site % ', per = "site"')
        assert edge.get("app.test").status == 308
