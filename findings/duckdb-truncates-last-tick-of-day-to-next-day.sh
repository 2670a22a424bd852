#!/usr/bin/env bash
#
# DuckDB truncates the last 100 nanoseconds of a day to the next day.
#
# `date_trunc('day', t)` is never after `t`, one expects. DuckDB 2.0.1 has no date_trunc, time_bucket, dayname or cast
# to DATE of its own for a TIMESTAMP_NS: it casts the value to microseconds first, and since 2.0 that cast rounds to the
# nearest one instead of cutting the digits off. Up to half a microsecond before midnight, these functions answer for
# the next day, while hour, strftime, comparisons and the same functions of a TIMESTAMPTZ_NS answer for the day itself:
# a row that `WHERE t < '2026-02-01'` keeps is counted in February. It is not one value in a million: 23:59:59.9999999
# is what Kusto's `endofday()` and `endofmonth()` and .NET's last tick of a day print, and what people write as an
# inclusive end; seven digits need TIMESTAMP_NS, which columns with nanoseconds of Parquet, Arrow and pandas are, too.
# Up to 1.5.6, all functions answer for the day itself.
#
# Installs PyPI's duckdb 2.0.1 in a temporary folder; needs python3 with venv and pip. Exit status 0: as described; 1:
# it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check duckdb==2.0.1
cat >truncate.py <<'PY'
import sys

import duckdb

FUNCTIONS = {
    "date_trunc day": "date_trunc('day', t)",
    "date_trunc second": "date_trunc('second', t)",
    "time_bucket hour": "time_bucket(INTERVAL 1 HOUR, t)",
    "cast to DATE": "t::DATE",
    "dayname": "dayname(t)",
    "hour": "hour(t)",
    "strftime": "strftime(t, '%Y-%m-%d %H:%M:%S')",
    "before February": "t < '2026-02-01'",
}

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")


def answers(kind):
    """Returns what the functions say of the last tick of January, as text."""
    columns = ", ".join(f"({function})::VARCHAR" for function in FUNCTIONS.values())
    tick = f"SELECT '2026-01-31 23:59:59.9999999+00'::{kind} AS t"
    [row] = connection.execute(f"SELECT {columns} FROM ({tick})").fetchall()
    return dict(zip(FUNCTIONS, row))


print("DuckDB", duckdb.__version__, "of 2026-01-31 23:59:59.9999999")
without_zone = answers("TIMESTAMP_NS")
with_zone = answers("TIMESTAMPTZ_NS")
for name in FUNCTIONS:
    print(f"{name}: {without_zone[name]} of TIMESTAMP_NS, {with_zone[name]} of TIMESTAMPTZ_NS")

both = {"hour": "23", "strftime": "2026-01-31 23:59:59", "before February": "true"}
as_described = (
    without_zone
    == {
        "date_trunc day": "2026-02-01 00:00:00",
        "date_trunc second": "2026-02-01 00:00:00",
        "time_bucket hour": "2026-02-01 00:00:00",
        "cast to DATE": "2026-02-01",
        "dayname": "Sunday",
    }
    | both
    and with_zone
    == {
        "date_trunc day": "2026-01-31 00:00:00+00",
        "date_trunc second": "2026-01-31 23:59:59+00",
        "time_bucket hour": "2026-01-31 23:00:00+00",
        "cast to DATE": "2026-01-31",
        "dayname": "Saturday",
    }
    | both
)
sys.exit(0 if as_described else 1)
PY
venv/bin/python truncate.py
