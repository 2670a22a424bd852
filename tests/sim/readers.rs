//! The guarantees for readers of the output, whatever happens to the processes that write it.

use std::collections::BTreeSet;

use crate::Failure;
use crate::cluster::Disturbed;
use crate::joining::Delivered;
use crate::world::Settings;

/// Asserts that outputs that are sent again have the same bytes under the same id and seq. Whatever crashed, the
/// outputs are those of a run without crashes, in the same order unless they were sent in another.
pub(crate) fn check_stable(disturbed: &Disturbed, undisturbed: &[Delivered]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<&Delivered> = disturbed.topic.iter().filter(|output| seen.insert(*output)).collect();
    let mut undisturbed: Vec<&Delivered> = undisturbed.iter().collect();
    if disturbed.reordered {
        distinct.sort();
        undisturbed.sort();
    }
    if let Some((one, other)) = distinct.iter().zip(&undisturbed).find(|(one, other)| one != other) {
        let details = format!("with crashes the output is\n  {}\nwithout\n  {}", one.value, other.value);
        return Err(Failure::new("stable", details));
    }
    Failure::unless(distinct.len() == undisturbed.len(), "stable", || {
        format!("{} outputs with crashes, {} without", distinct.len(), undisturbed.len())
    })
}

/// Asserts that without a crash, a row is added only while its id is not there, and removed only while it is. The
/// exception is a row that is emitted again with a newer version, if the settings require that.
pub(crate) fn check_alternation(undisturbed: &[Delivered], settings: &Settings) -> Result<(), Failure> {
    let mut live = BTreeSet::new();
    for output in undisturbed.iter().filter(|output| output.is_row) {
        let changed = match output.is_upsert {
            true => live.insert(&output.id) || (settings.rows_again && output.value.contains("\"reason\":\"alert_updated\"")),
            false => live.remove(&output.id),
        };
        Failure::unless(changed, "stable", || {
            format!("a row is added twice, or removed without having been added: {}", output.value)
        })?;
    }
    Ok(())
}

/// Asserts exactly-once delivery: a `read_committed` reader sees the outputs of a run without crashes, and every (id,
/// seq) exactly once.
pub(crate) fn check_once(seen: &[Delivered], undisturbed: &[Delivered]) -> Result<(), Failure> {
    let mut known = BTreeSet::new();
    for output in seen {
        Failure::unless(known.insert((&output.id, output.seq)), "once", || {
            format!("a read_committed reader sees this again: {}", output.value)
        })?;
    }
    if let Some((one, other)) = seen.iter().zip(undisturbed).find(|(one, other)| one != other) {
        let details = format!(
            "a read_committed reader sees\n  {}\nwhere it should see\n  {}",
            one.value, other.value
        );
        return Err(Failure::new("once", details));
    }
    Failure::unless(seen.len() == undisturbed.len(), "once", || {
        format!("a read_committed reader sees {} outputs of {}", seen.len(), undisturbed.len())
    })
}
