"""What a child process is asked, as JSON on its standard input.

It answers with JSON on its standard output and exit code 0, or with words on its standard error.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class Pair(TypedDict):
    """An operator's own pair: two PEM files, and the names they must cover."""

    certificate: str
    key: str
    names: list[str]


class RootRequest(TypedDict):
    """Make the local authority if there is none. Answers the path of its root, PEM."""

    act: Literal["root"]
    now: float
    """Wall time, seconds since 1970, as everywhere here."""
    folder: str
    host: str
    """The machine's name, for the authority's own."""


class LocalRequest(TypedDict):
    """Have these lineages. Answers `{lineage: {"certificate": path, "key": path}}`."""

    act: Literal["local"]
    now: float
    folder: str
    host: str
    lineages: dict[str, list[str]]


class ExamineRequest(TypedDict):
    """Look at pairs. Answers `[{"problems": [words], "notes": [words]}]`."""

    act: Literal["examine"]
    now: float
    pairs: list[Pair]


class FactsRequest(TypedDict):
    """Look into certificates of authorities. Answers `[ports.Facts]`."""

    act: Literal["facts"]
    now: float
    pairs: list[Pair]


class OwnRequest(TypedDict):
    """Copy pairs that can be used. Answers for each `[words]`: why there is no copy, or none."""

    act: Literal["own"]
    now: float
    folder: str
    pairs: list[Pair]


class KeyRequest(TypedDict):
    """An account's key as PEM, in text."""

    act: Literal["pem"]
    key: str
    """A JSON Web Key."""


class MachineRequest(TypedDict):
    """Sign for a machine of the cluster. Answers `{"certificate": PEM, "serial": hexadecimal}`."""

    act: Literal["machine"]
    now: float
    authority: str
    """PEM, as the two below."""
    key: str
    request: str
    """RFC 2986, of anyone."""
    name: str
    host: str
    address: str
    """Of a member of etcd; empty for a machine."""


Request = (
    RootRequest
    | LocalRequest
    | ExamineRequest
    | FactsRequest
    | OwnRequest
    | KeyRequest
    | MachineRequest
)
