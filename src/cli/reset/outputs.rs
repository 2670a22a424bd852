//! The records of the output topics: what becomes of them is the user's decision.
//!
//! A reset begins `seq` at 0 again. A reader that keeps the record with the greatest `seq` of each id would keep a row of before the reset
//! for ever, although it is withdrawn or changed afterwards. So the topics must be empty, unless the user says otherwise.

use super::super::{Failure, counted, tell};
use super::Args;
use crate::config::Config;
use crate::kafka::purge;
use crate::kafka::reading::Extent;
use crate::kafka::topics::Topics;

/// What is done with the records that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// They are deleted.
    Purge,
    /// They stay.
    Keep,
    /// Nothing was said: there must be none.
    None,
}

impl Choice {
    pub(super) fn of(args: &Args) -> Self {
        match (args.purge_output, args.keep_output) {
            (true, _) => Self::Purge,
            (_, true) => Self::Keep,
            _ => Self::None,
        }
    }
}

/// The topics of rows and of summaries that hold records.
pub(super) struct Outputs {
    held: Vec<Extent>,
    choice: Choice,
}

impl Outputs {
    pub(super) fn look(config: &Config, topics: &Topics<'_>, choice: Choice) -> Result<Self, Failure> {
        let output = &config.output;
        let mut held = Vec::new();
        for topic in [Some(&output.topic), output.summary_topic.as_ref()].into_iter().flatten() {
            let extent = topics.extent(topic).map_err(Failure::failed)?;
            held.extend(extent.filter(|extent| !extent.is_empty()));
        }
        Ok(Self { held, choice })
    }

    /// Returns whether records are to be deleted.
    pub(super) fn go(&self) -> bool {
        self.choice == Choice::Purge && !self.held.is_empty()
    }

    pub(super) fn print(&self) {
        for extent in &self.held {
            let what = match self.choice {
                Choice::Purge => "records of",
                Choice::Keep => "kept",
                Choice::None => "output",
            };
            tell(&format!(
                "  {what:<14}  {}, {}",
                extent.topic,
                counted(extent.len(), "record")
            ));
        }
    }

    /// Fails when there are records and nothing was said about them.
    pub(super) fn require_choice(&self) -> Result<(), Failure> {
        match self.question() {
            Some(question) => Err(Failure::usage(format!("{question}; nothing was changed"))),
            None => Ok(()),
        }
    }

    /// Returns what has to be decided, if anything has.
    pub(super) fn question(&self) -> Option<String> {
        if self.choice != Choice::None || self.held.is_empty() {
            return None;
        }
        let held = self.held.iter();
        let held: Vec<String> = held
            .map(|extent| format!("{} ({})", extent.topic, counted(extent.len(), "record")))
            .collect();
        Some(format!(
            "there are records in {}, and after a reset seq begins at 0: a reader that keeps the greatest seq of each id would keep rows from \
             before that are withdrawn or changed afterwards; add --purge-output to delete these records, or name new topics in output.topic \
             and output.summary_topic, or add --keep-output to go on all the same",
            held.join(" and ")
        ))
    }

    /// Says what the choice means.
    pub(super) fn explain(&self) {
        let names = self.held.iter().map(|extent| extent.topic.as_str());
        let names = names.collect::<Vec<_>>().join(" and ");
        match self.choice {
            _ if self.held.is_empty() => {}
            Choice::Purge => tell(&format!(
                "The records of {names} are deleted, for every reader; the rows are sent again."
            )),
            Choice::Keep => tell(&format!(
                "The records of {names} stay. The same rows go out again under the same ids, but with seq counted from 0: a reader that keeps\n\
                 the greatest seq of each id keeps the old ones, also where a row is withdrawn or changed from now on."
            )),
            Choice::None => {}
        }
    }

    /// Fails where the broker would not delete the records. Nothing is deleted yet.
    pub(super) fn try_out(&self, config: &Config) -> Result<(), Failure> {
        match self.go() {
            true => self
                .held
                .iter()
                .try_for_each(|extent| purge::try_out(config, extent))
                .map_err(Failure::failed),
            false => Ok(()),
        }
    }

    /// Deletes the records, if that was the choice.
    pub(super) fn empty(&self, config: &Config, topics: &Topics<'_>) -> Result<(), Failure> {
        if !self.go() {
            return Ok(());
        }
        for extent in &self.held {
            purge::empty(config, topics, &extent.topic).map_err(Failure::failed)?;
            tell(&format!("Deleted the records of {}.", extent.topic));
        }
        Ok(())
    }
}
