"""Worker processes of this machine, as the one that starts them sees them.

Each is a fresh interpreter: torch's threads do not survive a fork, and multiprocessing would import
the whole command line in every worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from multiprocessing.connection import wait
from pathlib import Path

from search.journal_lock import process_name
from search.trial_worker import LOG

POLL_SECONDS = 0.05  # where the system cannot wait for several processes
BEGIN = (
    "import json, sys; folder, parent, sys.path[:] = json.loads(sys.argv[1]); "
    "from search.trial_worker import work; work(folder, parent)"
)


class WorkerProcess:
    """A process that works on a journal's trials. What it prints goes to a file in the folder."""

    def __init__(self, folder: Path) -> None:
        arguments = json.dumps([str(folder), os.getpid(), sys.path])
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BEGIN, arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # what it starts ends with it, and Ctrl-C is not for it
            )
        self.name = process_name(self._process.pid)
        self.descriptor = -1
        if sys.platform == "linux":
            self.descriptor = os.pidfd_open(self._process.pid)

    def exit_code(self) -> int | None:
        """None while it runs; a signal's number, negative, for one that was killed."""
        code = self._process.poll()
        if code is not None:
            self._forget()
        return code

    def end(self, patience_seconds: float) -> None:
        """Wait so long for it to leave, then end it with all that it has started."""
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def wait_for_end(processes: Collection[WorkerProcess], seconds: float) -> None:
    """Until one of them has ended, or so long."""
    descriptors = [process.descriptor for process in processes if process.descriptor >= 0]
    if len(descriptors) == len(processes):
        wait(descriptors, seconds)
    else:
        time.sleep(min(seconds, POLL_SECONDS))
