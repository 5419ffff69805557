"""What the API takes, as JSON. Field names are the promise to scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from portico.core.model.views import View


class DocumentRequest(View):
    """A file as the command line read it. `table` is its content as JSON values."""

    source: str = Field(description="Path of the file, for messages and the history.")
    folder: str = Field(description="Absolute folder that relative paths start from.")
    table: Mapping[str, object]
    environ: Mapping[str, str] = Field(default_factory=dict)


class ScaleRequest(View):
    instances: int | Annotated[str, Field(pattern="^[+-][0-9]{1,4}$")] = Field(
        description="The number of instances, 1 to 1000, or how many more or fewer: `+2`, `-1`."
    )


class DownRequest(View):
    now: bool = Field(False, description="Do not wait for open requests.")
    everything: bool = Field(False, description="End all projects.")
    file: str = Field("", description="Path of a file: only a project of that file is ended.")


class PurgeRequest(View):
    path: str | None = Field(
        None,
        description="Only this path, or `/prefix*` for all that begin with it; default: all.",
    )


class PauseRequest(View):
    hold: float = Field(
        0.0,
        ge=0.0,
        le=3600.0,
        description="Seconds for which a request is held; 0: the maintenance page is served.",
    )


class RenderRequest(View):
    document: DocumentRequest | None = Field(None, description="Default: the file in force.")


class RollbackRequest(View):
    revision: int | None = Field(None, ge=1, description="Default: the previous one that served.")


class TrustRequest(View):
    remove: bool = Field(False, description="Remove the root certificate again.")
