#!/usr/bin/env bash
#
# A DuckDB cast of a CSV column gives another value if the query also uses the column itself.
#
# A column of a CSV file has a type, found or given, and a cast of it converts the typed value: `EndTime::VARCHAR` of a
# TIMESTAMP WITH TIME ZONE prints the time in one form, to the microsecond, whatever the file looks like. So it is in
# DuckDB 1.5.6. DuckDB 2.0 has an optimizer step, `type_pushdown`, that gives the cast to the reader of the file, which
# converts the text of the file instead. It does so only where nothing else in the query reads the column, so that a
# second column, a WHERE or a table in between changes the first one: a text is the file's own or DuckDB's, half a
# number is rounded away from zero (as text is) or to the even number (as a DOUBLE is). A key that is built as text from
# a time then joins or not, and the rows of DISTINCT are not as many as COUNT(DISTINCT) says.
#
# Installs PyPI's duckdb 2.0.1 in a temporary folder; needs python3 with venv and pip. Exit status 0: as described; 1:
# it behaves otherwise now.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check duckdb==2.0.1
cat >alerts.csv <<'CSV'
EndTime,ConfidenceScore
2026-01-01T00:00:00.1234560Z,0.5
2026-01-01T00:00:00.1234567Z,1.5
2026-01-01T00:00:00.1234569Z,2.5
CSV
cat >casts.py <<'PY'
import sys

import duckdb

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")


def rows(query):
    return connection.execute(query).fetchall()


def first_column(query):
    return [row[0] for row in rows(query)]


def show(what, values):
    print(f"{what}: {', '.join(map(str, values))}")
    return values


print("DuckDB", duckdb.__version__)
types = show("types", [row[1] for row in rows("DESCRIBE FROM 'alerts.csv'")])
text = show("time as text, alone", first_column("SELECT EndTime::VARCHAR FROM 'alerts.csv'"))
text_beside = show(
    "the same beside a check", first_column("SELECT EndTime::VARCHAR, EndTime IS NULL FROM 'alerts.csv'")
)
whole = show("score as integer, alone", first_column("SELECT ConfidenceScore::INTEGER FROM 'alerts.csv'"))
whole_beside = show(
    "the same beside the score", first_column("SELECT ConfidenceScore::INTEGER, ConfidenceScore FROM 'alerts.csv'")
)
distinct = rows("SELECT DISTINCT EndTime::VARCHAR FROM 'alerts.csv'")
show("rows of DISTINCT", [len(distinct)])
[counted] = show("COUNT(DISTINCT)", first_column("SELECT count(DISTINCT EndTime::VARCHAR) FROM 'alerts.csv'"))
connection.execute("SET disabled_optimizers = 'type_pushdown'")
print("without type_pushdown")
text_plain = show("time as text, alone", first_column("SELECT EndTime::VARCHAR FROM 'alerts.csv'"))
whole_plain = show("score as integer, alone", first_column("SELECT ConfidenceScore::INTEGER FROM 'alerts.csv'"))

in_file = [f"2026-01-01T00:00:00.123456{digit}Z" for digit in "079"]
printed = ["2026-01-01 00:00:00.123456+00"] * 3
as_described = (
    types == ["TIMESTAMP WITH TIME ZONE", "DOUBLE"]
    and (text, text_beside, text_plain) == (in_file, printed, printed)
    and (whole, whole_beside, whole_plain) == ([1, 2, 3], [0, 2, 2], [0, 2, 2])
    and (len(distinct), counted) == (3, 1)
)
sys.exit(0 if as_described else 1)
PY
venv/bin/python casts.py
