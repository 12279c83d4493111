"""Replaces itself with the given command, which is killed when the starting process dies.

Run as a script: `python -I -S die_with_parent.py PARENT_PID SIGNAL USER -- COMMAND…`, where SIGNAL is what
the kernel sends when the parent dies and USER is `uid:gid` or `-`. A script of its own and no
preexec_fn, because nothing of ours may run between fork and exec in a process that has threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def _change_user(user: str) -> None:
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(argv: list[str]) -> None:
    """Does not return: becomes the command, or exits with 1 where the parent is dead already."""
    parent, signal_number, user = int(argv[0]), int(argv[1]), argv[2]
    command = argv[argv.index("--") + 1 :]
    if user != "-":
        _change_user(user)
    if sys.platform == "linux":
        # After setuid: changing the user clears the signal.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it died before prctl
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 becoming the command is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
