//! What readers of the output may rely on, whatever happens to the processes that write it.

use std::collections::BTreeSet;

use crate::Failure;
use crate::cluster::Stormy;
use crate::joining::Delivered;
use crate::world::Settings;

/// Re-emissions are the same bytes under the same id and seq: whatever crashed, what was said is what a run without crashes says, in the
/// same order unless it was sent in another.
pub(crate) fn check_stable(stormy: &Stormy, calm: &[Delivered]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<&Delivered> = stormy.topic.iter().filter(|output| seen.insert(*output)).collect();
    let mut calm: Vec<&Delivered> = calm.iter().collect();
    if stormy.reordered {
        distinct.sort();
        calm.sort();
    }
    if let Some((one, other)) = distinct.iter().zip(&calm).find(|(one, other)| one != other) {
        let what = format!("with crashes it says\n  {}\nwithout\n  {}", one.value, other.value);
        return Err(Failure::new("stable", what));
    }
    Failure::unless(distinct.len() == calm.len(), "stable", || {
        format!("{} outputs with crashes, {} without", distinct.len(), calm.len())
    })
}

/// Without a crash no id comes while it is there, unless with a newer version where that is asked for, or goes while it
/// is not.
pub(crate) fn check_alternation(calm: &[Delivered], settings: &Settings) -> Result<(), Failure> {
    let mut live = BTreeSet::new();
    for output in calm.iter().filter(|output| output.is_row) {
        let changed = match output.is_upsert {
            true => live.insert(&output.id) || (settings.rows_again && output.value.contains("\"reason\":\"alert_updated\"")),
            false => live.remove(&output.id),
        };
        Failure::unless(changed, "stable", || {
            format!("comes twice, or goes without having come: {}", output.value)
        })?;
    }
    Ok(())
}

/// Exactly once: a `read_committed` reader sees what a run without crashes says, and every (id, seq) one single time.
pub(crate) fn check_once(seen: &[Delivered], calm: &[Delivered]) -> Result<(), Failure> {
    let mut known = BTreeSet::new();
    for output in seen {
        Failure::unless(known.insert((&output.id, output.seq)), "once", || {
            format!("a read_committed reader sees this again: {}", output.value)
        })?;
    }
    if let Some((one, other)) = seen.iter().zip(calm).find(|(one, other)| one != other) {
        let what = format!(
            "a read_committed reader sees\n  {}\nwhere it should see\n  {}",
            one.value, other.value
        );
        return Err(Failure::new("once", what));
    }
    Failure::unless(seen.len() == calm.len(), "once", || {
        format!("a read_committed reader sees {} outputs of {}", seen.len(), calm.len())
    })
}
