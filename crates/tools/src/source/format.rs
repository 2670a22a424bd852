//! The file name format of Event Hubs Capture, which users can choose.

use std::path::Path;
use std::str::FromStr;

/// Year, month, day, hour, minute and second; 0 for a part that is not known.
pub(super) type Begin = [u16; 6];

/// A file name format such as `{Namespace}/{EventHub}/{PartitionId}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    /// A namespace or a hub.
    Name,
    Partition,
    /// One of the parts of a [`Begin`].
    Number(usize),
}

/// The values in a file name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PathTimes {
    pub(super) begin: Begin,
    pub(super) partition: u32,
}

/// The names of the parts of a [`Begin`], in its order.
const NUMBERS: [&str; 6] = ["Year", "Month", "Day", "Hour", "Minute", "Second"];

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.strip_suffix(".avro").unwrap_or(text);
        while let Some((literal, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a { without a }")?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(match name {
                "Namespace" | "EventHub" => Part::Name,
                "PartitionId" => Part::Partition,
                _ => {
                    let place = NUMBERS.iter().position(|number| *number == name);
                    Part::Number(place.ok_or_else(|| {
                        format!("{{{name}}} is not a part of such a format; write it as in the settings of the event hub")
                    })?)
                }
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        match NUMBERS
            .iter()
            .enumerate()
            .find(|(place, _)| !parts.contains(&Part::Number(*place)))
        {
            Some((_, missing)) => Err(format!(
                "{{{missing}}} is missing; write it as in the settings of the event hub"
            )),
            None => Ok(Self(parts)),
        }
    }
}

impl Format {
    /// Returns the values in the end of `path`, or `None` if it does not have this format.
    pub(super) fn read(&self, path: &Path) -> Option<PathTimes> {
        let path = path.with_extension("");
        let mut found = PathTimes::default();
        read(&self.0, path.to_str()?, &mut found).then_some(found)
    }
}

/// Matches the text from its end, because any folders may come before the name.
fn read(parts: &[Part], text: &str, found: &mut PathTimes) -> bool {
    let Some((part, before)) = parts.split_last() else {
        return text.is_empty() || text.ends_with('/');
    };
    match part {
        Part::Literal(literal) => text
            .strip_suffix(literal.as_str())
            .is_some_and(|text| read(before, text, found)),
        Part::Number(place) => {
            let width = if *place == 0 { 4 } else { 2 };
            let Some((text, number)) = text.len().checked_sub(width).and_then(|at| text.split_at_checked(at)) else {
                return false;
            };
            match number.parse() {
                Ok(number) => found.begin[*place] = number,
                Err(_) => return false,
            }
            read(before, text, found)
        }
        Part::Partition | Part::Name => {
            let fits = |letter: char| match part {
                Part::Partition => letter.is_ascii_digit(),
                _ => letter != '/',
            };
            let fitting = text.char_indices().rev().take_while(|(_, letter)| fits(*letter));
            // The longest match is tried first.
            let places: Vec<usize> = fitting.map(|(place, _)| place).collect();
            places.into_iter().rev().any(|place| {
                let (text, value) = text.split_at(place);
                if *part == Part::Partition {
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
        let begin = [2026, 11, 20, 8, 5, 9];
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
            let read = format.parse::<Format>().unwrap().read(Path::new(path));
            assert_eq!(read, Some(PathTimes { begin, partition }), "{path}");
            for other in ["ns/hub/12/2026/11/20/08/05.avro", "a.avro", "x/2026/11/20/é/08/05/09.avro"] {
                assert_eq!(format.parse::<Format>().unwrap().read(Path::new(other)), None, "{other}");
            }
        }
    }

    #[test]
    fn a_wrong_format_is_an_error() {
        let error = |text: &str| text.parse::<Format>().unwrap_err();
        assert!(error("{Hub}/{Year}").starts_with("{Hub} is not a part"));
        assert!(error("{EventHub}/{Year}/{Month}/{Day}/{Hour}/{Minute}").starts_with("{Second} is missing"));
        assert_eq!(error("{Year"), "a { without a }");
    }
}
