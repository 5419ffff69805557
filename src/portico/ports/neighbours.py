"""The other machines of a cluster."""

from __future__ import annotations

from typing import Protocol


class Neighbours(Protocol):
    async def ask(self, machine: str) -> bytes:
        """The list of a machine, by its name, through our own nginx, which verifies who answers.

        Empty where it has none: nothing has begun there yet, or its disk is full. Raises Failed
        with why there is no answer, and Rejected where the machine has answered, with something
        else; the caller has the deadline.
        """

    async def report(self, machine: str, target: str) -> bytes:
        """The answer of the daemon of a machine to a GET, by its path and query, as above. Raises
        Failed with why there is none.
        """

    async def announce(self, text: str, *, drained: bool) -> None:
        """From now on others get this, or where it cannot be written an empty list; then it
        raises Failed. Load balancers are let know whether this machine is `drained`.
        """
