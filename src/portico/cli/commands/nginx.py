"""`portico nginx`: the nginx program that serves, and another one in its place."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.errors import Refused

ACTIONS: Final = ("show", "use", "build")


def options(parser: Parser) -> None:
    parser.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="show",
        choices=ACTIONS,
        help=f"one of {', '.join(ACTIONS)}; default: show",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="use: path of an nginx program; wheel: the one included with Portico; auto: that of "
        "the system if it can do all that the files need, else the included one; build: nginx's "
        "source, the tarball of a release or the folder of a checkout, 1.27.4 or later",
    )
    parser.add_argument(
        "--sha256", metavar="HEX", help="build: SHA-256 that the tarball must have"
    )
    parser.add_argument(
        "--signature", metavar="FILE", help="build: gpg's signature of the tarball, checked first"
    )
    parser.add_argument(
        "--keyring",
        metavar="FILE",
        help="build: the public keys for --signature; default: gpg's keyring of this user",
    )
    parser.add_argument(
        "--add-module",
        metavar="FOLDER",
        action="append",
        help="build: source of an additional module, such as ngx_brotli; can be repeated",
    )
    parser.add_argument(
        "--no-use", action="store_true", help="build: only build it and print its path"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.what != "build" and (wrong := _of_build(args)):
        raise Refused(f"`portico nginx {args.what}` does not accept {wrong}")
    if args.what == "show":
        if args.name:
            raise Refused("`portico nginx show` does not accept a NAME")
        from portico.cli.nginx.showing import show  # noqa: PLC0415 - each alone is small

        show(session)
    elif not args.name:
        needs = "a path, `wheel` or `auto`" if args.what == "use" else "the path of a source"
        raise Refused(f"`portico nginx {args.what}` needs {needs}")
    elif args.what == "use":
        from portico.cli.nginx.using import use  # noqa: PLC0415

        use(session, args.name)
    else:
        from portico.cli.nginx.building import build  # noqa: PLC0415

        build(session, args)


def _of_build(args: Namespace) -> str:
    given = ("sha256", "signature", "keyring", "add_module", "no_use")
    return next((f"--{name.replace('_', '-')}" for name in given if getattr(args, name)), "")
