"""``python -m gbx_services.facility.guest [--user NAME] [--stop SIGNAL] PROGRAM [ARGUMENTS]``: a program not ours.

Run under ``gbx_tiled.attached`` it ends with its owner as our own modules do: asked to end, it asks the program in the
program's own way and waits. If it is killed itself, the kernel asks the program.
"""

from __future__ import annotations

import argparse
import pwd
import signal
import subprocess
import sys


def main() -> None:
    """Run the program until it ends or we are told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", help="who runs it; only root may choose")
    parser.add_argument("--stop", default="SIGTERM", help="signal that ends the program in order")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    stop = signal.Signals[arguments.stop]
    # setpriv keeps its parent-death signal through the change of user, where preexec_fn beside threads may hang.
    command = ["setpriv", "--pdeathsig", stop.name.removeprefix("SIG")]
    if arguments.user:
        group = str(pwd.getpwnam(arguments.user).pw_gid)
        command += ["--reuid", arguments.user, "--regid", group, "--clear-groups"]
    with subprocess.Popen([*command, "--", *arguments.program], stdin=subprocess.DEVNULL) as process:
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: process.send_signal(stop))
        sys.exit(process.wait())


if __name__ == "__main__":
    main()
