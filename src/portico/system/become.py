"""Run by itself, with no library: becomes a program of another user (system/spawning.py).

Descriptor 3 has the program, and 4 says how far it is: a `+` before it is executed, and the number
of the error where one of the two is not possible.
"""

import _signal  # type: ignore[import-not-found]  # of signal, whose other half takes long
import marshal
import os

REQUEST, STATUS = 3, 4


def main() -> None:
    os.set_inheritable(STATUS, False)
    with open(REQUEST, "rb") as file:
        words, environment, uid, gid, groups, umask = marshal.load(file)  # noqa: S302 - our own
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # which Python ignores
        _signal.signal(number, _signal.SIG_DFL)
    try:
        if umask >= 0:
            os.umask(umask)
        if groups is not None:
            os.setgroups(groups)
        if gid is not None:
            os.setregid(gid, gid)
        if uid is not None:
            os.setreuid(uid, uid)
        os.write(STATUS, b"+")
        os.execve(words[0], words, environment)  # noqa: S606 - words, and no shell
    except OSError as error:
        os.write(STATUS, str(error.errno).encode())
    os._exit(255)


if __name__ == "__main__":
    main()
