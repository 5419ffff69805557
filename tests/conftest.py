from __future__ import annotations

import gc
import signal
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine's other work than about the code.
# The same examples in every run, so that none is red by chance: new ones are looked for with
# `--hypothesis-profile=explore`. `quick` is that of ./scripts/check, which is run after each edit;
# ./scripts/test tries all. What fails is printed with how to reproduce it.
ANY_TIME = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile("portico", **ANY_TIME, derandomize=True, max_examples=50)
settings.register_profile("quick", **ANY_TIME, derandomize=True, max_examples=10)
settings.register_profile("explore", **ANY_TIME, max_examples=1000)
settings.load_profile("portico")

# Programs inherit that it is ignored from nohup, or a shell's &, under which the tests may run.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Collecting makes a million objects that last until the end: to look for cycles among them, then
# and in each test, takes an eighth of the processor time.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/*/*/expect again"
    )
    parser.addoption("--share", help="only a share of the files: 0/4, 1/4, 2/4 and 3/4 are all")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """By the name, so that each process knows its share: given the files of it one by one, pytest
    looks through their whole folder for each.
    """
    share = config.getoption("share")
    if not share or collection_path.suffix != ".py":
        return None
    number, shares = map(int, share.split("/"))
    return zlib.crc32(collection_path.name.encode()) % shares != number or None
