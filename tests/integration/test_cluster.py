"""Several machines, each a network namespace with a whole Portico in it."""

from __future__ import annotations

from tests.cluster import SITE, Machines, needs_root
from tests.stack import PROGRAMS

pytestmark = needs_root
APPS = f"""
[apps.web]
command = ["node", "{PROGRAMS}/echo.js"]
instances = 1

[sites."{SITE}"]
app = "web"
"""


def test_a_machine_that_is_cut_off_is_silent_until_it_is_mended() -> None:
    with Machines("m1", "m2") as machines:
        machines.up(APPS)
        assert machines["m1"].answers(SITE)
        with machines.load("m1", requests=20, connections=2) as load:
            assert load.report().requests == 20
        assert load.report().lost == 0
        machines.cut("m2")
        with machines.load("m2", requests=1, connections=1, timeout=0.5) as load:
            assert load.report().failed == {"GET timeout": 1}
        assert machines["m2"].answers(SITE)
        machines.mend("m2")
        with machines.load("m2", requests=20, connections=2) as load:
            assert load.report().lost == 0
        machines.die("m1")
        with machines.load("m1", requests=1, connections=1, timeout=0.5) as load:
            assert load.report().lost == 1
