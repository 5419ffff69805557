"""What instances inherit from the operator's shell, and so what of it is remembered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_INHERITED_VARIABLES: Final = re.compile(
    "PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR"
    "|(NVM|FNM|NODENV|PYENV|RBENV|ASDF|MISE)_.*|VOLTA_HOME|PNPM_HOME|BUN_INSTALL|JAVA_HOME"
    "|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY"
)
"""Where programs are found and how they speak; not the secrets of somebody's shell."""
_EXCLUDED_VARIABLES: Final = re.compile(
    "NOTIFY_SOCKET|PORTICO_(INSTANCE|LOGS|SEND)|LISTEN_(FDS|PID|FDNAMES)|WATCHDOG_(USEC|PID)"
    "|MAINPID|INVOCATION_ID|JOURNAL_STREAM|CREDENTIALS_DIRECTORY|PORTICO_HOME|PWD|OLDPWD|SHLVL|_"
)
"""systemd talks to porticod through these (sd_notify(3), sd_listen_fds(3)); the last are a
shell's own."""


def inherited_variables(environ: Mapping[str, str], *, everything: bool) -> dict[str, str]:
    """The variables that are passed on; with `everything` (`inherit_env`) all that may be."""
    return {
        name: value
        for name, value in environ.items()
        if (everything or _INHERITED_VARIABLES.fullmatch(name))
        and not _EXCLUDED_VARIABLES.fullmatch(name)
    }
