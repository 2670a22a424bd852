use std::collections::HashMap;

use crate::decode::{Decoder, Identity, Settings};
use crate::record::ActivityId;

/// Activities that are remembered to be recognised in another form.
const MOST_FORMS: usize = 10_000;

/// Finds activities that came in two forms: one `ReportId`, key and time, and two contents.
#[derive(Default)]
pub struct Forms {
    /// By the identity that the report id gives: the one that the content gives, and whether there was another one.
    seen: HashMap<ActivityId, (ActivityId, Times)>,
    two: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Again,
}

/// A decoder that identifies activities by their report ids; `None` where the settings do so already.
pub fn by_report(settings: &Settings) -> Option<Decoder> {
    (settings.identity == Identity::Content).then(|| {
        Decoder::new(Settings {
            identity: Identity::ReportId,
            ..settings.clone()
        })
    })
}

impl Forms {
    /// Notes an activity with both its identities. One without a report id has the same for both.
    pub fn note(&mut self, by_report: ActivityId, by_content: ActivityId) {
        if by_report == by_content {
            return;
        }
        let is_full = self.seen.len() >= MOST_FORMS;
        match self.seen.get_mut(&by_report) {
            Some((first, times @ Times::Once)) if *first != by_content => {
                *times = Times::Again;
                self.two += 1;
            }
            None if !is_full => drop(self.seen.insert(by_report, (by_content, Times::Once))),
            Some(_) | None => {}
        }
    }

    /// The activities that came in two forms.
    pub fn two(&self) -> u64 {
        self.two
    }
}
