from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("portico", deadline=None)
settings.load_profile("portico")

# Programs inherit that it is ignored from nohup, or a shell's &, under which the tests may run.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/*/*/expect again"
    )
