"""`portico cluster join` ends when the others make their changes on the new machine too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from portico.cli.cluster import joining_by_token
from portico.cli.cluster.joining_by_token import wait_until_present
from portico.cli.session import Session
from portico.core.model.cluster_views import ClusterView, MemberView
from portico.errors import Failed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining_by_token, "is_reachable", lambda _: True)
    monkeypatch.setattr(joining_by_token, "PRESENT_INTERVAL", 0.0)


class Joined:
    """A machine m2 whose daemon gives these answers, the last one again and again; None: none."""

    def __init__(self, *present: bool | None) -> None:
        self.asked, self.said, self._present = 0, list[str](), present
        self.home = SimpleNamespace(socket=Path("/nowhere"))
        self.terminal = SimpleNamespace(write_labelled=lambda _, text: self.said.append(text))

    def client(self) -> SimpleNamespace:
        return SimpleNamespace(ask=self._view)

    def _view(self, _: object) -> ClusterView:
        present = self._present[min(self.asked, len(self._present) - 1)]
        self.asked += 1
        if present is None:
            raise Failed("the daemon has closed the connection")
        other = MemberView(name="m1", address="10.0.0.1", port=8445, state="in", present=True)
        own = MemberView(name="m2", address="10.0.0.2", port=8445, state="in", present=present)
        return ClusterView(
            machine="m2", cluster="c", followed=True, revision=1, machines=(other, own)
        )


def test_it_is_asked_until_the_machine_is_in_the_store() -> None:
    joined = Joined(False, None, False, True)
    wait_until_present(cast(Session, joined), "m2")
    assert (joined.asked, joined.said) == (4, [])


def test_what_follows_from_an_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining_by_token, "PRESENT_TIMEOUT", 0.0)
    joined = Joined(False)
    wait_until_present(cast(Session, joined), "m2")
    [said] = joined.said
    assert said.startswith("the daemon of m2 is not connected to the cluster's store yet.")
