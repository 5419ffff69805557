"""What the API shows of the nginx programs of the machine, as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from portico.core.model.views import View


class NginxFeatureView(View):
    name: str
    kind: Literal["key", "automatic", "own lines"] = Field(
        description="A key of the file, what Portico uses where it is there, or what only "
        "nginx lines of your own can use."
    )
    available: bool


class NginxBuildView(View):
    program: str
    version: str
    bundled: bool = Field(description="Included with Portico.")
    lacks: tuple[str, ...] = Field(
        description="What Portico, or a file in force, needs and this nginx does not have."
    )
    openssl: str = Field(description="`OpenSSL 3.5.4`, or empty where nginx does not say.")
    openssl_unsupported_since: str = Field(
        description="Day on which OpenSSL's own support of that line ended, or empty."
    )
    optimization: str = Field(description="`-O2`, or empty where nginx does not say.")
    debugging: bool = Field(description="Built with nginx's debugging log.")
    pie: bool = Field(description="A position-independent program.")
    gain: str = Field(description="What it would bring in place of the one in use, or empty.")
    features: tuple[NginxFeatureView, ...]
    arguments: str = Field(description="What it was configured with (`nginx -V`).")


class NginxBuildsView(View):
    """The nginx in use, and the others of this machine."""

    used: NginxBuildView | None = Field(description="None where none is usable.")
    problem: str = Field(description="Why the one named or selected is not usable, or empty.")
    selected: str = Field(description="Argument of the last `portico nginx use`; default: auto.")
    file: str = Field(description="`[edge] nginx` of the file in force, which decides; or empty.")
    pid: int | None = Field(description="Of nginx's master process, if it runs.")
    running: str = Field(description="The program that it runs; empty if it does not run.")
    others: tuple[NginxBuildView, ...]


class NginxInheritRequest(View):
    pid: int | None = Field(
        ge=1, description="Of the master process of another nginx; null: none any more."
    )


class NginxUseRequest(View):
    program: str = Field(
        description="Absolute path; `wheel` for the nginx included with Portico; `auto` for that "
        "of the system if it can do all that the files need, else the included one."
    )
