"""The cost of alerttrail's state on disk: its size, how much was written for it, and how fast it is rebuilt."""

import datetime
import json
import shutil
import time

from .machine import Process, die


def measure_state(folder, facts, written):
    """Measures all partitions after a clean stop. RocksDB records every table file that it writes in its LOG, including those of compactions."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    tables = sum(table_bytes(path) for path in files if path.name.startswith("LOG"))
    rows = facts["keyed_bytes"]
    return {
        "bytes": size,
        "per_activity": size / facts["keyed"],
        "row_bytes": rows / facts["keyed"],
        "tables_written": tables,
        "table_amplification": tables / rows,
        "written": written,
        "amplification": written / rows,
    }


def table_bytes(log):
    marker = "EVENT_LOG_v1 "
    total = 0
    for line in log.read_text(errors="replace").splitlines():
        if marker in line:
            event = json.loads(line.split(marker, 1)[1])
            if event.get("event") == "table_file_creation":
                total += event["file_size"]
    return total


def measure_rebuild(task, command, facts):
    """Deletes the state of every partition, and measures the time from the start of the replay until the last partition has caught up with the repartition topic."""
    for folder in list(task.state.rglob("CURRENT")):
        shutil.rmtree(folder.parent)
    log = task.folder / "rebuild.txt"
    process = Process(command, log)
    deadline = time.time() + task.options.limit
    while len(caught_up(log)) < PARTITIONS:
        if not process.running() or time.time() > deadline:
            process.stop()
            die(f"the state was not rebuilt:\n{process.log_tail()}")
        time.sleep(0.1)
    cost = process.stop()
    seconds = (max(caught_up(log)) - min(times(log, "joining"))).total_seconds()
    return {"seconds": seconds, "cpu": cost["cpu"], "rate": facts["keyed"] / seconds}


# The partitions of the repartition topic, as in the configuration.
PARTITIONS = 4


def caught_up(log):
    return times(log, "caught up with the log")


def times(log, event):
    """Returns the times at which the log contains `event`."""
    lines = log.read_text(errors="replace").splitlines()
    return [datetime.datetime.fromisoformat(line.split()[0]) for line in lines if f" {event}" in line]
