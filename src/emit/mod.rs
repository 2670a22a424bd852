//! What JOIN says, as the bytes that readers get. Pure.
//!
//! One file for each format. Every record has a key (its `SystemAlertId`, so that one alert's records stay in order), a value, and
//! [`Headers`]; its id depends on the alert and the activity alone (on the alert and its correlation id, for a summary), so that the same
//! pair has the same id for ever, on every machine. Rows go through as the bytes they are.

mod cut;
mod id;
mod native;

use crate::join::{Op, Output, Summary};
use crate::time::Widening;

/// How outputs become records.
#[derive(Clone, Debug)]
pub struct Emitter {
    /// How windows follow from alerts: a window is told as the bounds it has in the query.
    pub widening: Widening,
    /// Whether summaries are told at all.
    pub summaries: bool,
    /// Whether an alert that never had an activity is told of.
    pub unmatched: bool,
    /// The most bytes a record's key, value and headers may have together; `None` for any number.
    pub limit: Option<usize>,
}

/// What a record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A pair of an alert and an activity.
    Activity,
    /// An alert's answer as a whole.
    Alert,
}

impl Kind {
    /// The word for it in records and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Alert => "alert",
        }
    }
}

/// What every record carries beside its value, under `alerttrail.kind`, `alerttrail.op`, `alerttrail.id` and `alerttrail.seq`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// What the record is about.
    pub kind: Kind,
    /// What it does.
    pub op: Op,
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// Of two records of one id, the greater is the later truth.
    pub seq: i64,
}

impl Headers {
    /// Names and values, as they go into a Kafka record.
    pub fn pairs(&self) -> [(&'static str, String); 4] {
        [
            ("alerttrail.kind", self.kind.as_str().into()),
            ("alerttrail.op", op(self.op).into()),
            ("alerttrail.id", self.id.clone()),
            ("alerttrail.seq", self.seq.to_string()),
        ]
    }
}

/// What became of an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Emitted {
    /// A record; its value is in the buffer.
    Record(Headers),
    /// Nothing, as configured.
    Omitted,
    /// A record that is too large for the broker even with its alert cut; it is in the buffer.
    TooLarge(Headers),
}

impl Emitter {
    /// Writes the value of `output`'s record, caused by the log record at `seq`, into `value` (cleared first).
    pub fn emit(&self, output: &Output, seq: i64, value: &mut Vec<u8>) -> Emitted {
        if let Output::Summary(summary) = output
            && !self.is_told(summary)
        {
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
            id: id::of(output),
            seq,
        };
        native::write(output, &headers, self.widening, native::Alert::Whole, value);
        if self.fits(output, &headers, value) {
            return Emitted::Record(headers);
        }
        native::write(output, &headers, self.widening, native::Alert::Cut, value);
        match self.fits(output, &headers, value) {
            true => Emitted::Record(headers),
            false => Emitted::TooLarge(headers),
        }
    }

    /// An alert without activities is told of only on request, or to correct what was told before.
    fn is_told(&self, summary: &Summary) -> bool {
        self.summaries && (self.unmatched || summary.answer.ever_matched)
    }

    fn fits(&self, output: &Output, headers: &Headers, value: &[u8]) -> bool {
        let Some(limit) = self.limit else { return true };
        let headers: usize = headers.pairs().iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        /// What Kafka's record format adds at the most.
        const OVERHEAD: usize = 128;
        key(output).len() + headers + value.len() + OVERHEAD <= limit
    }
}

/// The key of an output's record: its `SystemAlertId`.
pub fn key(output: &Output) -> &[u8] {
    match output {
        Output::Row(row) => row.alert.system_alert_id.as_bytes(),
        Output::Summary(summary) => summary.alert.system_alert_id.as_bytes(),
    }
}

fn op(op: Op) -> &'static str {
    match op {
        Op::Upsert => "upsert",
        Op::Delete => "delete",
    }
}
