"""Every directive that import knows, and the function that carries it over."""

from __future__ import annotations

from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.part import NO_KEY, Outcome, Part, Rules, no_equal
from portico.stack.importing.rules import access, answers, own, proxying, tls

RULES: Final[Rules] = {
    **own.RULES,
    **proxying.RULES,
    **access.RULES,
    **answers.RULES,
    **tls.RULES,
}


def outcome_of(line: Line, part: Part) -> Outcome:
    """Of one line of a server or a location; what it says is in the part afterwards."""
    rule = RULES.get(line.name)
    if rule is None:
        return no_equal(NO_KEY)
    try:
        return rule(line, part)
    except (IndexError, ValueError):
        return no_equal("its arguments are not those of nginx")
