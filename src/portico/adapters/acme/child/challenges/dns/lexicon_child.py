"""Changes one TXT record by a provider of dns-lexicon, and ends.

One request as JSON on standard input; exit code 0, or words on standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final, Literal, TypedDict

TTL: Final = 60  # seconds
_MAX_ERROR_LENGTH: Final = 300
_MIN_SECRET_LENGTH: Final = 6


class Request(TypedDict):
    act: Literal["check", "create", "delete"]
    provider: str
    options: dict[str, str]
    resolvers: list[str]
    zone: str
    name: str
    value: str


def main() -> None:
    request: Request = json.load(sys.stdin)
    try:
        _change(request)
    except ImportError as error:
        sys.exit(f"dns-lexicon is not installed completely ({error}): pip install 'portico[dns]'")
    except Exception as error:  # noqa: BLE001 - ninety providers, each with errors of its own
        words = " ".join(str(error).split()) or type(error).__name__
        sys.exit(without_secrets(words, request["options"])[:_MAX_ERROR_LENGTH])


def _change(request: Request) -> None:
    import dns.resolver  # noqa: PLC0415 - an extra that may be missing is told in main
    from lexicon.client import Client  # noqa: PLC0415
    from lexicon.config import ConfigResolver  # noqa: PLC0415

    from portico.adapters.acme.child.challenges.dns.lookup import resolver  # noqa: PLC0415

    # Lexicon would fetch the list of public suffixes from the network to guess the zone.
    dns.resolver.default_resolver = resolver(request["resolvers"])
    settings = {
        "provider_name": request["provider"],
        "domain": request["zone"],
        "resolve_zone_name": True,
        "ttl": TTL,
        request["provider"]: request["options"],
    }
    config = ConfigResolver().with_dict(settings)  # type: ignore[no-untyped-call]
    with Client(config) as provider:
        match request["act"]:
            case "check":
                pass  # what the provider takes to let us in has been done
            case "create":
                provider.create_record("TXT", request["name"], request["value"])
            case "delete":
                provider.delete_record(None, "TXT", request["name"], request["value"])


def without_secrets(words: str, options: Mapping[str, str]) -> str:
    """Some providers put the whole request into their error."""
    for value in sorted(options.values(), key=len, reverse=True):
        if len(value) >= _MIN_SECRET_LENGTH:
            words = words.replace(value, "***")
    return words


if __name__ == "__main__":
    main()
