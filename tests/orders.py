"""What tests of certificate authorities share: an account, its orders, and who answers for it."""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.child.main import perform
from portico.adapters.acme.child.order_folder import CHAIN
from portico.adapters.acme.child.protocol.accounts import open_account
from portico.adapters.acme.child_client import AcmeChild
from portico.adapters.acme.methods import Http, Method
from portico.adapters.acme.wire import (
    Account,
    AccountAnswer,
    AccountRequest,
    Answer,
    Failure,
    IssuedCertificate,
    IssueRequest,
    ManualSteps,
    Progress,
    Request,
    Server,
    Step,
)
from portico.adapters.certificates.facts import facts
from portico.adapters.certificates.wire import Pair
from portico.core.model.pair import Facts
from portico.system.clock import SystemClock
from portico.system.waiting import pause
from tests.fakes.pebble import MISSING, WHY_SKIPPED

needs_pebble = pytest.mark.skipif(bool(MISSING), reason=WHY_SKIPPED)


@dataclass(frozen=True)
class OpenAccount:
    """An account as an order or a revocation has it, and what the authority shows of it."""

    url: str
    thumbprint: str
    status: str
    contact: tuple[str, ...]
    created: bool


class Acme:
    """An account at an authority, and a folder for its orders."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.key = folder / "account" / "key.pem"
        self.orders = folder / "orders"
        self.child = AcmeChild(sys.executable)
        self.said: list[Progress] = []

    def at(self, server: Server) -> Acme:
        """The same files, at the authority under another address."""
        return Acme(self.folder, server)

    def own(self, **more: object) -> Account:
        contact = ("ops@example.com",)
        return Account(
            **({"server": self.server, "key": str(self.key), "contact": contact} | more)
        )

    def account(self, **more: object) -> OpenAccount:
        """Found or made, as an order does it."""
        context = self._context(60.0)
        with context.exits:
            authority = open_account(self.own(**more), context)
            document = authority.use(authority.account_url)
        contact = tuple(each.removeprefix("mailto:") for each in document.contact or ())
        created = "account" in self.steps
        return OpenAccount(
            authority.account_url, authority.thumbprint, document.status, contact, created
        )

    def ask_account(self, do: Literal["key", "rollover", "deactivate"]) -> AccountAnswer:
        answer = self.answer(AccountRequest(self.own(), do))
        assert isinstance(answer, AccountAnswer)
        return answer

    def request(self, *names: str, order: str = "one", **more: object) -> IssueRequest:
        settings = {"methods": (Http(),), "deadline": 120.0, "account": self.own()} | more
        return IssueRequest(order=order, folder=str(self.orders), names=names, **settings)

    def ask(self, request: IssueRequest) -> IssuedCertificate | ManualSteps:
        answer = self.answer(request)
        assert isinstance(answer, IssuedCertificate | ManualSteps)
        return answer

    def issue(self, *names: str, **more: object) -> IssuedCertificate:
        """A certificate with which everything is right."""
        issued = self.ask(self.request(*names, **more))
        assert isinstance(issued, IssuedCertificate)
        assert facts_of(issued, *names).problems == ()
        return issued

    def fail(self, *names: str, **more: object) -> Failure:
        with pytest.raises(AcmeFailure) as caught:
            self.ask(self.request(*names, **more))
        return caught.value.failure

    def answer(self, request: Request) -> Answer:
        """What a child does, without the half second that starting one takes."""
        return perform(request, self._context(request.deadline))

    def _context(self, deadline: float) -> RunContext:
        clock = SystemClock()
        self.said.clear()

        def say(step: Step, text: str) -> None:
            self.said.append(Progress(step, text, clock.now()))

        return RunContext(clock, pause, clock.monotonic() + deadline, say)

    @property
    def notes(self) -> list[str]:
        return [each.text for each in self.said if each.step == "note"]

    @property
    def steps(self) -> list[str]:
        return [each.step for each in self.said]

    @contextmanager
    def answering(self, port: int) -> Iterator[None]:
        """Answer HTTP-01 for this account and any token, as nginx does."""
        with answering(port, self.ask_account("key").thumbprint):
            yield


def facts_of(issued: IssuedCertificate, *names: str) -> Facts:
    """What a daemon finds that stores it."""
    chain = str(Path(issued.key).with_name(CHAIN))
    pair: Pair = {"certificate": chain, "key": issued.key, "names": list(names)}
    return Facts(**facts(pair, time.time()))


def by(method: Method) -> dict[str, object]:
    return {"methods": (method,)}


@contextmanager
def answering(port: int, thumbprint: str) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{self.path.rsplit('/', 1)[-1]}.{thumbprint}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
