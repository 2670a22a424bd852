use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sink::dead_letter::REDRIVEN;
use crate::time::WallTime;

/// The name of the header that marks a note. Its value is the kind of note.
const NOTE_HEADER: &str = "alerttrail.redrive";

/// The origin of a dead-letter record, which identifies it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The message's offset.
    pub offset: i64,
    /// The record's position in the message's batch.
    pub index: usize,
}

/// Formats `topic/partition/offset/index`; topic names contain no slash.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.topic, self.partition, self.offset, self.index)
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(4, '/');
        let mut part = || parts.next().ok_or(());
        let (index, offset, partition, topic) = (part()?, part()?, part()?, part()?);
        Ok(Self {
            topic: topic.to_owned(),
            partition: partition.parse().map_err(drop)?,
            offset: offset.parse().map_err(drop)?,
            index: index.parse().map_err(drop)?,
        })
    }
}

/// A dead-letter record without its value: what its headers and its timestamp contain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterHeaders {
    /// The origin of the record.
    pub origin: Origin,
    /// The reason why it is a dead-letter record.
    pub reason: String,
    /// The reason as a sentence.
    pub error: String,
    /// The time when it was written.
    pub at: Option<WallTime>,
    /// The full number of bytes, if the value is truncated.
    pub truncated: Option<usize>,
    /// Whether it was redriven and failed again.
    pub is_redriven: bool,
}

/// A run of the command, as noted at its beginning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its unique name.
    pub run: String,
    /// The log-end offsets of the input topics' partitions when it began. Everything that it sent has these offsets or
    /// greater ones.
    pub ends: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// A note of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A run begins.
    Begun(Run),
    /// This dead-letter record was sent.
    Sent(Origin),
    /// The run of this name has sent and noted everything.
    Ended(String),
}

/// A record of the dead-letter topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeadLetterTopicRecord {
    /// A dead-letter record.
    DeadLetter(DeadLetterHeaders),
    /// A note of a run.
    Note(Note),
    /// Neither; another program wrote it.
    Other,
}

impl DeadLetterTopicRecord {
    /// Parses a record with these headers. `at` is its timestamp.
    pub fn parse<'h>(headers: impl Iterator<Item = (&'h str, &'h [u8])>, value: &[u8], at: Option<WallTime>) -> Self {
        let headers: BTreeMap<&str, &[u8]> = headers.collect();
        let text = |name: &str| Some(String::from_utf8_lossy(headers.get(name)?).into_owned());
        if let Some(kind) = text(NOTE_HEADER) {
            let note = match kind.as_str() {
                "begun" => serde_json::from_slice(value).ok().map(Note::Begun),
                "sent" => text(REDRIVEN).and_then(|origin| origin.parse().ok()).map(Note::Sent),
                "ended" => Some(Note::Ended(String::from_utf8_lossy(value).into_owned())),
                _ => None,
            };
            return note.map_or(Self::Other, Self::Note);
        }
        let dead_letter = || {
            Some(DeadLetterHeaders {
                origin: Origin {
                    topic: text("alerttrail.topic")?,
                    partition: text("alerttrail.partition")?.parse().ok()?,
                    offset: text("alerttrail.offset")?.parse().ok()?,
                    index: text("alerttrail.index")?.parse().ok()?,
                },
                reason: text("alerttrail.reason")?,
                error: text("alerttrail.error").unwrap_or_default(),
                at,
                truncated: text("alerttrail.truncated").and_then(|bytes| bytes.parse().ok()),
                is_redriven: headers.contains_key(REDRIVEN),
            })
        };
        dead_letter().map_or(Self::Other, Self::DeadLetter)
    }
}

impl Note {
    /// Returns the headers and the value of the note's record.
    pub fn to_record(&self) -> (Vec<(&'static str, String)>, Vec<u8>) {
        let note = |kind: &str| (NOTE_HEADER, kind.to_owned());
        match self {
            // Strings and numbers can always be encoded as JSON.
            Self::Begun(run) => (vec![note("begun")], serde_json::to_vec(run).unwrap_or_default()),
            Self::Sent(origin) => (vec![note("sent"), (REDRIVEN, origin.to_string())], Vec::new()),
            Self::Ended(run) => (vec![note("ended")], run.clone().into_bytes()),
        }
    }
}

/// Selects dead-letter records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Only these reasons; all if empty.
    pub reasons: Vec<String>,
    /// Only these topics; all if empty.
    pub topics: Vec<String>,
    /// Only records written at this time or later.
    pub since: Option<WallTime>,
    /// Only records written before this time.
    pub until: Option<WallTime>,
}

impl Filter {
    /// Returns whether the filter selects a dead-letter record. A record without a time is selected only if the filter
    /// has neither `since` nor `until`.
    pub fn selects(&self, dead_letter: &DeadLetterHeaders) -> bool {
        let matches = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        matches(&self.reasons, &dead_letter.reason)
            && matches(&self.topics, &dead_letter.origin.topic)
            && self.since.is_none_or(|since| dead_letter.at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| dead_letter.at.is_some_and(|at| at < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::{Address, DeadLetter};

    fn read(headers: &[(&'static str, String)], value: &[u8]) -> DeadLetterTopicRecord {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        DeadLetterTopicRecord::parse(headers, value, Some(WallTime(5)))
    }

    fn dead_letter(redriven: Option<&str>) -> DeadLetter<'static> {
        DeadLetter {
            reason: "invalid_json",
            error: "the message is not JSON".into(),
            address: Address {
                topic: "events",
                partition: 3,
                offset: 40,
                index: 2,
            },
            value: b"{".as_slice().into(),
            truncated: None,
            redriven: redriven.map(str::to_owned),
        }
    }

    #[test]
    fn a_dead_letter_is_read_as_it_was_written() {
        let DeadLetterTopicRecord::DeadLetter(parsed) = read(&dead_letter(None).headers(), b"{") else {
            panic!()
        };
        assert_eq!(parsed.origin.to_string(), "events/3/40/2");
        assert_eq!((parsed.reason.as_str(), parsed.at), ("invalid_json", Some(WallTime(5))));
        assert_eq!((parsed.truncated, parsed.is_redriven), (None, false));
        let mut headers = dead_letter(Some("events/3/1/0")).headers();
        headers.push(("alerttrail.truncated", "1234".into()));
        let DeadLetterTopicRecord::DeadLetter(parsed) = read(&headers, b"{") else {
            panic!()
        };
        assert_eq!((parsed.truncated, parsed.is_redriven), (Some(1234), true));
        assert_eq!(read(&[], b"{}"), DeadLetterTopicRecord::Other);
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        let ends = BTreeMap::from([("events".to_owned(), BTreeMap::from([(0, 7), (1, 8)]))]);
        for note in [
            Note::Begun(Run { run: "r".into(), ends }),
            Note::Sent("a/b/1/2/3".parse().unwrap()),
            Note::Ended("r".into()),
        ] {
            let (headers, value) = note.to_record();
            assert_eq!(read(&headers, &value), DeadLetterTopicRecord::Note(note));
        }
        assert_eq!(read(&[(NOTE_HEADER, "begun".into())], b"?"), DeadLetterTopicRecord::Other);
        assert_eq!("events/3/40".parse::<Origin>(), Err(()));
    }

    #[test]
    fn a_filter_selects_records_that_meet_all_conditions() {
        let DeadLetterTopicRecord::DeadLetter(parsed) = read(&dead_letter(None).headers(), b"{") else {
            panic!()
        };
        let filter = |reasons: &[&str], topics: &[&str], since: Option<i64>, until: Option<i64>| Filter {
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            since: since.map(WallTime),
            until: until.map(WallTime),
        };
        let selects = |filter: Filter| filter.selects(&parsed);
        assert!(selects(Filter::default()));
        assert!(selects(filter(&["too_deep", "invalid_json"], &["events"], Some(5), Some(6))));
        assert!(!selects(filter(&["too_deep"], &[], None, None)));
        assert!(!selects(filter(&[], &["other"], None, None)));
        assert!(!selects(filter(&[], &[], Some(6), None)));
        assert!(!selects(filter(&[], &[], None, Some(5))));
        let timeless = DeadLetterHeaders { at: None, ..parsed };
        assert!(Filter::default().selects(&timeless));
        assert!(!filter(&[], &[], Some(0), None).selects(&timeless));
    }
}
