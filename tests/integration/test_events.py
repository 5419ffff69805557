"""`portico events`: what was done and who asked, followed over the death of the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from tests.stack import BIN, Stack
from tests.waiting import eventually

PROGRAM = """
[notify.page]
command = ["sh", "-c", 'cat >> "$0"; echo >> "$0"', "{page}"]
events = ["scale"]

[apps.web]
command = "sleep 1000"
port = false
"""


def test_events_say_who_asked_and_are_followed_over_the_death_of_the_daemon(tmp_path):
    with Stack() as stack, (tmp_path / "followed").open("w+") as out:
        page = tmp_path / "page"
        stack.up(PROGRAM.replace("{page}", str(page)))
        following = subprocess.Popen(
            [BIN / "portico", "events", "-f", "--json", "--kind", "scale,exit"],
            cwd=stack.folder,
            env=stack.environ,
            stdout=out,
            stderr=subprocess.PIPE,
        )

        def followed():
            return [json.loads(line) for line in (tmp_path / "followed").read_text().splitlines()]

        try:
            command = [BIN / "portico", "scale", "web", "2"]
            subprocess.run(command, cwd=stack.folder, env=stack.environ, check=True)
            [asked] = eventually(followed, 60)
            project = stack.folder.name
            assert (asked["kind"], asked["subject"], asked["project"]) == ("scale", "web", project)
            assert (asked["uid"], asked["command"]) == (os.geteuid(), "portico scale web 2")

            stack.kill_daemon()
            stack.done("scale", "web", "1")
            eventually(lambda: len(followed()) == 2, 60)
            assert followed()[1]["number"] > asked["number"]
        finally:
            following.send_signal(signal.SIGINT)
            _, said = following.communicate(timeout=60)
        assert b"Traceback" not in said

        sent = eventually(lambda: page.exists() and page.read_text().count("\n") == 2 and page, 60)
        documents = [json.loads(line) for line in sent.read_text().splitlines()]
        numbers = [each["number"] for document in documents for each in document["events"]]
        assert numbers == [each["number"] for each in followed()]

        lines = stack.done("events", "web", "--since", "1h", "--json").stdout.splitlines()
        kinds = {(each["kind"], each["subject"]) for each in map(json.loads, lines)}
        assert {("scale", "web"), ("ready", "web"), ("state", "web.1.1")} <= kinds
        assert stack.done("events", "--until", "1h").stdout.count("\n") == 1
        assert stack.done("events", "-n", "0").stdout.count("\n") == 1
