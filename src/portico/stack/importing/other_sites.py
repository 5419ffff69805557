"""Sites of servers other than nginx, with their addresses as apps and upstreams."""

from __future__ import annotations

from collections.abc import Mapping

from portico.stack.importing.targets import Targets
from portico.stack.model import Site


def site_table(site: Site, targets: Targets) -> dict[str, object]:
    found = _join(site.table, site, targets)
    return dict(found) if isinstance(found, Mapping) else {}


def _join(value: object, site: Site, targets: Targets) -> object:
    if isinstance(value, Mapping):
        table = {key: _join(each, site, targets) for key, each in value.items()}
        for key in ("app", "upstream"):
            address = value.get(key)
            if isinstance(address, Mapping) and isinstance(text := address.get("address"), str):
                target = targets.of_address(text, site.place)
                table.pop(key)
                if target:
                    table = {target.kind: target.name, **table}
        return table
    return [_join(each, site, targets) for each in value] if isinstance(value, list) else value
