from __future__ import annotations

import pytest

from portico.core.model.instance import Exit, ListeningPort
from portico.core.planning.reasons import explain, explain_listening, without_stamps

NODE_IN_USE = """\
node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: listen EADDRINUSE: address already in use 127.0.0.1:3000
    at Server.setupListenHandle [as _listen2] (node:net:1908:16)
    at node:net:2117:10
Emitted 'error' event on Server instance at:
    at emitErrorNT (node:net:1887:8) {
  code: 'EADDRINUSE',
  errno: -98,
  syscall: 'listen',
  address: '127.0.0.1',
  port: 3000
}

Node.js v20.20.2"""

NODE_NO_MODULE = """\
node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'express'
Require stack:
- /srv/web/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/srv/web/index.js' ]
}

Node.js v20.20.2"""

NODE_SYNTAX = """\
/srv/web/index.js:3
const = 5;
      ^

SyntaxError: Unexpected token '='
    at internalCompileFunction (node:internal/vm:76:18)

Node.js v20.20.2"""

PYTHON_SYNTAX = """\
  File "/srv/web/app.py", line 3
    def f(:
          ^
SyntaxError: invalid syntax"""

PYTHON_ERROR = """\
Traceback (most recent call last):
  File "/srv/web/app.py", line 9, in <module>
    main()
  File "/srv/web/app.py", line 5, in main
    return {}["answer"]
           ~~^^^^^^^^^^
KeyError: 'answer'"""

GO_PANIC = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47a0d1]

goroutine 1 [running]:
main.main()
	/srv/web/main.go:6 +0x11"""


def why(text, code=1, signal=None, **known):
    return explain(Exit(code, signal), text.splitlines(), **{"port": 41003} | known)


UVICORN = (
    "[Errno 98] error while attempting to bind on address ('::1', 8000, 0, 0): address already"
)
RUBY = "Address already in use - bind(2) for '127.0.0.1' port 3000 (Errno::EADDRINUSE)"


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        (NODE_IN_USE, 3000),
        (NODE_IN_USE.replace("127.0.0.1:3000", ":::3000"), 3000),
        (f"server.py:162 ERROR: {UVICORN} in use", 8000),
        ("[2026-11-22 09:46:07 +0000] [812] [ERROR] Connection in use: ('127.0.0.1', 8000)", 8000),
        ("Address already in use\nPort 5000 is in use by another program.", 5000),
        ("2026/11/22 09:46:07 main.go:12: listen tcp :8080: bind: address already in use", 8080),
        (f"tcp_server.rb:34:in `initialize': {RUBY}", 3000),
        ("Web server failed to start. Port 8080 was already in use.", 8080),
        ("Failed to bind to address http://127.0.0.1:5000: address already in use.", 5000),
        ("Failed to listen on 127.0.0.1:8000 (reason: Address already in use)", 8000),
        ("error: Failed to start server. Is port 3000 in use?", 3000),
        ("bind() to 0.0.0.0:80 failed (98: Address already in use)", 80),
    ],
)
def test_a_busy_port_is_told_apart_in_many_languages(text, tried):
    assert why(text) == (
        f"exited with code 1: it tried port {tried}, which is in use; "
        "make it listen on $PORT (41003)"
    )
    assert why(text, port=tried, holder="pid 812 (node)") == (
        f"exited with code 1: port {tried} is in use by pid 812 (node)"
    )
    assert why(text, port=0) == f"exited with code 1: it tried port {tried}, which is in use"


@pytest.mark.parametrize(
    "text",
    [
        "OSError: [Errno 98] Address already in use",
        "java.net.BindException: Address already in use (Bind failed)",
        'Error: Os { code: 98, kind: AddrInUse, message: "Address already in use" }',
        "{error,eaddrinuse}",
    ],
)
def test_a_busy_port_without_its_number(text):
    assert why(text).endswith(
        ": the port it tried is in use by another program; make it listen on $PORT (41003)"
    )
    assert why(text, holder="pid 812 (node)").endswith(": port 41003 is in use by pid 812 (node)")


@pytest.mark.parametrize(
    ("text", "module"),
    [
        (NODE_NO_MODULE, "express"),
        ("[ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /srv/i.mjs", "koa"),
        ("ModuleNotFoundError: No module named 'flask'", "flask"),
        ("/usr/bin/python3: No module named uvicorn", "uvicorn"),
        ("cannot load such file -- sinatra (LoadError)", "sinatra"),
        ("Can't locate Plack/Runner.pm in @INC (you may need to install it)", "Plack/Runner.pm"),
    ],
)
def test_a_missing_module_is_named(text, module):
    assert why(text) == f"exited with code 1: module {module} was not found; is it installed?"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Error: Cannot find module '/srv/web/index.js'", "file /srv/web/index.js does not exist"),
        (
            "python3: can't open file '/srv/app.py': [Errno 2] No",
            "file /srv/app.py does not exist",
        ),
        ("sh: 1: nod: not found", "its shell did not find program nod"),
        ("bash: line 1: nod: command not found", "its shell did not find program nod"),
        (NODE_SYNTAX, "SyntaxError: Unexpected token '=' (/srv/web/index.js:3)"),
        (PYTHON_SYNTAX, "SyntaxError: invalid syntax (/srv/web/app.py:3)"),
        ("PHP Parse error:  syntax error, end", "Parse error:  syntax error, end"),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "its heap was full; it leaks memory or needs a higher limit",
        ),
        (
            "Error: listen EACCES: permission denied 0.0.0.0:80",
            (
                "it tried to listen on port 80, which only root may use; make it listen on "
                "$PORT (41003)"
            ),
        ),
        (
            "listen tcp :443: bind: permission denied",
            (
                "it tried to listen on port 443, which only root may use; make it listen on "
                "$PORT (41003)"
            ),
        ),
        (
            "Error: EACCES: permission denied, open '/etc/shadow'",
            "Error: EACCES: permission denied, open '/etc/shadow'",
        ),
        (PYTHON_ERROR, "KeyError: 'answer'"),
        (GO_PANIC, "panic: runtime error: invalid memory address or nil pointer dereference"),
        (
            "TypeError: x is not a function\n    at main (/srv/i.js:1:1)\n\nNode.js v20.20.2",
            "TypeError: x is not a function",
        ),
        ("\x1b[31mError: no \x1b[1mdatabase\x1b[0m\n", "Error: no database"),
        ("starting\nbye", "bye"),
    ],
)
def test_a_program_is_quoted_on_why_it_died(text, reason):
    assert why(text) == f"exited with code 1: {reason}"


@pytest.mark.parametrize("form", [None, "%Y-%m-%dT%H:%M:%S", "[%s] %b (x+)"])
def test_the_time_before_lines_does_not_hide_why_it_died(form):
    at = {
        None: "",
        "%Y-%m-%dT%H:%M:%S": "2026-11-28T19:22:07: ",
        "[%s] %b (x+)": "[17] Nov (x+): ",
    }
    lines = without_stamps([at[form] + line for line in NODE_SYNTAX.splitlines()], form)
    assert lines == NODE_SYNTAX.splitlines()
    assert without_stamps(["2026: not the time"], "%Y-%m-%d") == ["2026: not the time"]


@pytest.mark.parametrize(
    ("ending", "uptime", "reason"),
    [
        (Exit(1), 0.31, "exited with code 1 after 0.3s"),
        (Exit(1), 5.0, "exited with code 1 after 5s"),
        (
            Exit(0),
            61,
            (
                "exited with code 0 after 61s: it exited without an error; if it continues in the "
                "background, start it in the foreground"
            ),
        ),
        (Exit(signal=11), 7300, "was killed by SIGSEGV after 2h"),
        (Exit(signal=40), 200000, "was killed by signal 40 after 2d"),
        (Exit(), None, "exited"),
    ],
)
def test_an_end_without_words(ending, uptime, reason):
    assert explain(ending, [], port=1, uptime=uptime) == reason


def test_a_kill_that_nobody_asked_for_may_be_a_lack_of_memory():
    assert why("serving", None, 9, uptime=720.0) == (
        "was killed by SIGKILL after 12m: the machine may have run out of memory"
    )


def test_another_name_of_the_port_is_used_where_the_app_has_one():
    assert "listen on $port (41003)" in why(NODE_IN_USE, port_env="port")


def test_a_line_without_end_is_cut():
    assert len(why("Error: " + "x" * 10000)) < 400


def listens(*places, trouble="nothing listens on port 41003", port_env="PORT"):
    found = frozenset(ListeningPort(port, address) for port, address in places)
    return explain_listening(41003, found, trouble, 30.0, port_env=port_env)


def test_an_app_that_never_opened_a_port():
    assert listens() == (
        "opened no port within 30s; if it needs longer, increase ready_timeout "
        "(listen_timeout in a PM2 file)"
    )


def test_an_app_that_listens_elsewhere():
    assert listens((9229, "127.0.0.1"), (3000, "*"), port_env="port") == (
        "listens on 3000, 9229 instead of 41003; make it listen on $port"
    )


def test_an_app_that_nginx_cannot_reach():
    assert listens((41003, "[::1]")) == (
        "listens on port 41003 of [::1] only, which nginx does not use; make it listen on "
        "127.0.0.1"
    )


@pytest.mark.parametrize("address", ["*", "127.0.0.1"])
def test_an_app_that_listens_and_is_not_well(address):
    assert listens((41003, "[::1]"), (41003, address), trouble="answered 503") == (
        "was not ready within 30s: answered 503"
    )
