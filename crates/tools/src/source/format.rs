//! The file name format of Event Hubs Capture, which users can choose.

use std::path::Path;
use std::str::FromStr;

/// Year, month, day, hour, minute and second; 0 for a part that is not known.
pub(super) type StartTime = [u16; 6];

/// A file name format such as `{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureFormat(Vec<FormatPart>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum FormatPart {
    Literal(String),
    /// A namespace or a hub.
    Name,
    Partition,
    /// One of the parts of a [`StartTime`].
    Number(usize),
}

/// The start time and the partition in a file name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PathTime {
    pub(super) start: StartTime,
    pub(super) partition: u32,
}

/// The names of the parts of a [`StartTime`], in its order.
const NUMBERS: [&str; 6] = ["Year", "Month", "Day", "Hour", "Minute", "Second"];

impl FromStr for CaptureFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.strip_suffix(".avro").unwrap_or(text);
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a { without a }")?;
            if !literal.is_empty() {
                parts.push(FormatPart::Literal(literal.to_owned()));
            }
            parts.push(match name {
                "Namespace" | "EventHub" => FormatPart::Name,
                "PartitionId" => FormatPart::Partition,
                _ => {
                    let index = NUMBERS.iter().position(|number| *number == name);
                    FormatPart::Number(index.ok_or_else(|| {
                        format!("{{{name}}} is not a part of such a format; write it as in the settings of the event hub")
                    })?)
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(FormatPart::Literal(rest.to_owned()));
        }
        match NUMBERS
            .iter()
            .enumerate()
            .find(|(index, _)| !parts.contains(&FormatPart::Number(*index)))
        {
            Some((_, missing)) => Err(format!(
                "{{{missing}}} is missing; write it as in the settings of the event hub"
            )),
            None => Ok(Self(parts)),
        }
    }
}

impl CaptureFormat {
    /// Returns the values in the end of `path`, or `None` if it does not have this format.
    pub(super) fn read(&self, path: &Path) -> Option<PathTime> {
        let path = path.with_extension("");
        let mut found = PathTime::default();
        read(&self.0, path.to_str()?, &mut found).then_some(found)
    }
}

/// Matches the text from its end, because any folders may come before the name.
fn read(parts: &[FormatPart], text: &str, found: &mut PathTime) -> bool {
    let Some((part, before)) = parts.split_last() else {
        return text.is_empty() || text.ends_with('/');
    };
    match part {
        FormatPart::Literal(literal) => text
            .strip_suffix(literal.as_str())
            .is_some_and(|text| read(before, text, found)),
        FormatPart::Number(index) => {
            let width = if *index == 0 { 4 } else { 2 };
            let Some((text, number)) = text.len().checked_sub(width).and_then(|at| text.split_at_checked(at)) else {
                return false;
            };
            match number.parse() {
                Ok(number) => found.start[*index] = number,
                Err(_) => return false,
            }
            read(before, text, found)
        }
        FormatPart::Partition | FormatPart::Name => {
            let fits = |c: char| match part {
                FormatPart::Partition => c.is_ascii_digit(),
                _ => c != '/',
            };
            let fitting = text.char_indices().rev().take_while(|(_, c)| fits(*c));
            // The longest match is tried first.
            let indexes: Vec<usize> = fitting.map(|(index, _)| index).collect();
            indexes.into_iter().rev().any(|index| {
                let (text, value) = text.split_at(index);
                if *part == FormatPart::Partition {
                    found.partition = value.parse().unwrap_or(u32::MAX);
                }
                read(before, text, found)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_its_format() {
        let start = [2026, 11, 20, 8, 5, 9];
        for (format, path, partition) in [
            (
                "{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}",
                "/data/ns/hub/12/2026/11/20/08/05/09.avro",
                12,
            ),
            (
                "{EventHub}/{Year}/{Month}/{Day}/{PartitionId}/{Hour}/{Minute}/{Second}.avro",
                "hub/2026/11/20/3/08/05/09.avro",
                3,
            ),
            (
                "{Namespace}/y={Year}{Month}{Day}-{Hour}{Minute}{Second}_{EventHub}_{PartitionId}",
                "x/n_s/y=20261120-080509_my_hub_7.AVRO",
                7,
            ),
            (
                "{PartitionId}{Year}/{Month}/{Day}/{Hour}{Minute}{Second}",
                "312026/11/20/080509.avro",
                31,
            ),
        ] {
            let read = format.parse::<CaptureFormat>().unwrap().read(Path::new(path));
            assert_eq!(read, Some(PathTime { start, partition }), "{path}");
            for other in ["ns/hub/12/2026/11/20/08/05.avro", "a.avro", "x/2026/11/20/é/08/05/09.avro"] {
                assert_eq!(
                    format.parse::<CaptureFormat>().unwrap().read(Path::new(other)),
                    None,
                    "{other}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_format_is_an_error() {
        let error = |text: &str| text.parse::<CaptureFormat>().unwrap_err();
        assert!(error("{Hub}/{Year}").starts_with("{Hub} is not a part"));
        assert!(error("{EventHub}/{Year}/{Month}/{Day}/{Hour}/{Minute}").starts_with("{Second} is missing"));
        assert_eq!(error("{Year"), "a { without a }");
    }
}
