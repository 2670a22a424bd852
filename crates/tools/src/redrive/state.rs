use std::collections::{BTreeMap, BTreeSet};

use super::dead_letter::{DeadLetterHeaders, Filter, Note, Origin, Run};

/// Tracks which dead-letter records were redriven before and which runs did not end.
#[derive(Clone, Default, Debug)]
pub struct RedriveState {
    sent: BTreeSet<Origin>,
    started: BTreeMap<String, Run>,
    ended: BTreeSet<String>,
    /// Dead-letter records for which this run has made a decision. The topic may contain the same one more than once.
    decided: BTreeSet<Origin>,
}

/// The action for a dead-letter record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Decision {
    /// Send it again.
    Send,
    /// Skip it, because the filter excludes it.
    Filtered,
    /// Skip it, because it is another copy of one that was decided before.
    Repeated,
    /// Skip it, because it was sent before.
    SentBefore,
    /// Skip it, because it was sent before and failed again.
    FailedAgain,
    /// Skip it, because it came from a topic that is not an input topic: it is an output record that was too large, or
    /// the topic is a former input topic.
    NoInput,
}

impl RedriveState {
    /// Applies a note of an earlier run.
    pub fn apply(&mut self, note: Note) {
        match note {
            Note::Begun(run) => drop(self.started.insert(run.run.clone(), run)),
            Note::Sent(origin) => drop(self.sent.insert(origin)),
            Note::Ended(run) => drop(self.ended.insert(run)),
        }
    }

    /// Returns whether this dead-letter record was sent before.
    pub fn was_sent(&self, origin: &Origin) -> bool {
        self.sent.contains(origin)
    }

    /// Returns the runs that began and did not end. They may have sent more dead-letter records than their notes list.
    pub fn open_runs(&self) -> Vec<Run> {
        let open = self.started.values().filter(|run| !self.ended.contains(&run.run));
        open.cloned().collect()
    }

    /// Decides what to do with the next dead-letter record of the topic. `inputs` are the input topics; `again` also
    /// sends records that were sent before.
    pub fn decide(&mut self, dead_letter: &DeadLetterHeaders, filter: &Filter, inputs: &[String], again: bool) -> Decision {
        if !filter.selects(dead_letter) {
            return Decision::Filtered;
        }
        if !self.decided.insert(dead_letter.origin.clone()) {
            return Decision::Repeated;
        }
        if !inputs.contains(&dead_letter.origin.topic) {
            Decision::NoInput
        } else if again {
            Decision::Send
        } else if self.was_sent(&dead_letter.origin) {
            Decision::SentBefore
        } else if dead_letter.is_redriven {
            Decision::FailedAgain
        } else {
            Decision::Send
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_letter(topic: &str, offset: i64) -> DeadLetterHeaders {
        DeadLetterHeaders {
            origin: Origin {
                topic: topic.into(),
                partition: 0,
                offset,
                index: 0,
            },
            reason: "invalid_json".into(),
            error: String::new(),
            at: None,
            truncated: None,
            is_redriven: false,
        }
    }

    fn decide(state: &mut RedriveState, dead_letter: &DeadLetterHeaders, again: bool) -> Decision {
        state.decide(dead_letter, &Filter::default(), &["events".to_owned()], again)
    }

    #[test]
    fn a_dead_letter_is_sent_once() {
        let mut state = RedriveState::default();
        let first = dead_letter("events", 1);
        assert_eq!(decide(&mut state, &first, false), Decision::Send);
        assert_eq!(
            decide(&mut state, &first, false),
            Decision::Repeated,
            "dead-letter records are delivered at least once"
        );
        let mut next_run = RedriveState::default();
        next_run.apply(Note::Sent(first.origin.clone()));
        assert_eq!(decide(&mut next_run.clone(), &first, false), Decision::SentBefore);
        assert_eq!(decide(&mut next_run, &first, true), Decision::Send);
        assert_eq!(decide(&mut next_run, &first, true), Decision::Repeated);
    }

    #[test]
    fn a_dead_letter_that_failed_again_is_not_sent_again() {
        let failed = DeadLetterHeaders {
            is_redriven: true,
            ..dead_letter("events", 9)
        };
        assert_eq!(decide(&mut RedriveState::default(), &failed, false), Decision::FailedAgain);
        assert_eq!(decide(&mut RedriveState::default(), &failed, true), Decision::Send);
    }

    #[test]
    fn records_from_other_topics_are_never_sent() {
        let other_topic = dead_letter("log", 1);
        assert_eq!(decide(&mut RedriveState::default(), &other_topic, true), Decision::NoInput);
        let filter = Filter {
            reasons: vec!["too_deep".into()],
            ..Filter::default()
        };
        let mut state = RedriveState::default();
        assert_eq!(
            state.decide(&dead_letter("events", 1), &filter, &[], false),
            Decision::Filtered
        );
    }

    #[test]
    fn a_run_is_open_until_its_end_is_noted() {
        let run = |name: &str| Run {
            run: name.into(),
            ends: BTreeMap::new(),
        };
        let mut state = RedriveState::default();
        // Notes are read partition by partition, so they are not in order of time.
        state.apply(Note::Ended("a".into()));
        state.apply(Note::Begun(run("a")));
        state.apply(Note::Begun(run("b")));
        assert_eq!(state.open_runs(), [run("b")]);
    }
}
