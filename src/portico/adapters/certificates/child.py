"""Does the work that needs `cryptography`, and ends: `python -I -m <this module> < request`.

The daemon never imports `cryptography`, which would cost it 15 MB for a few minutes of work a
year. See `wire` for what is asked and answered.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import assert_never

from portico.adapters.certificates.authority import local_authority
from portico.adapters.certificates.index import AUTHORITY, ROOT
from portico.adapters.certificates.lineage import files
from portico.adapters.certificates.signing import ensure_certificates, lock
from portico.adapters.certificates.wire import Request
from portico.errors import PorticoError


def main() -> None:
    try:
        answered = answer(json.load(sys.stdin))
    except (OSError, PorticoError) as error:
        sys.exit(str(error))
    json.dump(answered, sys.stdout)


def answer(request: Request) -> object:  # noqa: PLR0911 - one for each act
    if request["act"] == "root":
        folder = Path(request["folder"])
        with lock(folder):
            local_authority(folder, request["host"], request["now"])
        return str(folder / AUTHORITY / ROOT)
    if request["act"] == "local":
        folder = Path(request["folder"])
        entries = ensure_certificates(folder, request["host"], request["lineages"], request["now"])
        return {
            lineage: asdict(files(folder, lineage, entry["generation"]))
            for lineage, entry in entries.items()
        }
    # With what only these need the first `up` would wait for half as much again.
    if request["act"] == "examine":
        from portico.adapters.certificates.examine import examine  # noqa: PLC0415

        return [examine(pair, request["now"]) for pair in request["pairs"]]
    if request["act"] == "facts":
        from portico.adapters.certificates.facts import facts  # noqa: PLC0415

        return [facts(pair, request["now"]) for pair in request["pairs"]]
    if request["act"] == "own":
        from portico.adapters.certificates.own_pairs import copy_own_pair  # noqa: PLC0415

        folder = Path(request["folder"])
        with lock(folder):
            return [copy_own_pair(folder, pair, request["now"]) for pair in request["pairs"]]
    if request["act"] == "pem":
        from portico.adapters.certificates.account_keys import pem_of  # noqa: PLC0415

        return pem_of(request["key"])
    if request["act"] == "machine":
        from portico.adapters.certificates.machines import sign_machine  # noqa: PLC0415

        return sign_machine(request)
    assert_never(request)


if __name__ == "__main__":
    main()
