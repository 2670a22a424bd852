"""What alerttrail's state costs on disk: how large it is, and how much was written to make it."""

import json


def measure_state(folder, facts, written):
    """Over all partitions, after a clean stop. RocksDB notes every table file that it writes in its LOG, those of compactions too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    # A write-ahead log has a number for its name.
    wal = sum(path.stat().st_size for path in files if path.suffix == ".log")
    tables = sum(table_bytes(path) for path in files if path.name.startswith("LOG"))
    rows = facts["keyed_bytes"]
    return {
        "bytes": size,
        "wal_bytes": wal,
        "per_activity": size / facts["keyed"],
        "row_bytes": rows / facts["keyed"],
        "tables_written": tables,
        "table_amplification": tables / rows,
        "written": written,
        "amplification": written / rows,
    }


def table_bytes(log):
    mark = "EVENT_LOG_v1 "
    total = 0
    for line in log.read_text(errors="replace").splitlines():
        if mark in line:
            event = json.loads(line.split(mark, 1)[1])
            if event.get("event") == "table_file_creation":
                total += event["file_size"]
    return total
