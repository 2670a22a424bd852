//! Extracts from the rows what several formats need, in the terms that the standards share.

use core::net::{IpAddr, SocketAddr};

use super::columns::Columns;
use crate::decode::parse_time;
use crate::join::Summary;
use crate::time::{EventTime, WallTime};

/// The number of activities that the summary of a finding lists: the first ones in order of time. The others are only
/// counted.
pub(super) const RELATED: usize = 100;

/// `AlertSeverity` with OCSF's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Severity {
    Unknown,
    Informational,
    Low,
    Medium,
    High,
    Other,
}

impl Severity {
    pub(super) fn new(alert: &Columns<'_>) -> Self {
        match alert.text("AlertSeverity").as_deref() {
            None => Self::Unknown,
            Some("Informational") => Self::Informational,
            Some("Low") => Self::Low,
            Some("Medium") => Self::Medium,
            Some("High") => Self::High,
            Some(_) => Self::Other,
        }
    }

    pub(super) fn number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Other => 99,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Other => "Other",
        }
    }
}

/// Returns the time in a column, in any of the spellings that the tables use.
pub(super) fn time(columns: &Columns<'_>, name: &str) -> Option<EventTime> {
    parse_time(&columns.text(name)?)
}

/// Returns the time that a summary is about: `TimeGenerated` of the version that counted; for a retraction, which has
/// no row, the time of the close.
pub(super) fn time_of(summary: &Summary, alert: &Columns<'_>) -> EventTime {
    let closed = || summary.result.closed_at.map(WallTime::to_event);
    time(alert, "TimeGenerated")
        .or_else(closed)
        .or(summary.watermark)
        .unwrap_or(summary.window.to)
}

/// Returns the address in `IPAddress`. Some workloads append a port.
pub(super) fn address(activity: &Columns<'_>) -> Option<IpAddr> {
    let text = activity.text("IPAddress")?;
    let text = text.trim();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

/// Returns the provider of the address. Streamed rows name the column `ISP`, some exports `Isp`.
pub(super) fn isp<'a>(activity: &Columns<'a>) -> Option<&'a [u8]> {
    activity.literal("ISP").or_else(|| activity.literal("Isp"))
}

/// Returns the items of a column that is a comma-separated list or a JSON array of strings, without brackets, quotes
/// and spaces around them.
pub(super) fn items(columns: &Columns<'_>, name: &str) -> Vec<String> {
    let text = columns.text(name).unwrap_or_default();
    let item = |part: &str| {
        part.trim_matches(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '"'))
            .to_owned()
    };
    let mut items: Vec<String> = text.split(',').map(item).filter(|item| !item.is_empty()).collect();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_behind_what_workloads_write_around_them() {
        let address = |text: &str| {
            let row = format!(r#"{{"IPAddress":"{text}"}}"#);
            address(&Columns::new(row.as_bytes())).map(|address| address.to_string())
        };
        assert_eq!(address("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(address("192.0.2.7:443").as_deref(), Some("192.0.2.7"));
        assert_eq!(address("[2001:db8::1]:443").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("[2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(address("unknown"), None);
        assert_eq!(address(""), None);
    }

    #[test]
    fn both_spellings_of_the_provider_are_one_column() {
        let isp = |row: &'static str| isp(&Columns::new(row.as_bytes())).map(|value| std::str::from_utf8(value).unwrap());
        assert_eq!(isp(r#"{"ISP":"a"}"#), Some(r#""a""#));
        assert_eq!(isp(r#"{"Isp":"b"}"#), Some(r#""b""#));
        assert_eq!(isp(r#"{"Isp":"b","ISP":"a"}"#), Some(r#""a""#));
        assert_eq!(isp(r#"{"Isp":"b","ISP":""}"#), Some(r#""b""#));
        assert_eq!(isp("{}"), None);
    }

    #[test]
    fn lists_are_read_in_both_spellings() {
        let row = br#"{"a":"InitialAccess, Exfiltration","b":"[\"T1078\",\"T1048\"]","c":""}"#;
        let columns = Columns::new(row);
        assert_eq!(items(&columns, "a"), ["InitialAccess", "Exfiltration"]);
        assert_eq!(items(&columns, "b"), ["T1078", "T1048"]);
        assert!(items(&columns, "c").is_empty());
    }
}
