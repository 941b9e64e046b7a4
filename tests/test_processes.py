"""A worker ends with the process that needs it."""

import signal
import subprocess
import sys

WORKER = "import sys, time; from qmend.processes import end_with; end_with(int(sys.argv[1]))"


def test_a_worker_ends_once_the_other_process_is_killed():
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as other:
        arguments = [sys.executable, "-c", f"{WORKER}; time.sleep(60)", str(other.pid)]
        with subprocess.Popen(arguments) as worker:
            other.send_signal(signal.SIGKILL)  # a zombie until it is waited for
            assert worker.wait(timeout=30) == 1
    with subprocess.Popen(arguments) as late:
        assert late.wait(timeout=30) == 1
