//! Explains what the input topics contain about an alert that the state does not hold.

use super::causes::{Cause, InputRecord};
use super::shapes::{Bounds, Finding};
use super::{Partition, Settings};
use crate::record::LinkId;
use crate::record::Version;
use crate::store::Reads;
use crate::time::{EventTime, Window};
use crate::words::counted;

/// Maximum number of records that are reported. The last ones are kept.
const MOST_TOLD: usize = 20;

/// A version of an alert that was found in the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Came {
    /// The topic of its message.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// Its place in the message.
    pub index: usize,
    /// The version.
    pub version: Version,
    /// The event time it covers.
    pub window: Window,
}

/// Returns where the input holds the alert, and what happened to the last of these versions according to the state.
/// Returns `None` if `came` is empty.
pub fn in_input<R: Reads>(partitions: &[Partition<'_, R>], settings: &Settings, came: &[Came]) -> Option<Finding> {
    let last = came.last()?;
    // Every partition knows every source partition. The one with the latest watermark update has the newest data.
    let latest = partitions.iter().max_by_key(|partition| partition.view.wall());
    let sources = latest.map(|partition| partition.view.sources()).unwrap_or_default();
    let position = |came: &Came| {
        let is_its = |source: &&crate::join::SourceState| source.topic == came.topic && source.partition == came.partition;
        sources.iter().find(is_its).map(|source| source.position)
    };
    let retained_from = partitions
        .iter()
        .filter_map(|partition| partition.view.retained_from(LinkId::QUERY))
        .max();
    let record = |came: &Came| InputRecord {
        topic: came.topic.clone(),
        partition: came.partition,
        offset: came.offset,
        index: came.index,
        window: Bounds::of(came.window, LinkId::QUERY, settings),
        is_read: position(came).map(|position| came.offset < position),
    };
    let whence = match came.len() {
        1 => "It came: it is".to_owned(),
        times => format!("It came {times} times: its last version is"),
    };
    let fate = fate(last, position(last), retained_from, settings);
    Some(Finding {
        sentence: format!(
            "{whence} in {}, partition {}, offset {}. {fate}",
            last.topic, last.partition, last.offset
        ),
        cause: Cause::InInput {
            records: came.iter().rev().take(MOST_TOLD).rev().map(record).collect(),
        },
    })
}

fn fate(last: &Came, position: Option<i64>, retained_from: Option<EventTime>, settings: &Settings) -> String {
    match (position, retained_from) {
        (Some(position), _) if position <= last.offset => {
            format!("The processor has not read it yet: it is at offset {position} of that partition.")
        }
        (_, Some(from)) if last.window.to <= from => {
            let (_, end) = super::emit::bounds(last.window, settings.links.widening(LinkId::QUERY));
            format!("Its window ended at {end}, and everything before {from} is forgotten (state.retention).")
        }
        (Some(_), _) => {
            "The processor has read past it: ask again in a moment, and look whether input.start left it out.".to_owned()
        }
        (None, _) => "Nothing has been heard yet of that partition: look whether it is read.".to_owned(),
    }
}

/// Returns the finding that the alert is not in the messages that were read.
pub fn not_in_input(messages: u64, is_whole: bool) -> Finding {
    let were = if messages == 1 { "was" } else { "were" };
    let older = if is_whole { "" } else { " (older ones were not)" };
    Finding {
        sentence: format!(
            "{} of the input topics {were} read{older}, and no SecurityAlert of this id is in them.",
            counted(messages, "message")
        ),
        cause: Cause::NotInInput { messages, is_whole },
    }
}
