"""Run a command that must not outlive the process that asked for it: `parent_watch.py COMMAND ARGUMENT…`.

The parent holds the other end of standard input and never writes. When that end is closed, by the parent or by
its death, the command and all that it started are killed. (PR_SET_PDEATHSIG would be Linux only, and fires as soon
as the *thread* that started the child ends.) Imports nothing but the standard library: it starts once a service.
"""

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run `command` in this process group and return its exit code, 128 + n after signal n."""
    # A signal for the group reaches the command by itself; this process stays to reap it and pass on its exit code.
    # A handler, not SIG_IGN: the command would inherit that.
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    let_go = threading.Event()

    def kill_when_let_go() -> None:
        os.read(sys.stdin.fileno(), 1)
        let_go.set()
        child.kill()

    threading.Thread(target=kill_when_let_go, daemon=True).start()
    code = child.wait()
    if let_go.is_set() and sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
