"""Files of certbot in the format of ConfigObj, which is what it reads and writes them with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from configobj import ConfigObj  # type: ignore[import-untyped]

Section = Mapping[str, str]
_PARAMS: Final = "renewalparams"


def read_conf(text: str) -> Mapping[str, Section]:
    """Its sections, `""` for what is before the first. Raises ValueError."""
    conf = _parse(text)
    sections: dict[str, dict[str, str]] = {"": {}}
    for name, key, value in _values("", conf):
        sections.setdefault(name, {})[key] = value
    return sections


def without_renewal(text: str) -> str:
    """The same file, by which certbot leaves the certificate alone. Raises ValueError."""
    conf = _parse(text)
    conf.setdefault(_PARAMS, {})["autorenew"] = "False"
    return "".join(f"{line}\n" for line in conf.write())


def _values(name: str, section: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Each section's name, key and value; a list as it is written."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _values(key, value)
        else:
            yield name, key, ", ".join(value) if isinstance(value, list) else str(value)


def _parse(text: str) -> ConfigObj:
    from configobj import ConfigObj, ConfigObjError  # noqa: PLC0415 - only imports need it

    try:
        return ConfigObj(text.splitlines(), interpolation=False, raise_errors=True)
    except ConfigObjError as error:
        raise ValueError(str(error)) from error
