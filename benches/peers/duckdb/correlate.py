#!/usr/bin/env python3
"""The same query over files, after the fact, as one DuckDB query.

    correlate.py ACTIVITIES ALERTS OUTPUT --threads N [--typed | --rows] [--temp DIR]

OUTPUT gets a line of JSON for each pair: the ids, and with --rows the records too. With --typed, RawEventData becomes a
structure with typed columns in one step, as one who knows the data writes it. A column of this type in read_json would be
faster still, but loses every activity whose RawEventData is a string. Times are compared to the nanosecond:
DuckDB's ordinary TIMESTAMP has microseconds, in which an activity 100 ns after StartTime would be lost.
"""

import argparse

import duckdb

# The columns that the join needs are named, so that DuckDB's reader skips the others. RawEventData and Data come as an object or
# as a string that holds one.
QUERY = """
COPY (
  WITH opened AS (
    SELECT {row} CASE json_type(raw) WHEN 'VARCHAR' THEN (raw->>'$')::JSON ELSE raw END AS event
    FROM (SELECT {row} {event} AS raw FROM {reader})
  ), keyed AS (
    SELECT {row} event->>'$.Id' AS id, event->>'$.CreationTime' AS created, event->'$.Data' AS data
    FROM opened WHERE json_exists(event, '$.Data')
  ), activities AS (
    SELECT {row} id, rtrim(created, 'Z')::TIMESTAMP_NS AS at,
      CASE WHEN json_type(data) = 'VARCHAR' AND json_valid(data->>'$') THEN (data->>'$')::JSON->>'$.cid' ELSE data->>'$.cid' END AS cid
    FROM keyed
  ), alerts AS (
    SELECT {alert_row} SystemAlertId AS id, AlertType AS cid,
      rtrim(StartTime, 'Z')::TIMESTAMP_NS AS begins, rtrim(EndTime, 'Z')::TIMESTAMP_NS AS ends
    FROM {alert_reader}
  )
  SELECT s.id AS alert, a.id AS activity {rows}
  FROM activities a JOIN alerts s ON a.cid = s.cid AND a.at > s.begins AND a.at < s.ends
  WHERE a.cid <> ''
) TO '{output}' (FORMAT json)
"""


TYPED = """
COPY (
  WITH events AS (
    SELECT json_transform(CASE json_type(raw) WHEN 'VARCHAR' THEN (raw->>'$')::JSON ELSE raw END, '{types}') AS event
    FROM (SELECT properties.RawEventData AS raw FROM {reader})
  ), activities AS (
    SELECT event.Id AS id, event.CreationTime AS at, CASE WHEN json_valid(event.Data) THEN event.Data->>'$.cid' END AS cid
    FROM events WHERE event.Data IS NOT NULL
  )
  SELECT s.SystemAlertId AS alert, a.id AS activity
  FROM activities a JOIN {alert_reader} s ON a.cid = s.AlertType AND a.at > s.StartTime AND a.at < s.EndTime
  WHERE a.cid <> ''
) TO '{output}' (FORMAT json)
"""


def query(options):
    typed = "{activities!r}, format = 'newline_delimited', maximum_object_size = 4194304"
    activities = typed.format(activities=options.activities)
    alerts = typed.format(activities=options.alerts)
    columns = "{SystemAlertId: 'VARCHAR', AlertType: 'VARCHAR', StartTime: 'VARCHAR', EndTime: 'VARCHAR'}"
    raw = "read_json(%s, columns = {properties: 'STRUCT(RawEventData JSON)'})" % activities
    if options.typed:
        times = "{SystemAlertId: 'VARCHAR', AlertType: 'VARCHAR', StartTime: 'TIMESTAMP_NS', EndTime: 'TIMESTAMP_NS'}"
        return TYPED.format(
            types='{"Id": "VARCHAR", "CreationTime": "TIMESTAMP_NS", "Data": "VARCHAR"}',
            reader=raw,
            alert_reader="read_json(%s, columns = %s)" % (alerts, times),
            output=options.output,
        )
    if not options.rows:
        return QUERY.format(
            row="",
            alert_row="",
            rows="",
            event="properties.RawEventData",
            reader=raw,
            alert_reader="read_json(%s, columns = %s)" % (alerts, columns),
            output=options.output,
        )
    alert = "(SELECT json AS row, json->>'$.SystemAlertId' AS SystemAlertId, json->>'$.AlertType' AS AlertType," \
        " json->>'$.StartTime' AS StartTime, json->>'$.EndTime' AS EndTime FROM read_json_objects(%s))" % alerts
    return QUERY.format(
        row="row,",
        alert_row="row,",
        rows=", s.row AS alert_row, a.row AS activity_row",
        event="row->'$.RawEventData'",
        reader="(SELECT json->'$.properties' AS row FROM read_json_objects(%s))" % activities,
        alert_reader=alert,
        output=options.output,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("activities")
    parser.add_argument("alerts")
    parser.add_argument("output")
    parser.add_argument("--threads", type=int, required=True)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--typed", action="store_true")
    form.add_argument("--rows", action="store_true")
    parser.add_argument("--temp", default="")
    options = parser.parse_args()
    connection = duckdb.connect()
    connection.execute(f"SET threads = {options.threads}")
    connection.execute("SET preserve_insertion_order = false")
    if options.temp:
        connection.execute(f"SET temp_directory = {options.temp!r}")
    connection.execute(query(options))


if __name__ == "__main__":
    main()
