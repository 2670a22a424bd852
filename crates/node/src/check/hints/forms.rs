use std::collections::HashMap;

use crate::decode::{Decoder, Identity, Settings};
use crate::record::ActivityId;

/// Maximum number of activities that are remembered, to recognise them in another form.
const MAX_FORMS: usize = 10_000;

/// Counts activities that occur in two forms: with the same `ReportId`, key and time, but different contents.
#[derive(Default)]
pub struct Forms {
    /// For each dedup key from the report id: the dedup key from the content, and whether a second one occurred.
    seen: HashMap<ActivityId, (ActivityId, Times)>,
    two: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Again,
}

/// Returns a decoder that identifies activities by their report ids, or `None` if the settings already do so.
pub fn by_report(settings: &Settings) -> Option<Decoder> {
    (settings.identity == Identity::Content).then(|| {
        Decoder::new(Settings {
            identity: Identity::ReportId,
            ..settings.clone()
        })
    })
}

impl Forms {
    /// Records an activity with both its dedup keys. They are equal for an activity without a report id.
    pub fn note(&mut self, by_report: ActivityId, by_content: ActivityId) {
        if by_report == by_content {
            return;
        }
        let is_full = self.seen.len() >= MAX_FORMS;
        match self.seen.get_mut(&by_report) {
            Some((first, times @ Times::Once)) if *first != by_content => {
                *times = Times::Again;
                self.two += 1;
            }
            None if !is_full => drop(self.seen.insert(by_report, (by_content, Times::Once))),
            Some(_) | None => {}
        }
    }

    /// Returns the number of activities that occurred in two forms.
    pub fn two(&self) -> u64 {
        self.two
    }
}
