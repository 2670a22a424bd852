//! Encodes JOIN's outputs as the bytes that readers get. Pure.
//!
//! There is one file for each format. Every record has a key, a value, and [`Headers`]. The key is its `SystemAlertId`,
//! so that the records of one alert stay in order. The id of a row depends on the alert and the activity, and if these
//! can have several keys in common, on the link and the key. The id of a summary depends on the alert and its key, and
//! on the link if it is not the query. An id depends on nothing more, so the same pair has the same id forever, on
//! every machine. Rows are passed on with their original bytes.
//!
//! A reader that gets only the values must be able to fold them: every format has kind, op, id and seq in its own place
//! for extensions, and in no format does a retraction look like a hit.

mod columns;
mod cut;
mod ecs;
mod facts;
mod kql;
mod links;
mod native;
mod object;
mod ocsf;

use sha2::{Digest, Sha256};

pub use links::Links;
use links::PairIds;
pub use native::{bounds, closed_by, reason};

use crate::join::{Op, Output, Summary};
use crate::record::{ActivityId, AlertId, Key, LinkId};

/// The format of output records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// `alerttrail/1`: both rows as separate members.
    #[default]
    Native,
    /// The flat row of the query.
    Kql,
    /// Open Cybersecurity Schema Framework 1.8.
    Ocsf,
    /// Elastic Common Schema 8.
    Ecs,
}

impl Format {
    /// Returns how many of an alert's activities a summary lists, for
    /// [`Joiner::with_related`](crate::join::Joiner::with_related).
    pub fn related(self) -> usize {
        match self {
            Self::Ocsf => facts::RELATED,
            Self::Native | Self::Kql | Self::Ecs => 0,
        }
    }
}

/// Turns outputs into records.
#[derive(Clone, Debug)]
pub struct Emitter {
    /// The format of the records.
    pub format: Format,
    /// The facts about links that records contain. A window is written with the bounds that it has in the query.
    pub links: Links,
    /// Whether summaries are emitted at all.
    pub summaries: bool,
    /// Whether summaries of alerts that never had an activity are emitted.
    pub unmatched: bool,
    /// The greatest number of bytes of a record's key, value and headers together; `None` for no limit.
    pub limit: Option<usize>,
}

/// The subject of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A pair of an alert and an activity.
    Activity,
    /// An alert under a key, as a summary.
    Alert,
}

impl Kind {
    /// Returns its name in records and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Alert => "alert",
        }
    }
}

/// The headers of a record: `alerttrail.kind`, `alerttrail.op`, `alerttrail.id` and `alerttrail.seq`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// The subject of the record.
    pub kind: Kind,
    /// The record's effect on the reader's table.
    pub op: Op,
    /// The record's id: 32 hexadecimal digits.
    pub id: String,
    /// The number that orders the records of one id: the record with the greatest number is the valid one.
    pub seq: i64,
    /// The link by which the alert and its activities have the key in common. The value contains it, the record's
    /// headers do not.
    pub link: LinkId,
}

impl Headers {
    /// Returns names and values as they are in a Kafka record.
    pub fn pairs(&self) -> [(&'static str, String); 4] {
        [
            ("alerttrail.kind", self.kind.as_str().into()),
            ("alerttrail.op", op(self.op).into()),
            ("alerttrail.id", self.id.clone()),
            ("alerttrail.seq", self.seq.to_string()),
        ]
    }
}

/// The outcome for an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Emitted {
    /// A record, whose value is in the buffer.
    Record(Headers),
    /// No record, as configured.
    Omitted,
    /// A record that is too large for the broker even with its alert cut. Its value is in the buffer.
    TooLarge(Headers),
}

impl Emitter {
    /// Writes the value of the record of `output` into `value`, which is cleared first. `seq` is the offset of the log
    /// record that caused the output.
    pub fn emit(&self, output: &Output, seq: i64, value: &mut Vec<u8>) -> Emitted {
        if !self.emits(output) {
            return Emitted::Omitted;
        }
        let headers = Headers {
            kind: match output {
                Output::Row(_) => Kind::Activity,
                Output::Summary(_) => Kind::Alert,
            },
            op: match output {
                Output::Row(row) => row.op,
                Output::Summary(summary) => summary.op,
            },
            id: id_of(output, &self.links),
            seq,
            link: match output {
                Output::Row(row) => row.key.link,
                Output::Summary(summary) => summary.key.link,
            },
        };
        self.write(output, &headers, native::AlertForm::Whole, value);
        if self.fits(output, &headers, value) {
            return Emitted::Record(headers);
        }
        self.write(output, &headers, native::AlertForm::Cut, value);
        match self.fits(output, &headers, value) {
            true => Emitted::Record(headers),
            false => Emitted::TooLarge(headers),
        }
    }

    /// Returns whether `output` becomes a record.
    pub fn emits(&self, output: &Output) -> bool {
        match output {
            Output::Row(_) => true,
            Output::Summary(summary) => self.emits_summary(summary),
        }
    }

    fn write(&self, output: &Output, headers: &Headers, how: native::AlertForm, value: &mut Vec<u8>) {
        value.clear();
        let write = match self.format {
            Format::Native => return native::write(output, headers, &self.links, how, value),
            Format::Kql => kql::write,
            Format::Ocsf => ocsf::write,
            Format::Ecs => ecs::write,
        };
        let (alert, activity) = match output {
            Output::Row(row) => match &row.rows {
                Some((alert, activity)) => (Some(&**alert), Some(&**activity)),
                None => (None, None),
            },
            Output::Summary(summary) => (summary.row.as_deref(), None),
        };
        let mut cut = Vec::new();
        let alert = match (how, alert) {
            (native::AlertForm::Cut, Some(row)) => {
                cut::alert(row, &mut cut);
                Some(cut.as_slice())
            }
            (_, alert) => alert,
        };
        let record = OutputRecord {
            output,
            headers,
            links: &self.links,
            how,
            alert,
            activity,
        };
        write(&record, value);
    }

    /// Returns whether a summary becomes a record. The summary of an alert that has never had an activity does so only
    /// if configured. Once the alert has had one, every later summary does, to correct the earlier ones.
    fn emits_summary(&self, summary: &Summary) -> bool {
        self.summaries && (self.unmatched || summary.result.ever_matched)
    }

    fn fits(&self, output: &Output, headers: &Headers, value: &[u8]) -> bool {
        let Some(limit) = self.limit else { return true };
        let headers: usize = headers.pairs().iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        /// The greatest number of bytes that Kafka's record format adds.
        const OVERHEAD: usize = 128;
        key(output).len() + headers + value.len() + OVERHEAD <= limit
    }
}

/// The parts of a record.
struct OutputRecord<'a> {
    output: &'a Output,
    headers: &'a Headers,
    links: &'a Links,
    how: native::AlertForm,
    /// The SecurityAlert row, cut if necessary.
    alert: Option<&'a [u8]>,
    /// The CloudAppEvents row.
    activity: Option<&'a [u8]>,
}

impl OutputRecord<'_> {
    fn correlation_id(&self) -> &[u8] {
        match self.output {
            Output::Row(row) => row.key.correlation_id.as_bytes(),
            Output::Summary(summary) => summary.key.correlation_id.as_bytes(),
        }
    }

    /// Returns the tenant, which is empty unless tenants are distinguished.
    fn tenant(&self) -> &[u8] {
        match self.output {
            Output::Row(row) => row.alert.tenant.as_bytes(),
            Output::Summary(summary) => summary.alert.tenant.as_bytes(),
        }
    }
}

/// Returns the key of an output's record: its `SystemAlertId`.
pub fn key(output: &Output) -> &[u8] {
    match output {
        Output::Row(row) => row.alert.system_alert_id.as_bytes(),
        Output::Summary(summary) => summary.alert.system_alert_id.as_bytes(),
    }
}

/// Returns the id of an output's record, as 32 hexadecimal digits. It must never change, because readers fold by it.
fn id_of(output: &Output, links: &Links) -> String {
    match output {
        Output::Row(row) => pair_id(&row.alert, &row.key, row.activity, links),
        Output::Summary(summary) => summary_id(&summary.alert, &summary.key, links),
    }
}

/// Returns the id of the row of an alert and an activity that have this key in common.
pub fn pair_id(alert: &AlertId, key: &Key, activity: ActivityId, links: &Links) -> String {
    hex::encode(pair_number(alert, key, activity, links).to_be_bytes())
}

/// Returns the same id as a number, for callers that keep many ids.
pub fn pair_number(alert: &AlertId, key: &Key, activity: ActivityId, links: &Links) -> u128 {
    let (tenant, id) = (alert.tenant.as_bytes(), alert.system_alert_id.as_bytes());
    match links.pair_ids(key.link) {
        PairIds::ByPair => digest(&[b"alerttrail/1 activity", tenant, id, &activity.0]),
        PairIds::ByPath => digest(&[
            b"alerttrail/1 activity by link",
            tenant,
            id,
            links.name(key.link).as_bytes(),
            key.correlation_id.as_bytes(),
            &activity.0,
        ]),
    }
}

/// Returns the id of the summary of an alert under this key.
pub fn summary_id(alert: &AlertId, key: &Key, links: &Links) -> String {
    let (tenant, id) = (alert.tenant.as_bytes(), alert.system_alert_id.as_bytes());
    let number = match key.link {
        LinkId::QUERY => digest(&[b"alerttrail/1 alert", tenant, id, key.correlation_id.as_bytes()]),
        link => digest(&[
            b"alerttrail/1 alert by link",
            tenant,
            id,
            links.name(link).as_bytes(),
            key.correlation_id.as_bytes(),
        ]),
    };
    hex::encode(number.to_be_bytes())
}

/// Returns 128 bits of a SHA-256.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}

fn op(op: Op) -> &'static str {
    match op {
        Op::Upsert => "upsert",
        Op::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::{Reason, Row};
    use crate::time::EventTime;

    fn row(alert: &str, activity: &str) -> Output {
        Output::Row(Row {
            op: Op::Upsert,
            reason: Reason::WindowClosed,
            alert: AlertId {
                tenant: "".into(),
                system_alert_id: "A\u{0}\"\\\n\u{2028}😀".into(),
            },
            key: Key {
                // A lone surrogate in WTF-8.
                correlation_id: b"\xed\xa0\x80x".to_vec().into(),
                ..Key::default()
            },
            activity: ActivityId([1; 32]),
            time: EventTime::FIRST,
            rows: Some((alert.as_bytes().into(), activity.as_bytes().into())),
        })
    }

    fn emit(output: &Output, limit: Option<usize>) -> (Emitted, String) {
        emit_as(Format::Native, output, limit)
    }

    fn emit_as(format: Format, output: &Output, limit: Option<usize>) -> (Emitted, String) {
        let emitter = Emitter {
            format,
            links: Links::query(Default::default()),
            summaries: true,
            unmatched: false,
            limit,
        };
        let mut value = Vec::new();
        let emitted = emitter.emit(output, 7, &mut value);
        (emitted, String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_record_is_json_whatever_is_in_it() {
        let (emitted, value) = emit(&row("{\"a\":1.0}", "{\"b\":1e5}"), None);
        serde_json::from_str::<&serde_json::value::RawValue>(&value).unwrap();
        assert!(value.contains(r#""correlation_id":"\ud800x""#), "{value}");
        assert!(value.ends_with(r#""alert":{"a":1.0},"activity":{"b":1e5}}"#), "{value}");
        let Emitted::Record(headers) = emitted else {
            panic!("{emitted:?}")
        };
        assert_eq!(headers.seq, 7);
        assert!(value.contains(&format!(r#""id":"{}""#, headers.id)));
    }

    #[test]
    fn columns_that_are_not_what_they_should_be_are_left_out() {
        let activity =
            r#"{"ActionType":5,"IPAddress":{},"AccountId":["a"],"Application":"","ReportId":1.0,"alerttrail":"theirs"}"#;
        let alert = r#"{"AlertSeverity":[],"Tactics":{},"AlertName":"\ud800","TimeGenerated":null,"alerttrail":"theirs"}"#;
        let output = |format| {
            let (_, value) = emit_as(format, &row(alert, activity), None);
            serde_json::from_str::<&serde_json::value::RawValue>(&value).unwrap();
            value
        };
        let flat = output(Format::Kql);
        assert!(
            flat.contains(r#""alerttrail1":"theirs""#) && flat.contains(r#""alerttrail2":"theirs""#),
            "{flat}"
        );
        assert!(flat.contains(r#""alerttrail":{"schema""#), "{flat}");
        let event = output(Format::Ocsf);
        assert!(event.contains(r#""api":{"operation":"Unknown"}"#), "{event}");
        assert!(event.contains(r#""actor":{"app_name":"Unknown"}"#), "{event}");
        assert!(event.contains(r#""original_event_uid":"1.0""#), "{event}");
        let document = output(Format::Ecs);
        assert!(
            !document.contains(r#""user""#) && !document.contains(r#""source""#),
            "{document}"
        );
        assert!(document.contains(r#""rule":{"name":"\ud800"}"#), "{document}");
    }

    #[test]
    fn ids_never_change() {
        let (Emitted::Record(headers), _) = emit(&row("{}", "{}"), None) else {
            panic!()
        };
        assert_eq!(headers.id, "5a0b8af9c0b543983c3261a9643ed354");
    }

    #[test]
    fn a_record_that_is_too_large_is_sent_with_its_alert_cut() {
        let alert = format!(r#"{{"SystemAlertId":"A","Caf\u00e9":"{}","EndTime":"e"}}"#, "x".repeat(5_000));
        let (emitted, value) = emit(&row(&alert, "{}"), Some(2_000));
        assert!(matches!(emitted, Emitted::Record(_)));
        assert!(
            value.contains(r#""truncated":["alert"],"alert":{"SystemAlertId":"A","EndTime":"e"}"#),
            "{value}"
        );
    }

    #[test]
    fn what_is_too_large_even_so_is_said_to_be() {
        let activity = format!(r#"{{"a":"{}"}}"#, "x".repeat(5_000));
        let (emitted, _) = emit(&row("{}", &activity), Some(2_000));
        assert!(matches!(emitted, Emitted::TooLarge(_)));
    }
}
