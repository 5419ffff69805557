"""The daemon's side of a child that talks to an authority."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from portico.adapters.acme.child_client import AcmeChild
from portico.adapters.acme.methods import Command, Dns, Lexicon, Lookups, Rfc2136
from portico.adapters.acme.wire import Account, AccountRequest, BegunOrder, IssueRequest, Server
from portico.core.model.certificate import Binding
from portico.errors import Failed
from portico.ports.certificates import AuthorityError
from tests.addresses import free_port
from tests.waiting import eventually, is_gone


def program(tmp_path, text):
    """Something that takes the place of the interpreter."""
    file = tmp_path / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def request(tmp_path, deadline=20.0):
    server = Server(f"https://127.0.0.1:{free_port()}/dir")
    return AccountRequest(Account(server, str(tmp_path / "key.pem")), "key", deadline=deadline)


def test_a_child_that_hangs_is_stopped_with_all_that_it_has_started(tmp_path):
    hanging = program(tmp_path, f"sleep 600 &\necho $! > {tmp_path}/pid\nwait")
    child = AcmeChild(hanging, cleanup_time=0.5)

    with pytest.raises(AuthorityError, match=r"timed out after 3 s and was stopped"):
        asyncio.run(child.account(request(tmp_path, deadline=2.5)))

    assert_gone(tmp_path / "pid")


def test_a_call_that_is_given_up_takes_its_child_along(tmp_path):
    hanging = program(tmp_path, f"sleep 600 &\necho $! > {tmp_path}/pid\nwait")
    child = AcmeChild(hanging)

    async def give_up():
        async with asyncio.TaskGroup() as group:
            call = group.create_task(child.account(request(tmp_path)))
            async with asyncio.timeout(60):
                while not written(tmp_path / "pid"):  # noqa: ASYNC110 - by another process
                    await asyncio.sleep(0.01)
            call.cancel()

    asyncio.run(give_up())
    assert_gone(tmp_path / "pid")


def test_what_a_child_that_has_crashed_left_running_is_ended(tmp_path):
    crashing = program(tmp_path, f"sleep 600 >&- 2>&- &\necho $! > {tmp_path}/pid\nexit 1")

    with pytest.raises(AuthorityError, match="the child process for account failed: exit 1"):
        asyncio.run(AcmeChild(crashing).account(request(tmp_path)))

    assert_gone(tmp_path / "pid")


def written(file):
    return file.exists() and file.read_text()


def assert_gone(file):
    eventually(lambda: is_gone(int(file.read_text())))


def test_a_child_that_fails_is_told_with_its_last_words(tmp_path):
    failing = program(tmp_path, "echo one >&2; echo 'the disk is on fire' >&2; exit 3")

    with pytest.raises(
        AuthorityError, match="the child process for account failed: the disk is on fire"
    ):
        asyncio.run(AcmeChild(failing).account(request(tmp_path)))


def test_an_interpreter_that_is_not_there_is_told(tmp_path):
    with pytest.raises(AuthorityError, match="cannot run /no/python: No such file or directory"):
        asyncio.run(AcmeChild("/no/python").account(request(tmp_path)))


def test_the_real_child_tells_what_it_did_and_what_still_holds(tmp_path):
    account = request(tmp_path).account
    asked = IssueRequest(account, "one", str(tmp_path / "orders"), ("a.test",), ())
    said = []

    with pytest.raises(AuthorityError) as caught:
        asyncio.run(AcmeChild(sys.executable).issue(asked, said.append))

    assert [each.step for each in said] == ["key"]
    assert str(caught.value).startswith(
        "cannot read the directory of the authority: cannot reach 127.0.0.1:"
    )
    assert str(caught.value).endswith("Connection refused; existing certificates remain in use")


def test_progress_is_told_in_order_and_what_libraries_print_is_ignored(tmp_path):
    lines = [
        {"progress": {"step": "key", "text": "made a key", "at": 1.0}},
        "a library says hello",
        {"progress": {"step": "order", "text": "sent", "at": 2.0}},
        {"answer": {"type": "BegunOrder", "url": "https://a.test/1"}},
    ]
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    (tmp_path / "lines").write_text(text)
    child = AcmeChild(program(tmp_path, f"cat > /dev/null; cat {tmp_path}/lines"))
    asked = IssueRequest(request(tmp_path).account, "one", str(tmp_path), ("a.test",), ())
    said = []

    answer = asyncio.run(child.issue(asked, said.append))

    assert [each.step for each in said] == ["key", "order"]
    assert answer == BegunOrder("https://a.test/1")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("acme.child_client", ("cryptography", "requests", "acme", "josepy", "dns")),
        ("acme.child.main", ("pydantic", "asyncio", "dns")),
        ("certificates.facts", ("pydantic", "asyncio", "requests")),
    ],
)
def test_neither_the_daemon_nor_a_child_imports_what_only_the_other_needs(module, heavy):
    there = f"print([name for name in {heavy} if name in sys.modules])"
    text = f"import portico.adapters.{module}, sys; {there}"
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"


def test_secrets_reach_the_child_on_its_standard_input_only(tmp_path):
    seen = tmp_path / "seen"
    looking = program(
        tmp_path, f'cat > {tmp_path}/given; echo "$@" > {seen}; env >> {seen}; exit 1'
    )
    publishers = (
        Rfc2136("127.0.0.1:53", "key", "secret-of-tsig"),
        Lexicon("cloudflare", {"auth_token": "secret-of-lexicon"}),
        Command(("hook",), environ={"TOKEN": "secret-of-hook"}),
    )
    methods = tuple(Dns(each, Lookups()) for each in publishers)
    account = Account(Server("https://a.test/dir"), "k", (), Binding("kid", "secret-of-eab"))
    asked = IssueRequest(account, "one", str(tmp_path), ("a.test",), methods)

    with pytest.raises(AuthorityError):
        asyncio.run(AcmeChild(looking).issue(asked))

    assert (tmp_path / "given").read_text().count("secret-of-") == 4
    assert "secret-of-" not in seen.read_text()
    assert "secret-of-" not in repr(asked)


def test_an_order_that_is_being_worked_on_is_not_forgotten(tmp_path):
    folder = tmp_path / "orders" / "one"
    folder.mkdir(parents=True)
    child = AcmeChild(sys.executable)
    text = (
        "import fcntl, os, sys, time; d = os.open(sys.argv[1], os.O_RDONLY);"
        "fcntl.flock(d, fcntl.LOCK_EX); print(1, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", text, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as working:
        working.stdout.readline()
        with pytest.raises(Failed, match="cannot remove order one: another process is using it"):
            asyncio.run(child.forget(str(tmp_path / "orders"), "one"))
        working.kill()

    asyncio.run(child.forget(str(tmp_path / "orders"), "one"))
    asyncio.run(child.forget(str(tmp_path / "orders"), "one"))
    assert not folder.exists()
    with pytest.raises(Failed, match="as an order's name"):
        asyncio.run(child.forget(str(tmp_path / "orders"), "../x"))


def test_two_runs_of_one_order_take_turns_and_the_second_gives_up_in_time(tmp_path):
    folder = tmp_path / "orders" / "one"
    folder.mkdir(parents=True)
    server = Server(f"https://127.0.0.1:{free_port()}/dir")
    account = Account(server, str(tmp_path / "account" / "key.pem"))
    asked = IssueRequest(account, "one", str(folder.parent), ("a.test",), (), deadline=1.0)
    text = (
        "import fcntl, os, sys, time; d = os.open(sys.argv[1], os.O_RDONLY);"
        "fcntl.flock(d, fcntl.LOCK_EX); print(1, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, str(folder)], stdout=subprocess.PIPE
    ) as working:
        working.stdout.readline()
        with pytest.raises(AuthorityError, match=f"while another process is using {folder}"):
            asyncio.run(AcmeChild(sys.executable).issue(asked))
        working.kill()
    assert not Path(account.key).exists()
