//! Explains what the input topics contain about an alert that is not stored.

use super::causes::Finding;
use super::causes::{Cause, InputRecord};
use super::shapes::Bounds;
use super::{Partition, Settings};
use crate::record::LinkId;
use crate::record::Version;
use crate::store::Reads;
use crate::time::{EventTime, Window};
use crate::words::counted;

/// The maximum number of records that are reported. The last ones are kept.
const MAX_REPORTED: usize = 20;

/// A version of an alert that was found in the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Came {
    /// The topic of its message.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// Its index in the message.
    pub index: usize,
    /// The version.
    pub version: Version,
    /// Its window.
    pub window: Window,
}

/// Returns where the input contains the alert, and what happened to the last of these versions according to the state.
/// Returns `None` if `versions` is empty.
pub fn in_input<R: Reads>(partitions: &[Partition<'_, R>], settings: &Settings, versions: &[Came]) -> Option<Finding> {
    let last = versions.last()?;
    // Every partition stores the state of every source partition. The one with the latest watermark update has the
    // newest data.
    let latest = partitions.iter().max_by_key(|partition| partition.view.wall());
    let sources = latest.map(|partition| partition.view.sources()).unwrap_or_default();
    let position = |version: &Came| {
        let is_its = |source: &&crate::join::SourceState| source.topic == version.topic && source.partition == version.partition;
        sources.iter().find(is_its).map(|source| source.position)
    };
    let retained_from = partitions
        .iter()
        .filter_map(|partition| partition.view.retained_from(LinkId::QUERY))
        .max();
    let record = |version: &Came| InputRecord {
        topic: version.topic.clone(),
        partition: version.partition,
        offset: version.offset,
        index: version.index,
        window: Bounds::new(version.window, LinkId::QUERY, settings),
        is_read: position(version).map(|position| version.offset < position),
    };
    let introduction = match versions.len() {
        1 => "It came: it is".to_owned(),
        times => format!("It came {times} times: its last version is"),
    };
    let outcome = outcome(last, position(last), retained_from, settings);
    Some(Finding {
        sentence: format!(
            "{introduction} in {}, partition {}, offset {}. {outcome}",
            last.topic, last.partition, last.offset
        ),
        cause: Cause::InInput {
            records: versions.iter().rev().take(MAX_REPORTED).rev().map(record).collect(),
        },
    })
}

fn outcome(last: &Came, position: Option<i64>, retained_from: Option<EventTime>, settings: &Settings) -> String {
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
