"""What a child sees before an order, with name servers and an authority of the test's own."""

from __future__ import annotations

import asyncio
import http.server
import threading
from contextlib import contextmanager

import pytest

from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.methods import Dns, Lexicon, Lookups
from portico.adapters.acme.wire import PreflightRequest, Server
from portico.core.model.preflight import Caa
from portico.ports.certificates import AuthorityError
from tests.addresses import free_port
from tests.fakes import name_server
from tests.fakes.pebble import running
from tests.orders import Acme, answering, needs_pebble

pytestmark = needs_pebble
NAME = "a.example.test"


@pytest.fixture(scope="module")
def names():
    with name_server.serving("example.test") as names:
        yield names


@pytest.fixture(scope="module")
def pebble(tmp_path_factory, names):
    with running(tmp_path_factory.mktemp("pebble"), dns=names.port) as pebble:
        yield pebble


@pytest.fixture
def acme(tmp_path, pebble):
    return Acme(tmp_path, pebble.server)


@pytest.fixture
def records(names):
    """Those of a test's own, gone after it."""
    before = {key: list(values) for key, values in names.records.items()}
    yield names.records
    names.records.clear()
    names.records.update(before)


def request_of(acme, names, *asked, port=0, folders=None, within=60.0, **more):
    folders = (str(acme.folder),) if folders is None else folders
    return PreflightRequest(
        acme.request(*(asked or (NAME,)), **more),
        folders,
        Lookups((names.resolver,), names.port),
        port,
        within,
    )


def look(acme, names, *asked, **more):
    return acme.answer(request_of(acme, names, *asked, **more))


@contextmanager
def serving(port, status=404, location="", address="127.0.0.2"):
    """Somebody else, who answers otherwise."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            if location:
                self.send_header("Location", location + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_every_address_of_a_name_is_asked_for_our_own_answer(acme, names, records):
    port = free_port()
    records[NAME, "A"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    with acme.answering(port), serving(port):
        (found,) = look(acme, names, port=port).names
    ours, another, nobody = found.addresses
    assert (ours.address, ours.wrong) == ("127.0.0.1", "")
    assert "another server answers" in another.wrong
    assert another.wrong.endswith("with 404")
    assert nobody.wrong == "Connection refused"
    assert found.by_address


def test_the_answer_of_another_account_is_not_ours(acme, names, records):
    port = free_port()
    with answering(port, "of-another-account"):
        (found,) = look(acme, names, port=port).names
    assert found.addresses[0].wrong.endswith("with something else")


def test_an_ipv6_address_is_asked_too(acme, names, records):
    records[NAME, "AAAA"] = ["::1"]
    port = free_port()
    with acme.answering(port):
        (found,) = look(acme, names, port=port).names
    ours, other = found.addresses
    assert (ours.wrong, other.address) == ("", "::1")
    assert other.wrong


def test_redirects_are_followed_to_the_usual_ports_and_no_further(acme, names, records):
    port = free_port()
    records[NAME, "A"] = ["127.0.0.2"]
    with acme.answering(port), serving(port, 301, f"http://b.example.test:{port}"):
        (found,) = look(acme, names, port=port).names
    assert found.addresses[0].wrong == ""
    with serving(port, 302, "http://b.example.test:8099"):
        (found,) = look(acme, names, port=port).names
    assert "which authorities do not follow" in found.addresses[0].wrong
    with serving(port, 302, f"http://{NAME}:{port}"):
        (found,) = look(acme, names, port=port).names
    assert "redirects more than 10 times" in found.addresses[0].wrong


def test_caa_records_are_looked_for_up_the_tree(acme, names, records):
    records["example.test", "CAA"] = ['0 issue "ca.test"']
    (found,) = look(acme, names).names
    assert (found.caa_of, found.caa) == ("example.test", (Caa(0, "issue", "ca.test"),))
    records[NAME, "CAA"] = ['128 issue "other.test; validationmethods=dns-01"', '0 issuewild ";"']
    (found,) = look(acme, names).names
    assert found.caa_of == NAME
    assert {each.tag for each in found.caa} == {"issue", "issuewild"}


def test_resolvers_that_are_silent_are_told_with_their_address(acme, names, records):
    names.silent.add("127.0.0.1")
    try:
        (found,) = look(acme, names, within=8.0).names
    finally:
        names.silent.discard("127.0.0.1")
    assert f"cannot look up {NAME} in DNS: timed out" in found.trouble
    assert "see resolvers" in found.trouble


def test_the_clock_is_compared_and_the_disk_is_measured(acme, names, records):
    seen = look(acme, names)
    assert abs(seen.clock_ahead) < 30
    assert seen.room > 0
    assert seen.unwritable == ()
    assert [each.name for each in acme.folder.iterdir()] == ["account"]


def test_a_folder_that_cannot_be_written_is_told_and_nothing_else_is_asked(acme, names, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    seen = look(acme, names, folders=(str(blocked / "lineages"), "/proc/sys"))
    assert [each.split(":")[0] for each in seen.unwritable] == [str(blocked), "/proc/sys"]
    assert seen.names == ()
    assert not acme.key.exists()


@pytest.mark.parametrize(
    ("asked", "method", "said"),
    [
        ("*.example.test", None, "a wildcard needs dns-01"),
        (NAME, Lexicon("cloudfare"), "cloudfare"),
        (NAME, Lexicon("cloudflare"), "cloudflare"),
    ],
)
def test_what_could_not_be_proven_is_told_before_anything_is_ordered(
    acme, names, asked, method, said
):
    methods = {"methods": (Dns(method, Lookups((names.resolver,), names.port)),)} if method else {}
    assert said in look(acme, names, asked, **methods).unprovable


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("https://127.0.0.1:1/dir", "cannot reach 127.0.0.1:1: Connection refused"),
        ("https://127.0.0.1:{acme}/nothing-here", "cannot read the directory of the authority"),
        ("https:///dir", "is not a usable URL"),
    ],
)
def test_a_directory_that_is_wrong_or_does_not_answer_is_told(
    acme, names, pebble, directory, said
):
    at = acme.at(Server(directory.format(acme=pebble.acme), str(pebble.root)))
    with pytest.raises(AcmeFailure) as caught:
        look(at, names)
    assert said in caught.value.failure.text


def test_a_child_shows_the_same_and_orders_nothing(acme, names, pebble, records):
    before = pebble.log
    request = request_of(acme, names)
    assert asyncio.run(acme.child.preflight(request)).names == acme.answer(request).names
    at = acme.at(Server("https:///dir", str(pebble.root)))
    with pytest.raises(AuthorityError, match="is not a usable URL"):
        asyncio.run(at.child.preflight(request_of(at, names)))
    assert "POST /order-plz" not in pebble.log[len(before) :]
    assert "POST /sign-me-up" not in pebble.log[len(before) :]
