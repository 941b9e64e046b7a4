"""A worker ends with the process that needs it."""

import signal
import subprocess
import sys

from qmend.processes import terminate

WORKER = "import sys, time; from qmend.processes import end_with; end_with(sys.argv[1])"
NEEDED = """
import time
from qmend.processes import process_identity
print(process_identity(), flush=True)
time.sleep(60)
"""


def test_a_worker_ends_once_the_other_process_is_killed():
    sleep = [sys.executable, "-c", NEEDED]
    with subprocess.Popen(sleep, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        identity = other.stdout.readline().strip()
        arguments = [sys.executable, "-c", f"{WORKER}; time.sleep(60)", identity]
        with subprocess.Popen(arguments) as worker:
            other.send_signal(signal.SIGKILL)  # a zombie until it is waited for
            assert worker.wait(timeout=30) == 1
    with subprocess.Popen(arguments) as late:
        assert late.wait(timeout=30) == 1


def test_a_process_is_ended_by_its_identity_alone():
    with subprocess.Popen([sys.executable, "-c", NEEDED], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        identity = one.stdout.readline().strip()
        host, pid, _ = identity.rsplit(":", 2)
        terminate(f"other{identity}")  # of another host
        terminate(f"{host}:{pid}:0.00")  # of an earlier process
        assert one.poll() is None
        terminate(identity)
        assert one.wait(timeout=30) == -signal.SIGTERM
