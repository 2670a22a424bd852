use super::random::Random;

/// What is wrong with a broken message or record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Defect {
    /// The end is missing.
    Truncated,
    /// Text of a proxy, not JSON at all.
    NotJson,
    /// A byte that is no UTF-8.
    NotUtf8,
    /// JSON, but no record: a scalar.
    Scalar,
    /// `records` is no list.
    RecordsOfWrongType,
    /// The envelope's `properties` is a string.
    PropertiesOfWrongType,
    /// An envelope without `properties`.
    NoProperties,
    /// Nested far too deeply.
    TooDeep,
    /// A time that is none, where one is needed.
    BadTime,
    /// A required column is missing.
    MissingColumn,
}

impl Defect {
    /// Of an activity. Rows of this table have no column without which they would be of no use, and so no [`Defect::MissingColumn`].
    pub(super) fn of_activity(random: &mut Random) -> Self {
        let all = [
            Self::Truncated,
            Self::NotJson,
            Self::NotUtf8,
            Self::Scalar,
            Self::RecordsOfWrongType,
        ];
        let records = [Self::PropertiesOfWrongType, Self::NoProperties, Self::TooDeep, Self::BadTime];
        if random.one_in(2) {
            random.pick(&all)
        } else {
            random.pick(&records)
        }
    }

    /// Of an alert.
    pub(super) fn of_alert(random: &mut Random) -> Self {
        let all = [
            Self::Truncated,
            Self::NotJson,
            Self::NotUtf8,
            Self::Scalar,
            Self::RecordsOfWrongType,
        ];
        let records = [Self::BadTime, Self::MissingColumn];
        if random.one_in(2) {
            random.pick(&all)
        } else {
            random.pick(&records)
        }
    }

    /// Whether it breaks a single record, so that the others of its message are to be read all the same.
    pub(super) fn is_of_record(self) -> bool {
        matches!(
            self,
            Self::PropertiesOfWrongType | Self::NoProperties | Self::TooDeep | Self::BadTime | Self::MissingColumn
        )
    }

    /// Breaks the sound record of `table` that begins at `begin` of `out`, so that no reader can use it.
    pub(super) fn apply(self, out: &mut Vec<u8>, begin: usize, table: &str, columns: Columns, random: &mut Random) {
        match self {
            Self::Truncated => {
                let length = out.len() - begin;
                out.truncate(begin + 1 + random.place(length - 1));
            }
            Self::NotUtf8 => break_text(&mut out[begin..]),
            Self::BadTime => break_time(&mut out[begin..], columns.time, random),
            Self::MissingColumn => rename(&mut out[begin..], columns.id),
            Self::NotJson => replace(out, begin, "upstream connect error or disconnect/reset before headers"),
            Self::Scalar => replace(out, begin, random.pick(&["42", "true", "\"record\"", "-0.5"])),
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
            Self::TooDeep => nest(out, begin, columns.id),
        }
    }
}

/// Where a record is broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// The time without which the record is of no use.
    pub(super) time: &'static str,
    /// A column that every record has; of alerts one that they must have.
    pub(super) id: &'static str,
}

/// More levels than any reader should follow.
const TOO_DEEP: usize = 2_000;

fn replace(out: &mut Vec<u8>, begin: usize, text: &str) {
    out.truncate(begin);
    out.extend_from_slice(text.as_bytes());
}

/// Puts a byte that UTF-8 never has in the place of a letter.
fn break_text(record: &mut [u8]) {
    let middle = record.len() / 2;
    if let Some(byte) = record[middle..].iter_mut().find(|byte| byte.is_ascii_lowercase()) {
        *byte = 0xff;
    }
}

/// Makes the value of column `time`, at whatever depth of quoting, a text of the same length that is no time.
fn break_time(record: &mut [u8], time: &str, random: &mut Random) {
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
        // There is no 31st of February.
        record[year + 5..][..2].copy_from_slice(b"02");
    }
}

/// Puts a column of far too many levels before column `id`.
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
