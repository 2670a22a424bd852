//! Formats responses as text. Control characters in texts from records are escaped.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::super::{counted, grouped, mask};
use crate::decode::QUERY;
use crate::query::causes::Explanation;
use crate::query::shapes::{ActivityList, AlertDetail, AlertItem, AlertList, Bounds, LinkItem, ProcessorStatus, Time};

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(|name| (*name).to_owned()));
    table
}

fn text(text: impl ToString) -> String {
    mask::printable(&text.to_string(), mask::Lines::One).into_owned()
}

fn or_dash(value: Option<&str>) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// Returns a cell of a table. Long texts are truncated, so that one record does not widen a column.
fn cell(value: &str) -> String {
    const MAX_WIDTH: usize = 64;
    let whole = text(value);
    match whole.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => whole.get(..end).unwrap_or_default().to_owned() + "…",
        None => whole,
    }
}

fn cell_or_dash(value: Option<&str>) -> String {
    value.map_or_else(|| "-".to_owned(), cell)
}

/// Formats a time to the millisecond; `--json` shows all digits.
fn time(time: &Time) -> String {
    let whole = time.to_string();
    let end = whole.len().min(23);
    whole.get(..end).unwrap_or(&whole).replace('T', " ")
}

fn times(value: Option<&Time>) -> String {
    value.map_or_else(|| "-".to_owned(), time)
}

fn window(window: &Bounds) -> String {
    format!("{} to {}", time(&window.start), time(&window.end))
}

fn yes_or_no(value: Option<bool>) -> String {
    let word = value.map_or("-", |value| if value { "yes" } else { "no" });
    word.to_owned()
}

pub(super) fn alerts(list: &AlertList) -> String {
    let is_linked = list.alerts.iter().any(|item| item.link != QUERY);
    let mut header = vec!["STATUS", "SEVERITY", "GENERATED", "ACTIVITIES", "COMPLETE", "ALERT", "NAME"];
    if is_linked {
        header.insert(0, "LINK");
    }
    let mut rows = table(&header);
    for item in &list.alerts {
        let mut cells = vec![
            item.status.as_str().to_owned(),
            cell_or_dash(item.severity.as_deref()),
            time(&item.time_generated),
            grouped(item.activity_count),
            yes_or_no(item.complete),
            cell(&item.system_alert_id),
            cell_or_dash(item.alert_name.as_deref()),
        ];
        if is_linked {
            cells.insert(0, cell(&item.link));
        }
        rows.add_row(cells);
    }
    let mut out = match list.alerts.is_empty() {
        true => "no alerts".to_owned(),
        false => trimmed(&rows),
    };
    if list.next_cursor.is_some() {
        out += "\nThere are more; use --all or a greater --limit.";
    }
    out + &unanswered(&list.unanswered_partitions)
}

fn unanswered(partitions: &[u32]) -> String {
    let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    match numbers.is_empty() {
        true => String::new(),
        false => format!(
            "\nNo instance answered for the partitions {}: their data is missing.",
            numbers.join(", ")
        ),
    }
}

fn fields(item: &AlertItem) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("alert", text(&item.system_alert_id)),
        ("name", or_dash(item.alert_name.as_deref())),
        ("severity", or_dash(item.severity.as_deref())),
        ("correlation id", text(&item.correlation_id)),
        ("window", window(&item.window)),
        ("generated", time(&item.time_generated)),
        ("status", item.status.as_str().to_owned()),
    ];
    if let Some(tenant) = &item.tenant_id {
        fields.insert(1, ("tenant", text(tenant)));
    }
    if item.link != QUERY {
        fields.insert(fields.len() - 4, ("link", text(&item.link)));
    }
    if let Some(closed_by) = &item.closed_by {
        fields.push(("closed", format!("{} by {closed_by}", times(item.closed_at.as_ref()))));
        let late = match item.late_count {
            0 => String::new(),
            late => format!(", {} of them late", grouped(late)),
        };
        fields.push(("activities", format!("{}{late}", grouped(item.activity_count))));
        if item.first_activity_time.is_some() {
            fields.push((
                "from, to",
                format!(
                    "{}, {}",
                    times(item.first_activity_time.as_ref()),
                    times(item.last_activity_time.as_ref())
                ),
            ));
        }
        fields.push(("revision", item.revision.to_string()));
    }
    fields
}

pub(super) fn alert(detail: &AlertDetail) -> String {
    let mut all = fields(&detail.item);
    if let Some(because) = &detail.complete_because {
        let complete = if detail.item.complete == Some(true) { "yes" } else { "no" };
        all.push(("complete", format!("{complete}: {}", because.replace('_', " "))));
    }
    if detail.item.closed_by.is_none() {
        all.push(("no later than", time(&detail.deadline)));
    }
    all.push(("watermark", times(detail.watermark.as_ref())));
    if detail.retained_from.is_some() {
        all.push(("retained from", times(detail.retained_from.as_ref())));
    }
    all.push(("versions", detail.versions.to_string()));
    all.push(("partition", detail.item.partition.to_string()));
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = all.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect();
    lines.join("\n") + &results(&detail.links)
}

/// Shows the results by link and key, if there are several.
fn results(links: &[LinkItem]) -> String {
    if links.len() < 2 {
        return String::new();
    }
    let mut rows = table(&["LINK", "KEY", "STATUS", "ACTIVITIES", "LATE", "COMPLETE", "WINDOW"]);
    for item in links {
        rows.add_row([
            cell(&item.link),
            cell(&item.correlation_id),
            item.status.as_str().to_owned(),
            grouped(item.activity_count),
            grouped(item.late_count),
            yes_or_no(item.complete),
            window(&item.window),
        ]);
    }
    format!("\n\n{}", trimmed(&rows))
}

/// Returns the value of the row at the first of these paths that has one.
fn first_of(row: &Value, names: &[&str]) -> String {
    let found = names.iter().find_map(|name| row.pointer(name).and_then(Value::as_str));
    cell_or_dash(found)
}

pub(super) fn activities(list: &ActivityList) -> String {
    let mut rows = table(&["TIME", "LATE", "ACTION", "WHO", "WHAT", "APPLICATION"]);
    for item in &list.activities {
        let row: Value = serde_json::from_str(item.activity.get()).unwrap_or_default();
        rows.add_row([
            time(&item.activity_time),
            if item.late { "late" } else { "" }.to_owned(),
            first_of(&row, &["/ActionType", "/RawEventData/Operation"]),
            first_of(&row, &["/AccountDisplayName", "/RawEventData/UserId"]),
            first_of(&row, &["/ObjectName", "/RawEventData/ObjectId"]),
            first_of(&row, &["/Application", "/RawEventData/Workload"]),
        ]);
    }
    let mut out = match list.activities.is_empty() {
        true => "no activities".to_owned(),
        false => trimmed(&rows),
    };
    if list.link != QUERY {
        let (key, window) = (text(&list.correlation_id), window(&list.window));
        out = format!("link    {}\nkey     {key}\nwindow  {window}\n\n{out}", text(&list.link));
    }
    if list.next_cursor.is_some() {
        out += "\nThere are more; use --all or a greater --limit.";
    }
    out
}

pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut out = format!(
        "{}: {}\n{}",
        text(&explanation.system_alert_id),
        explanation.status.as_str(),
        text(&explanation.verdict)
    );
    out += "\n";
    if let Some(link) = explanation.link.as_ref().filter(|link| *link != QUERY) {
        out += &format!(
            "\nlink       {}\nkey        {}",
            text(link),
            or_dash(explanation.correlation_id.as_deref())
        );
    }
    if let Some(bounds) = &explanation.window {
        out += &format!("\nwindow     {}", window(bounds));
    }
    out += &format!("\nwatermark  {}", times(explanation.watermark.as_ref()));
    for finding in explanation.findings.iter().skip(1) {
        out += &format!("\n- {}", text(&finding.sentence));
    }
    if let Some(scan) = &explanation.scan {
        out += &format!(
            "\nread       {} and {} in {:.1} s{}",
            counted(scan.messages, "message"),
            counted(scan.dead_letters, "dead letter"),
            scan.seconds,
            if scan.is_whole { "" } else { "; there are more" }
        );
    }
    out
}

pub(super) fn status(status: &ProcessorStatus) -> String {
    let lag = status
        .watermark_lag_seconds
        .map_or_else(String::new, |lag| format!(" ({lag:.0} s behind the clock)"));
    let rates = &status.throughput;
    let mut out = format!(
        "{} {}\nwatermark   {}{lag}\nreads       {:.0} messages/s, {:.1} MB/s\nwrites      {:.1} rows/s\nalerts      {} stored, {} open\nstate       {}\ndead        {}",
        text(&status.application_id),
        status.version,
        times(status.watermark.as_ref()),
        rates.messages,
        rates.bytes / 1e6,
        rates.rows,
        grouped(status.alerts),
        grouped(status.open_alerts),
        status.state_bytes.map_or_else(
            || "-".to_owned(),
            |bytes| bytesize::ByteSize(bytes).display().si().to_string()
        ),
        counted(status.totals.dead_letters, "letter"),
    );
    let mut sources = table(&["TOPIC", "PARTITION", "POSITION", "LAG", "WATERMARK", "", "REJECTED"]);
    for source in &status.sources {
        sources.add_row([
            text(&source.topic),
            source.partition.to_string(),
            source.position.to_string(),
            source.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            times(source.watermark.as_ref()),
            match (source.idle, source.holds_back) {
                (true, _) => "idle",
                (_, true) => "holds back",
                _ => "",
            }
            .to_owned(),
            grouped(source.rejected),
        ]);
    }
    let mut instances = table(&["INSTANCE", "ADDRESS", "PARTITIONS", ""]);
    for instance in &status.instances {
        let partitions: Vec<String> = instance.partitions.iter().map(ToString::to_string).collect();
        instances.add_row([
            text(&instance.instance),
            or_dash(instance.address.as_deref()),
            partitions.join(","),
            instance.error.as_deref().map_or_else(String::new, text),
        ]);
    }
    out += &format!("\n\n{}\n\n{}", trimmed(&sources), trimmed(&instances));
    out + &unanswered(&status.unanswered_partitions)
}

/// Removes the spaces at the ends of a table's lines.
fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n")
}
