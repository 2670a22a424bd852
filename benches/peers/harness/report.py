"""Tables of runs."""

import statistics

COLUMNS = ["contender", "runs", "seconds", "to 99 %", "activities/s", "CPU s", "peak MB", "broker CPU s", "s / floor", "s / Streams", "CPU / Streams", "lost", "wrong", "twice", "others' CPU s"]


def spread(runs, key, digits=1):
    """Returns the median, and in brackets the minimum and the maximum."""
    values = [run[key] for run in runs if run.get(key) is not None]
    if not values:
        return "-"
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def median(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(one, other, digits=2):
    return f"{one / other:.{digits}f}" if one and other else "-"


def worst(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return f"{max(values):,}" if values else "-"


def grouped(runs):
    groups = {}
    for run in runs:
        groups.setdefault(run["name"], []).append(run)
    return groups


def table(runs, facts):
    """Returns a table in Markdown: one line for each contender over the same data."""
    groups = grouped(runs)
    floor = groups.get("floor", [])
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name, group in groups.items():
        # At-least-once runs are compared with at-least-once runs.
        streams = groups.get("streams exactly_once" if name.endswith("exactly_once") else "streams at_least_once", [])
        seconds = median(group, "seconds")
        rate = f"{facts['activities'] / seconds:,.0f}" if seconds else "-"
        cells = [
            name, str(len(group)), spread(group, "seconds"), spread(group, "seconds_99"), rate, spread(group, "cpu"), spread(group, "peak_mb", 0),
            spread(group, "broker_cpu"), ratio(seconds, median(floor, "seconds")), ratio(seconds, median(streams, "seconds")),
            ratio(median(group, "cpu"), median(streams, "cpu")), worst(group, "missing"), worst(group, "unexpected"), worst(group, "repeated"),
            spread(group, "others_cpu"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def state_lines(runs):
    """Returns the cost of state on disk, for the contenders that measure it."""
    lines = []
    for name, group in grouped(runs).items():
        found = [run["state"] for run in group if run.get("state")]
        if not found:
            continue
        lines.append(
            f"{name}: state {median(found, 'per_activity'):,.0f} bytes on disk for each stored activity of {median(found, 'row_bytes'):,.0f} bytes"
            f" ({median(found, 'bytes') / 1e6:,.0f} MB);"
            f" table files written {median(found, 'tables_written') / 1e6:,.0f} MB = {median(found, 'table_amplification'):.2f} of the rows' bytes;"
            f" all that the process wrote to disk {median(found, 'written') / 1e6:,.0f} MB = {median(found, 'amplification'):.2f} of them"
        )
        rebuilt = [run["rebuild"] for run in group if run.get("rebuild")]
        if rebuilt:
            lines.append(
                f"{name}: state made again from the log in {spread(rebuilt, 'seconds')} s and {spread(rebuilt, 'cpu')} CPU s,"
                f" {median(rebuilt, 'rate'):,.0f} stored activities/s"
            )
    return lines
