"""The ports of nginx, which clients know, while files come into force and end."""

from __future__ import annotations

from portico.core.model.desired import Desired
from portico.core.planning.file_effects import is_move_unset, moved_ports
from portico.errors import Refused


def assert_ports_kept(before: Desired, after: Desired, what: str, project: str) -> None:
    """Raises Refused where sites of other projects would move from the ports that clients know,
    because no file sets those any more.
    """
    moved = moved_ports(before, after)
    others = any(after.origin(site).project != project for site in after.sites)
    if moved and others and is_move_unset(before, after):
        raise Refused(
            f"cannot {what}: no file would set the ports of [edge] any more, and sites of "
            f"other projects would move {moved}; nothing was changed. Set http and https in a "
            "project that remains, or in edge.toml of PORTICO_HOME, and `portico up` it first"
        )
