use super::random::Random;

/// The tables that records come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RowKind {
    Activities,
    Alerts,
}

/// The defect of a broken message or record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Defect {
    /// The end is missing.
    Truncated,
    /// The error text of a proxy, which is not JSON.
    NotJson,
    /// A byte that is not valid UTF-8.
    NotUtf8,
    /// JSON that is not a record but a scalar.
    Scalar,
    /// `records` is not a list.
    RecordsOfWrongType,
    /// The envelope's `properties` is a string.
    PropertiesOfWrongType,
    /// An envelope without `properties`.
    NoProperties,
    /// The record is nested far too deeply.
    TooDeep,
    /// A required time is not a valid time.
    BadTime,
    /// A required column is missing.
    MissingColumn,
}

impl Defect {
    /// Draws a defect of a record or its message. Every column of an activity can be missing, so
    /// [`Defect::MissingColumn`] is only one of alerts.
    pub(super) fn draw(rows: RowKind, random: &Random) -> Self {
        let all = [
            Self::Truncated,
            Self::NotJson,
            Self::NotUtf8,
            Self::Scalar,
            Self::RecordsOfWrongType,
        ];
        match rows {
            _ if random.one_in(2) => *random.pick(&all),
            RowKind::Activities => *random.pick(&[Self::PropertiesOfWrongType, Self::NoProperties, Self::TooDeep, Self::BadTime]),
            RowKind::Alerts => *random.pick(&[Self::BadTime, Self::MissingColumn]),
        }
    }

    /// Returns whether the defect breaks a single record, so that the other records of its message must still be read.
    pub(super) fn is_of_record(self) -> bool {
        matches!(
            self,
            Self::PropertiesOfWrongType | Self::NoProperties | Self::TooDeep | Self::BadTime | Self::MissingColumn
        )
    }

    /// Breaks the valid record that begins at `begin` in `out`, so that no reader can use it.
    pub(super) fn apply(self, out: &mut Vec<u8>, begin: usize, rows: RowKind, random: &Random) {
        let table = rows.table();
        // The column with the time that a record must have, and one that every record has.
        let (time, id) = match rows {
            RowKind::Activities => ("CreationTime", "RawEventData"),
            RowKind::Alerts => ("EndTime", "SystemAlertId"),
        };
        match self {
            Self::Truncated => {
                let length = out.len() - begin;
                out.truncate(begin + 1 + random.place(length - 1));
            }
            Self::NotUtf8 => break_text(&mut out[begin..]),
            Self::BadTime => break_time(&mut out[begin..], time, random),
            Self::MissingColumn => rename(&mut out[begin..], id),
            Self::NotJson => replace(out, begin, "upstream connect error or disconnect/reset before headers"),
            Self::Scalar => replace(out, begin, random.pick::<&str>(&["42", "true", "\"record\"", "-0.5"])),
            Self::RecordsOfWrongType => replace(out, begin, r#"{"records":"none"}"#),
            Self::PropertiesOfWrongType => {
                let text = format!(
                    r#"{{"category":"AdvancedHunting-{table}","properties":"row {}"}}"#,
                    random.below(1_000)
                );
                replace(out, begin, &text);
            }
            Self::NoProperties => {
                let text = format!(r#"{{"category":"AdvancedHunting-{table}","operationName":"Publish"}}"#);
                replace(out, begin, &text);
            }
            Self::TooDeep => nest(out, begin, id),
        }
    }
}

/// More levels of nesting than any reader should follow.
const TOO_DEEP: usize = 2_000;

fn replace(out: &mut Vec<u8>, begin: usize, text: &str) {
    out.truncate(begin);
    out.extend_from_slice(text.as_bytes());
}

/// Replaces a letter by a byte that never occurs in UTF-8.
fn break_text(record: &mut [u8]) {
    let middle = record.len() / 2;
    if let Some(byte) = record[middle..].iter_mut().find(|byte| byte.is_ascii_lowercase()) {
        *byte = 0xff;
    }
}

/// Replaces the value of column `time`, at any depth of quoting, by a text of the same length that is not a valid time.
fn break_time(record: &mut [u8], time: &str, random: &Random) {
    let Some(name) = memchr::memmem::find(record, format!("{time}\\").as_bytes())
        .or_else(|| memchr::memmem::find(record, format!("\"{time}\"").as_bytes()))
    else {
        return;
    };
    let Some(year) = record[name..].iter().position(u8::is_ascii_digit).map(|place| name + place) else {
        return;
    };
    let (place, text): (usize, &[u8]) = match random.below(4) {
        0 => (5, b"13"),
        1 => (8, b"31"),
        2 => (11, b"25"),
        _ => (0, b"soon"),
    };
    record[year + place..][..text.len()].copy_from_slice(text);
    if place == 8 {
        // February has no 31st day.
        record[year + 5..][..2].copy_from_slice(b"02");
    }
}

/// Inserts a column with far too many levels before column `id`.
fn nest(out: &mut Vec<u8>, begin: usize, id: &str) {
    let deep = format!("\"Trace\":{}{},", "[".repeat(TOO_DEEP), "]".repeat(TOO_DEEP));
    if let Some(place) = memchr::memmem::find(&out[begin..], format!("\"{id}\"").as_bytes()) {
        out.splice(begin + place..begin + place, deep.into_bytes());
    }
}

fn rename(record: &mut [u8], id: &str) {
    if let Some(place) = memchr::memmem::find(record, format!("\"{id}\"").as_bytes()) {
        record[place + 1] = b'X';
    }
}
