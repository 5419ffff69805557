"""Several operators at once, over the API of a whole Portico."""

from __future__ import annotations

import threading

from portico.client.client import Client
from portico.core.model import verbs
from portico.errors import PorticoError
from tests.waiting import eventually


def sites(*names: str) -> str:
    return "".join(
        f'[sites."{name}.localhost"]\nredirect = "https://elsewhere.example"\n' for name in names
    )


def test_a_file_put_in_force_is_not_undone_by_whoever_pauses_and_resumes_meanwhile(stack):
    stack.up(sites("old", *(f"s{number}" for number in range(30))))
    client, stop, said = Client(stack.home / "api.sock"), threading.Event(), list[str]()

    def pause_and_resume() -> None:
        while not stop.is_set():
            try:
                said.append(client.ask(verbs.PAUSE, site="s0.localhost").state)
                said.append(client.ask(verbs.RESUME, site="s0.localhost").state)
            except PorticoError as error:
                said.append(str(error))

    operator = threading.Thread(target=pause_and_resume)
    operator.start()
    try:
        eventually(lambda: len(said) > 2)
        stack.up(sites("new", "s0"))
    finally:
        stop.set()
        operator.join()
    status = stack.status()
    assert [site["name"] for site in status["sites"]] == ["new.localhost", "s0.localhost"]
    assert status["troubles"] == []
    assert stack.get("new.localhost").status == 308
    assert "old.localhost" not in stack.done("render").stdout
    assert set(said) == {"doing"}
