"""A file as it would be in force on this machine, for commands that ask no daemon about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.config.edge_rules import Machine
from portico.core.config.merging import ProjectFile, merge, merged_edge, merged_machines
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.labels import project_name
from portico.importers.read import ImportedFile, read_file
from portico.system.home import Home


@dataclass(frozen=True, slots=True)
class LocalFile:
    project: str
    document: Document
    desired: Desired
    machine: Machine


def local_file(found: ImportedFile, home: Home) -> LocalFile:
    """With the machine's own settings (`edge_file`). Raises ConfigError with all that is wrong."""
    machine = Machine(root=os.geteuid() == 0, cores=os.cpu_count() or 1)
    document = read_document(found.table, source=found.source)
    desired = desired_from(
        document,
        folder=found.folder,
        environ=found.environ,
        cores=machine.cores,
        root=machine.root,
    )
    files = [ProjectFile(found.source, found.folder, document), *_machine_file(home)]
    desired = merge([desired], merged_edge(files), machine, merged_machines(files))
    return LocalFile(project_name(found.table, found.folder), document, desired, machine)


def _machine_file(home: Home) -> Iterator[ProjectFile]:
    if home.edge_file.exists():
        read = read_file(home.edge_file, {})
        document = read_document(read.table, source=read.source)
        yield ProjectFile(read.source, read.folder, document)
