from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from portico.core.model.optimization import gain, is_debugging, nginx_warning, optimization
from portico.core.model.place import Build

NOW = datetime(2026, 11, 28, tzinfo=UTC).timestamp()
BUNDLED = Build(
    "/venv/nginx",
    (1, 31, 3),
    "OpenSSL 3.3.7",
    bundled=True,
    arguments="--with-cc-opt='-Os -fomit-frame-pointer -pipe' --with-debug",
)
DEBIANS = replace(
    BUNDLED,
    program="/usr/sbin/nginx",
    bundled=False,
    arguments="--with-cc-opt='-g -O2 -fstack-protector-strong' --with-debug --with-http_v2_module",
)


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (BUNDLED.arguments, "-Os"),
        (DEBIANS.arguments, "-O2"),
        ("--with-cc-opt='-O2 -O0'", "-O0"),
        ("--with-cc-opt=-O3", "-O3"),
        ("--add-module=/src/x-O2", "-O"),  # nginx's own default
        ("--prefix=/x --with-ld-opt='-Wl,-Ofoo'", "-O"),
        ("", ""),
    ],
)
def test_the_last_level_of_optimization_counts(arguments, level):
    assert optimization(replace(BUNDLED, arguments=arguments)) == level


def test_debugging_is_an_argument_of_its_own():
    assert is_debugging(BUNDLED)
    assert not is_debugging(replace(BUNDLED, arguments="--add-module=/x/--with-debug"))


def test_only_an_optimized_nginx_in_place_of_the_included_one_is_said_to_be_faster():
    assert "1.5 to 2 times" in gain(BUNDLED, DEBIANS)
    assert gain(DEBIANS, BUNDLED) == ""
    assert gain(BUNDLED, replace(DEBIANS, arguments="--with-cc-opt=-g")) == ""


def test_only_the_nginx_that_came_with_portico_is_warned_of():
    assert "OpenSSL 3.3.7, unsupported since 2026-04-09" in nginx_warning(BUNDLED, NOW)
    assert "1.5 to 2 times the processor time" in nginx_warning(BUNDLED, NOW)
    supported = replace(BUNDLED, openssl="OpenSSL 3.5.4")
    assert "OpenSSL" not in nginx_warning(supported, NOW)
    assert "1.5 to 2 times the processor time" in nginx_warning(supported, NOW)
    assert nginx_warning(replace(BUNDLED, bundled=False), NOW) == ""
