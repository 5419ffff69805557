from __future__ import annotations

import pytest

from portico.core.config.rules import machine_problems
from tests.documents import problems_of, read


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("", ": needs a command or a script"),
        ('script = "a.js"\ncommand = "b"', ": has a command and a script; set only one"),
        ('command = "  "', '.command: must name a program, not "  "'),
        ("command = []", ".command: must name a program, not []"),
        (
            'command = "a"\ninterpreter = "node"',
            ".interpreter: is for a script, but the app has a command",
        ),
        (
            'command = "a"\ninterpreter_args = "-u"',
            ".interpreter_args: is for a script, but the app has a command",
        ),
        ('command = "a"\nfail_timeout = "500ms"', ".fail_timeout: must be whole seconds, not 0.5"),
        (
            'command = "a"\nbackoff = 60',
            ".backoff_limit: must be at least backoff, 60 seconds, not 15",
        ),
        (
            'command = "a"\nport = false\nhealth = "/"',
            ".health: needs a command, because port is false",
        ),
        (
            'command = "a"\nport = false\nschedule = "@daily"\nwait_ready = true',
            ".wait_ready: cannot be combined with schedule: nothing waits for it",
        ),
        (
            'command = "a"\nslots.2 = {}',
            ".slots.2: is not a slot of the app, which has 1 instance",
        ),
        (
            'command = "a"\ninstances = 3\nslots.4.down = true',
            ".slots.4: is not a slot of the app, which has 3 instances",
        ),
        ('command = "a"\ntimeout = 5', ".timeout: needs a schedule"),
        ('command = "a"\ntz = "UTC"', ".tz: needs a schedule"),
        (
            'command = "a"\nschedule = "@daily"',
            ".schedule: is only for a program without a port (write port = false)",
        ),
        (
            'command = "a"\nschedule = "@daily"\nport = false\ninstances = 2',
            ".instances: must be 1 with schedule: one run at a time",
        ),
        (
            'command = "a"\nschedule = "@daily"\nport = false\nwatch = true',
            ".watch: cannot be combined with schedule: each run exits by itself",
        ),
    ],
)
def test_an_app_that_makes_no_sense_by_itself(app, problem):
    assert problems_of(f"[apps.web]\n{app}") == [f"apps.web{problem}"]


@pytest.mark.parametrize(
    "app",
    [
        'command = "a b"\nargs = "c"',
        'command = ["a", ""]',
        'script = "a.js"\ninterpreter = "node"\ninterpreter_args = ["-r", "x"]',
        'command = "a"\ninstances = "max"\nslots.64.weight = 2',
        'command = "a"\nfail_timeout = "2m"',
        'command = "a"\nport = false',
    ],
)
def test_an_app_that_makes_sense(app):
    assert problems_of(f"[apps.web]\n{app}") == []


def test_only_root_may_run_programs_as_somebody_else():
    document = read(
        """
        apps.web = { command = "a", user = "ann" }
        apps.api = { command = "a", group = "www" }
        edge.user = "nginx"
        """
    )
    problems = machine_problems(document, root=False, cores=2)
    assert list(map(str, problems)) == [
        "apps.web.user: can be set only where Portico runs as root",
        "apps.api.group: can be set only where Portico runs as root",
        "edge.user: can be set only where Portico runs as root",
    ]
    assert machine_problems(document, root=True, cores=2) == []
