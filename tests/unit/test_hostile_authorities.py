"""Whatever an authority, a name server or the child itself answers: an answer, or words."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import dns.message
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.acme import child_client
from portico.adapters.acme.authorities import Authorities
from portico.adapters.acme.child.challenges.dns.lookup import AuthoritativeServer, Lookup
from portico.adapters.acme.child.challenges.dns.propagation import (
    ExpectedRecord,
    wait_until_served,
)
from portico.adapters.acme.child.challenges.dns.publisher import Entry
from portico.adapters.acme.child.challenges.dns.rfc2136 import Updates
from portico.adapters.acme.child.checks import renewal
from portico.adapters.acme.child.checks.directory import directory
from portico.adapters.acme.child.checks.self_check import SelfCheck
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.documents import ORDER, problem_of
from portico.adapters.acme.child.failures import AcmeFailure, FailedAnswer, denial, retry_after
from portico.adapters.acme.child.orders.chains import choose, is_for, issuers, read_chain
from portico.adapters.acme.child.protocol import network
from portico.adapters.acme.child.protocol.authority import Authority
from portico.adapters.acme.child.protocol.keys import make_key, read_jwk, read_key
from portico.adapters.acme.child_client import AcmeChild
from portico.adapters.acme.methods import Http, Lookups, Rfc2136
from portico.adapters.acme.wire import (
    AccountAnswer,
    IssuedCertificate,
    Line,
    Progress,
    RenewalInfo,
    RenewalInfoRequest,
    Server,
)
from portico.adapters.certificates.account_keys import pem_of
from portico.adapters.certificates.examine import examine
from portico.adapters.certificates.facts import facts
from portico.core.model.order import Order
from portico.errors import Failed
from portico.ports.certificates import AuthorityError
from portico.system.x509 import ari_id
from tests.examples import examples
from tests.signing import Signer
from tests.unit.certificates import FIRST, lineage

# It says so on standard error of the child that reads them, and goes on.
pytestmark = pytest.mark.filterwarnings(
    "ignore::cryptography.utils.CryptographyDeprecationWarning"
)

LONGEST_TEXT = 100_000
NOW = 1_800_000_000.0


class Hasty:
    """A clock that waiting moves on, so that an hour of a run takes no time."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        return NOW + self.ahead

    def monotonic(self):
        return time.monotonic() + self.ahead

    def wait(self, seconds):
        self.ahead += max(seconds, 0.01)


def context(seconds=60.0):
    clock = Hasty()
    return RunContext(clock, clock.wait, clock.monotonic() + seconds, lambda *_: None)


class Scripted:
    """A server that answers each connection to it with the bytes of the moment, and closes it."""

    def __init__(self):
        self.answer = lambda _request: b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with closing(connection), suppress(OSError):
                connection.settimeout(5)
                connection.sendall(self.answer(self._request(connection)))

    @staticmethod
    def _request(connection):
        head = b""
        while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
        return head

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def scripted():
    with closing(Scripted()) as server:
        yield server


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
urls = st.sampled_from(
    ["http://[::1", "ftp://a", "", "http://127.0.0.1:1/", "http://\u2603" * 30, "a"]
)
FIELDS = ["type", "detail", "status", "identifier", "subproblems", "authorizations", "finalize"]
FIELDS += ["challenges", "contact", "orders", "certificate", "token", "url", "error", "meta"]
FIELDS += ["newNonce", "newAccount", "newOrder", "suggestedWindow", "profiles", "identifiers"]
documents = st.dictionaries(st.sampled_from(FIELDS), values | urls).map(json.dumps)
bodies = (
    st.binary(max_size=60) | documents.map(str.encode) | st.just(10_000).map(lambda n: b"[" * n)
)
moments = st.sampled_from(
    ["\u00b2", "-1", "1e400", "9" * 400, "Fri, 31 Feb 2026 25:61:61 GMT", "Mon, 1 Jan 99999", "3"]
)
latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12)
HEADERS = ["Retry-After", "Replay-Nonce", "Location", "Link", "Date", "Content-Encoding"]
HEADERS += ["Content-Type", "Content-Length", "Transfer-Encoding"]
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    latin | moments | urls | st.just('<http://127.0.0.1:1/>;rel="alternate"') | st.just("abc"),
)


def answer(status, fields, body):
    lines = [
        f"HTTP/1.1 {status} X",
        "Connection: close",
        *(f"{k}: {v}" for k, v in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


answers = st.builds(answer, st.sampled_from([200, 201, 400, 429, 500, 503, 302]), headers, bodies)
answers |= st.binary(max_size=60)


def in_words(act):
    said = None
    try:
        act()
    except AcmeFailure as failure:
        said = failure.failure
    assert said is None or 0 < len(said.text) < LONGEST_TEXT
    msgspec.json.encode(Line(failure=said))


def test_of_a_text_without_end_the_beginning_is_kept():
    word = "x" * 1_000_000
    answer = SimpleNamespace(content=json.dumps({"status": word}).encode(), url="http://a.test/1")
    with pytest.raises(AcmeFailure) as caught:
        network.Network.read(None, ORDER, answer, "get the order")
    assert len(str(caught.value)) < 1000

    window = {"start": "2026-01-02T04:00:00Z", "end": "2026-01-03T04:00:00Z"}
    info = {"suggestedWindow": window, "explanationURL": word}
    assert (
        len(
            renewal._read(  # noqa: SLF001
                json.dumps(info).encode(), "id", 1.0, 2.0
            ).explanation
        )
        < 3000
    )


@examples(60)
@given(answers)
def test_any_directory_is_read_or_refused(scripted, given_answer):
    scripted.answer = lambda _: given_answer
    server = Server(f"http://127.0.0.1:{scripted.port}/directory")
    run = context()
    with run.exits:
        in_words(lambda: directory(server, run))


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("account") / "key.pem"
    make_key(path, "ecdsa-p256")
    return read_jwk(path)


@examples(40)
@given(answers, st.integers(0, 6))
def test_any_answer_to_a_signed_request_is_read_or_refused(scripted, key, given_answer, which):
    base = f"http://127.0.0.1:{scripted.port}"
    good = {each: f"{base}/{each}" for each in ("newNonce", "newAccount", "newOrder")}
    good |= {"revokeCert": f"{base}/revoke", "keyChange": f"{base}/change"}

    def answer_to(request):
        if b"GET /directory" in request:
            return answer(200, {}, json.dumps(good).encode())
        if b"HEAD " in request:
            return answer(200, {"Replay-Nonce": "AAAA"}, b"")
        return given_answer

    scripted.answer = answer_to
    run = context()
    with run.exits:
        authority = Authority(Server(f"{base}/directory"), run, key)
        acts = [
            lambda: authority.register((), None),
            lambda: authority.use(f"{base}/account"),
            lambda: authority.new_order(["a.test"], None, None),
            lambda: authority.order(f"{base}/order"),
            lambda: authority.authorization(f"{base}/authorization"),
            lambda: [read_chain(each) for each in authority.chains(f"{base}/chain")],
            lambda: list(authority.open_orders()),
        ]
        in_words(acts[which])


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_an_answer_without_an_end_is_given_up(scripted, encoding):
    import gzip  # noqa: PLC0415 - one case's

    body = b" " * (network.MAX_ANSWER_SIZE * 4)
    fields = {"Content-Encoding": encoding} if encoding else {}
    scripted.answer = lambda _: answer(200, fields, gzip.compress(body) if encoding else body)
    run = context()
    with run.exits, pytest.raises(AcmeFailure, match="its answer has more than"):
        directory(Server(f"http://127.0.0.1:{scripted.port}/"), run)


@given(bodies, st.sampled_from([400, 403, 429, 500]), st.none() | latin | moments)
def test_any_problem_document_is_told_in_words(body, status, header):
    now = 1_800_000_000.0
    answered = FailedAnswer("order", "a.test", status, now, retry_after(header, now))
    failure = denial(problem_of(body, status), answered)
    assert 0 < len(failure.text) < LONGEST_TEXT


@pytest.mark.parametrize(
    "detail",
    ["retry after 9999-99-99 99:99:99", "retry after 1970-01-01 00:00:01", "retry after 1970"],
)
def test_a_moment_that_cannot_be_is_no_moment(detail):
    problem = problem_of(json.dumps({"type": "x:rateLimited", "detail": detail}).encode(), 429)
    assert denial(problem, FailedAnswer("order", "a.test", 429, 1_800_000_000.0)).retry_at is None


@given(st.none() | latin | moments | st.text(max_size=20) | st.datetimes().map(str))
def test_retry_after_is_a_bounded_number_of_seconds_or_none(header):
    seconds = retry_after(header, 1_800_000_000.0)
    assert seconds is None or 0 <= seconds <= 366 * 86400


def test_problems_in_problems_without_an_end_are_told_in_a_few_lines():
    problem = {"type": "x:dns", "detail": "d" * 5000, "identifier": {"type": "dns", "value": "a"}}
    for _ in range(60):
        problem = problem | {"subproblems": [problem] * 2}
        if len(json.dumps(problem)) > 1_000_000:
            break
    failure = denial(
        problem_of(json.dumps(problem).encode(), 400), FailedAnswer("x", "a", 400, 0.0)
    )
    assert len(failure.text) < 10_000


# certificates


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    found = Signer().sign("a.test", "*.a.test", at=NOW)
    return found, read_key(Path(found.key_file(tmp_path_factory.mktemp("k"))))


def spoiled(pem, changes):
    """The first certificate with some of its octets changed."""
    head, _, rest = pem.partition("-----BEGIN CERTIFICATE-----\n")
    body, end, after = rest.partition("-----END CERTIFICATE-----\n")
    der = bytearray(base64.b64decode(body))
    for place, octet in changes:
        der[place % len(der)] = octet
    text = base64.encodebytes(bytes(der)).decode()
    return f"{head}-----BEGIN CERTIFICATE-----\n{text}{end}{after}"


changes = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4)


@examples(80)
@given(changes)
def test_a_certificate_of_any_octets_is_checked_or_refused(signed, changes):
    given_chain, key = signed
    pem = spoiled(given_chain.chain, changes)

    def look():
        chosen = choose([pem, given_chain.chain], "Test Root")
        chain = read_chain(chosen.pem)
        issuers(chain)
        is_for(chain[0], key)
        ari_id(chain[0])

    in_words(look)


@examples(60)
@given(changes, st.binary(max_size=30), st.booleans())
def test_an_own_pair_of_any_octets_is_judged_in_words(
    tmp_path_factory, signed, changes, junk, ends
):
    given_chain, _ = signed
    folder = tmp_path_factory.mktemp("pair")
    pem = spoiled(given_chain.chain, changes).encode()
    (folder / "chain.pem").write_bytes(pem + junk if ends else junk + pem)
    (folder / "key.pem").write_bytes(given_chain.key.encode() if ends else junk)
    pair = {"certificate": str(folder / "chain.pem"), "key": str(folder / "key.pem")}
    examine(pair | {"names": ["a.test"]}, NOW)
    facts(pair | {"names": ["a.test"]}, NOW)


# name servers


@pytest.fixture(scope="module")
def name_server():
    with closing(NameServer()) as server:
        yield server


class NameServer:
    """Answers each question over UDP and TCP with the bytes of the moment."""

    def __init__(self):
        self.answer = lambda query: query
        self._tcp = self._udp = None
        while self._tcp is None:  # a port that is free for one may be taken for the other
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp = socket.create_server(("127.0.0.1", self.port))
            except OSError:
                self._udp.close()
        self._threads = [threading.Thread(target=each) for each in (self._by_udp, self._by_tcp)]
        for each in self._threads:
            each.start()

    def _by_udp(self):
        while True:
            query, peer = self._udp.recvfrom(65536)
            if not query:
                return
            self._udp.sendto(self.answer(query), peer)

    def _by_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with closing(connection), suppress(OSError):
                connection.settimeout(5)
                query = connection.recv(65536)[2:]
                reply = self.answer(query)
                connection.sendall(len(reply).to_bytes(2, "big") + reply[: len(reply) // 2 + 3])

    def close(self):
        self._udp.sendto(b"", ("127.0.0.1", self.port))
        self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        for each in self._threads:
            each.join(10)
        self._udp.close()


def reply(flags, counts, after):
    """To a question: its number and itself, with other flags, counts and records."""

    def to(query):
        head = query[:2] + flags + b"\0\1" + counts
        return head + query[12:] + after

    return to


records = st.sampled_from(
    [
        b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x0c",  # a CNAME to itself
        b"\xc0\x0c\0\5\0\1\0\0\0\0\0\1\0",  # to the root
        b"\xc0\x0c\0\5\0\1\0\0\0\0\0\4\2\xff\x07\0",
        b"\xc0\x0c\0\2\0\1\0\0\0\0\0\1\0",
        b"\xc0\x0c\0\x10\0\1\0\0\0\0\0\3\2\xff\xfe",
        b"\xc0\x0c\1\1\0\1\0\0\0\0\0\7\0\2\xff\xff\xff\xff\xff",  # a CAA of no letters
        b"\xc0\x0c\0\1\0\1\0\0\0\0\0\1\x7f",  # an address of one octet
        b"\xc0\xff\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1",  # a pointer to nowhere
    ]
)
replies = st.builds(
    reply,
    st.sampled_from(
        [b"\x84\x00", b"\x80\x00", b"\x86\x00", b"\x84\x03", b"\x84\x02", b"\xff\xff"]
    ),
    st.sampled_from([b"\0\0\0\0\0\0", b"\0\1\0\0\0\0", b"\0\2\0\0\0\0", b"\0\1\0\1\0\1"]),
    st.lists(records | st.binary(max_size=12), max_size=3).map(b"".join),
)


@examples(25)
@given(replies)
def test_any_answer_of_a_resolver_is_read_or_told_in_words(name_server, to):
    name_server.answer = to
    run = context(0.03)
    lookup = Lookup(Lookups((f"127.0.0.1:{name_server.port}",), name_server.port), run)
    for ask in (lookup.target, lookup.addresses, lookup.caa, lookup.servers):
        in_words(lambda ask=ask: ask("a.test"))


@examples(30)
@given(replies)
def test_any_answer_of_an_authoritative_server_is_read_or_told_in_words(name_server, to):
    name_server.answer = to

    class Known:
        def servers(self, _zone):
            return [AuthoritativeServer("ns.a.test", "127.0.0.1", name_server.port)]

    wanted = [ExpectedRecord("_acme-challenge.a.test", "a.test", frozenset({"v"}))]
    in_words(lambda: wait_until_served(wanted, Known(), 0.1, context(0.3)))


@examples(30)
@given(
    replies,
    st.sampled_from(["hmac-sha256", "a..b", "\u2603" * 70, "x" * 70]),
    st.sampled_from(["key", "a..b", "\u2603" * 70, "", "x" * 300]),
    st.sampled_from(["a.test", "a..b", "x" * 70, ""]),
)
def test_any_answer_to_an_update_is_read_or_told_in_words(name_server, to, algorithm, name, zone):
    name_server.answer = to
    to_ask = Rfc2136(f"127.0.0.1:{name_server.port}", name, "c2VjcmV0", algorithm, zone)
    entry = Entry("a.test", "_acme-challenge.a.test", "a.test", "value")
    in_words(lambda: Updates(to_ask).put(entry, context(1.0)))


def test_a_question_is_one_that_these_servers_can_answer(name_server):
    name_server.answer = lambda q: dns.message.make_response(dns.message.from_wire(q)).to_wire()
    lookup = Lookup(Lookups((f"127.0.0.1:{name_server.port}",), name_server.port), context(5.0))
    assert lookup.addresses("a.test") == []


@examples(40)
@given(answers)
def test_any_answer_of_a_web_server_is_no_answer_to_a_challenge(scripted, given_answer):
    scripted.answer = lambda _: given_answer
    run = context(5.0)
    lookup = Lookup(Lookups(("127.0.0.1:1",)), run)
    found = SelfCheck("thumb", scripted.port, run).ask("a.test", "127.0.0.1", lookup, Http())
    assert found.wrong or found.unasked


# the child


@examples(30)
@given(
    st.lists(
        st.binary(max_size=40) | documents.map(str.encode) | st.just(b"x" * 200_000), max_size=6
    )
)
def test_any_line_of_a_child_is_passed_over_unless_it_is_an_answer(lines):
    async def read():
        stream = asyncio.StreamReader(limit=1 << 16)
        told = []
        for each in [*lines, b'{"answer": {"thumbprint": "t"}}', b"junk"]:
            stream.feed_data(each + b"\n")
        stream.feed_eof()
        return await child_client._read(stream, told.append)  # noqa: SLF001 - the seam of both processes

    line = asyncio.run(read())
    assert line is not None
    assert bytes(line.answer) == b'{"thumbprint": "t"}'


@pytest.mark.parametrize(
    "says",
    [
        """print('{"answer": 5}')""",
        """print('{"answer": {"thumbprint": 7, "contact": "x"}}')""",
        """print("x" * (1 << 23))""",
        """import sys; sys.stdout.buffer.write(b"\\xff\\n")""",
        "",
    ],
)
def test_a_child_that_answers_nonsense_has_failed_in_words(tmp_path, says, monkeypatch):
    program = tmp_path / "python"
    program.write_text(f"#!/usr/bin/env python3\n{says}\n")
    program.chmod(0o755)
    child = AcmeChild(str(program), cleanup_time=20.0)
    request = RenewalInfoRequest(Server("http://a.test/"), "/c.pem")
    answer_type = msgspec.json.Decoder(AccountAnswer)
    with pytest.raises(AuthorityError, match="the child process for renewal_info "):
        asyncio.run(child._ask(request, answer_type))  # noqa: SLF001 - of any request


NOTE = Line(progress=Progress("note", "a.test asked to wait 5 s", NOW))


def child_that_says(tmp_path, *lines):
    program = tmp_path / "python"
    said = "\n".join(msgspec.json.encode(line).decode() for line in lines)
    program.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    return str(program)


def test_a_note_of_an_order_is_passed_on(tmp_path):
    issued = Line(answer=msgspec.Raw(msgspec.json.encode(IssuedCertificate("chain", "/key"))))
    python = child_that_says(tmp_path, NOTE, issued)
    authorities, notes = Authorities(tmp_path, python, alpn="", tokens=""), []
    order = Order(lineage(), FIRST, "a.test.1")
    asyncio.run(
        authorities.issue(order, no_account=None, made_account=pytest.fail, note=notes.append)
    )
    assert notes == [NOTE.progress.text]


def test_a_note_that_nobody_asked_for_is_in_the_log(tmp_path, caplog):
    info = Line(answer=msgspec.Raw(msgspec.json.encode(RenewalInfo("id", NOW))))
    python = child_that_says(tmp_path, NOTE, info)
    request = RenewalInfoRequest(Server("http://a.test/"), "/c.pem")
    assert asyncio.run(AcmeChild(python).renewal_info(request)).id == "id"
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == ["certificate authority: a.test asked to wait 5 s"]


jwk_fields = st.sampled_from(["kty", "n", "e", "d", "p", "crv", "x", "y"])
jwk_values = values | st.sampled_from(["RSA", "EC", "P-256", "AQAB", "AA"])


@examples(60)
@given(st.text(max_size=30) | st.dictionaries(jwk_fields, jwk_values).map(json.dumps))
def test_an_account_key_of_any_text_is_a_key_or_none(text):
    with suppress(Failed):
        pem_of(text)
