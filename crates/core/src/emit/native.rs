//! The native format, `alerttrail/1`: one JSON object for each record, on one line.

use std::io::Write as _;

use super::{Headers, Links, cut, op};
use crate::join::{ClosedBy, Completeness, Op, Output, Reason, Row, SourceState, Summary};
use crate::json;
use crate::record::{AlertId, Key, Text};
use crate::time::{EventTime, WallTime, Widening, Window};

/// How much of the alert's row a record contains.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertForm {
    Whole,
    Cut,
}

/// Appends the record, including the rows.
pub(super) fn write(output: &Output, headers: &Headers, links: &Links, alert: AlertForm, out: &mut Vec<u8>) {
    write_facts(output, headers, links, alert, out);
    let (alert_row, activity) = match output {
        Output::Row(row) => match &row.rows {
            Some((alert, activity)) => (Some(alert), Some(activity)),
            None => (None, None),
        },
        Output::Summary(summary) => (summary.row.as_ref(), None),
    };
    if let Some(row) = alert_row {
        out.extend_from_slice(br#","alert":"#);
        match alert {
            AlertForm::Whole => out.extend_from_slice(row),
            AlertForm::Cut => cut::alert(row, out),
        }
    }
    if let Some(activity) = activity {
        out.extend_from_slice(br#","activity":"#);
        out.extend_from_slice(activity);
    }
    out.push(b'}');
}

/// Appends the record without the rows. The caller must close the object.
pub(super) fn write_facts(output: &Output, headers: &Headers, links: &Links, alert: AlertForm, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"schema":"alerttrail/1","kind":""#);
    out.extend_from_slice(headers.kind.as_str().as_bytes());
    out.extend_from_slice(br#"","op":""#);
    out.extend_from_slice(op(headers.op).as_bytes());
    out.extend_from_slice(br#"","id":""#);
    out.extend_from_slice(headers.id.as_bytes());
    put(out, format_args!("\",\"seq\":{}", headers.seq));
    let has_alert = match output {
        Output::Row(row) => {
            write_row(row, links, out);
            row.rows.is_some()
        }
        Output::Summary(summary) => {
            write_summary(summary, links, out);
            summary.row.is_some()
        }
    };
    if alert == AlertForm::Cut && has_alert {
        out.extend_from_slice(br#","truncated":["alert"]"#);
    }
}

fn write_row(row: &Row, links: &Links, out: &mut Vec<u8>) {
    ids(&row.alert, &row.key, links, out);
    out.extend_from_slice(br#","activity_id":""#);
    out.extend_from_slice(hex::encode(row.activity.0).as_bytes());
    out.push(b'"');
    time("activity_time", Some(row.time), out);
    word("reason", reason(row.reason), out);
}

fn write_summary(summary: &Summary, links: &Links, out: &mut Vec<u8>) {
    ids(&summary.alert, &summary.key, links, out);
    let answer = &summary.result;
    put(out, format_args!(",\"revision\":{}", answer.revision));
    if summary.op == Op::Delete {
        return;
    }
    word("closed_by", closed_by(answer.closed_by), out);
    let complete = summary.completeness.is_some_and(Completeness::is_complete);
    put(out, format_args!(",\"complete\":{complete}"));
    word("complete_because", summary.completeness.map_or("", Completeness::as_str), out);
    word("status", if answer.activities > 0 { "matched" } else { "unmatched" }, out);
    let (start, end) = bounds(summary.window, links.widening(summary.key.link));
    put(
        out,
        format_args!(
            ",\"window\":{{\"start\":\"{start}\",\"end\":\"{end}\"}},\"activity_count\":{}",
            answer.activities
        ),
    );
    time("first_activity_time", answer.first, out);
    time("last_activity_time", answer.last, out);
    time("watermark", summary.watermark, out);
    time("closed_at", answer.closed_at.map(WallTime::to_event), out);
    time("watermark_at_close", answer.watermark, out);
    time("retained_from", summary.retained_from, out);
    put(out, format_args!(",\"late_count\":{}", answer.late));
    sources(&summary.sources, out);
}

fn ids(alert: &AlertId, key: &Key, links: &Links, out: &mut Vec<u8>) {
    if !alert.tenant.is_empty() {
        text("tenant_id", &alert.tenant, out);
    }
    text("system_alert_id", &alert.system_alert_id, out);
    text("correlation_id", &key.correlation_id, out);
    word("link", links.name(key.link), out);
}

/// Appends how far the source partitions had been read.
fn sources(sources: &[SourceState], out: &mut Vec<u8>) {
    out.extend_from_slice(br#","sources":["#);
    for (at, source) in sources.iter().enumerate() {
        out.extend_from_slice(if at == 0 { br#"{"topic":"# } else { br#",{"topic":"# });
        json::write_string(source.topic.as_bytes(), out);
        put(
            out,
            format_args!(",\"partition\":{},\"position\":{}", source.partition, source.position),
        );
        time("watermark", source.watermark, out);
        put(
            out,
            format_args!(",\"idle\":{},\"rejected\":{}}}", source.idle, source.rejected),
        );
    }
    out.push(b']');
}

/// Returns the bounds with which the query would describe an alert's window.
pub fn bounds(window: Window, widening: Widening) -> (EventTime, EventTime) {
    window.bounds(widening)
}

fn text(name: &str, value: &Text, out: &mut Vec<u8>) {
    put(out, format_args!(",\"{name}\":"));
    json::write_string(value.as_bytes(), out);
}

fn word(name: &str, value: &str, out: &mut Vec<u8>) {
    put(out, format_args!(",\"{name}\":\"{value}\""));
}

fn time(name: &str, value: Option<EventTime>, out: &mut Vec<u8>) {
    match value {
        Some(value) => put(out, format_args!(",\"{name}\":\"{value}\"")),
        None => put(out, format_args!(",\"{name}\":null")),
    }
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // A write into memory cannot fail.
    out.write_fmt(arguments).ok();
}

/// Returns the name of the reason why a row is added or removed.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::WindowClosed => "window_closed",
        Reason::LateActivity => "late_activity",
        Reason::LateAlert => "late_alert",
        Reason::AlertUpdated => "alert_updated",
    }
}

/// Returns the name of what closed a window.
pub fn closed_by(closed_by: ClosedBy) -> &'static str {
    match closed_by {
        ClosedBy::Watermark => "watermark",
        ClosedBy::Clock => "clock",
        ClosedBy::MaxWait => "max_wait",
        ClosedBy::EndOfInput => "end_of_input",
    }
}
