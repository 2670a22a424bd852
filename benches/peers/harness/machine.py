"""Processes and what they cost, from /proc and from the kernel's account of an ended child."""

import os
import signal
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def die(text):
    raise SystemExit(f"peers: {text}")


def log(text):
    print(f"peers: {text}", flush=True)


def cores():
    return sorted(os.sched_getaffinity(0))


def describe():
    """Returns the description of the machine that belongs under a table."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {"cpu": model, "cores": len(cores()), "memory_gib": round(memory, 1), "kernel": os.uname().release}


def busy():
    """Returns the CPU seconds that all processes have used since the machine started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / TICK


def cpu_of(pid):
    """Returns the CPU seconds of a process and of its children that have ended; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICK


def load():
    return os.getloadavg()[0]


class Process:
    """A contender under measurement. Its CPU time counts until it has ended, with that of its children."""

    def __init__(self, command, log_file, cpus=None, environment=None):
        self.log_file = Path(log_file)
        if cpus is not None:
            command = ["taskset", "-c", ",".join(map(str, cpus)), *command]
        self.others = busy()
        self.load = load()
        self.began = time.time()
        with open(log_file, "wb") as out:
            # It has its own session: Ctrl-C goes to the harness, which ends it.
            self.child = subprocess.Popen(
                [str(argument) for argument in command], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, **(environment or {})},
            )

    def running(self):
        return os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def stop(self, timeout=60):
        """Sends SIGTERM, and SIGKILL after the timeout. Returns the cost."""
        self.child.send_signal(signal.SIGTERM)
        deadline = time.time() + timeout
        while self.running() and time.time() < deadline:
            time.sleep(0.02)
        if self.running():
            self.child.kill()
        return self.wait()

    def wait(self):
        """Waits for the end and returns the cost. The kernel keeps a child's input and output counts until its exit status is read."""
        os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)
        ended = time.time()
        written = next(
            (int(line.split()[1]) for line in Path(f"/proc/{self.child.pid}/io").read_text().splitlines() if line.startswith("write_bytes")), 0
        )
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return {
            "began": self.began,
            "lived": ended - self.began,
            "cpu": cpu,
            "cpu_user": usage.ru_utime,
            "peak_mb": usage.ru_maxrss * 1024 / 1e6,
            "disk_written": written,
            "exit": self.child.returncode,
            "load_before": self.load,
            "others_cpu": max(0.0, busy() - self.others - cpu),
        }

    def log_tail(self):
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])
