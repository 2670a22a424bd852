//! The records of the output topics: the user decides whether they are deleted.
//!
//! After a reset, `seq` begins at 0 again. A reader that keeps the record with the greatest `seq` of each id would keep
//! an old row forever, even if it is withdrawn or changed afterwards. So the topics must be empty, unless the user
//! decides otherwise.

use super::super::{Failure, counted, print_line};
use super::Args;
use crate::config::Config;
use crate::kafka::purge;
use crate::kafka::reading::Extent;
use crate::kafka::topics::Topics;

/// The decision about existing records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// Delete them.
    Purge,
    /// Keep them.
    Keep,
    /// No decision was made, so there must be no records.
    None,
}

impl Choice {
    pub(super) fn from_args(args: &Args) -> Self {
        match (args.purge_output, args.keep_output) {
            (true, _) => Self::Purge,
            (_, true) => Self::Keep,
            _ => Self::None,
        }
    }
}

/// The topics of rows and summaries that have records.
pub(super) struct OutputsToReset {
    non_empty: Vec<Extent>,
    choice: Choice,
}

impl OutputsToReset {
    pub(super) fn inspect(config: &Config, topics: &Topics<'_>, choice: Choice) -> Result<Self, Failure> {
        let output = &config.output;
        let mut non_empty = Vec::new();
        for topic in [Some(&output.topic), output.summary_topic.as_ref()].into_iter().flatten() {
            let extent = topics.extent(topic).map_err(Failure::failed)?;
            non_empty.extend(extent.filter(|extent| !extent.is_empty()));
        }
        Ok(Self { non_empty, choice })
    }

    /// Returns whether records will be deleted.
    pub(super) fn will_delete(&self) -> bool {
        self.choice == Choice::Purge && !self.non_empty.is_empty()
    }

    pub(super) fn print(&self) {
        for extent in &self.non_empty {
            let what = match self.choice {
                Choice::Purge => "records of",
                Choice::Keep => "kept",
                Choice::None => "output",
            };
            print_line(&format!(
                "  {what:<14}  {}, {}",
                extent.topic,
                counted(extent.len(), "record")
            ));
        }
    }

    /// Fails if there are records and no decision about them.
    pub(super) fn require_choice(&self) -> Result<(), Failure> {
        match self.open_decision() {
            Some(decision) => Err(Failure::usage(format!("{decision}; nothing was changed"))),
            None => Ok(()),
        }
    }

    /// Returns the description of the decision that the user must make, if there are records and no decision.
    pub(super) fn open_decision(&self) -> Option<String> {
        if self.choice != Choice::None || self.non_empty.is_empty() {
            return None;
        }
        let topics = self.non_empty.iter();
        let topics: Vec<String> = topics
            .map(|extent| format!("{} ({})", extent.topic, counted(extent.len(), "record")))
            .collect();
        Some(format!(
            "there are records in {}, and after a reset seq begins at 0: a reader that keeps the greatest seq of each id would keep earlier \
             rows that are withdrawn or changed afterwards; add --purge-output to delete these records, or name new topics in output.topic \
             and output.summary_topic, or add --keep-output to continue anyway",
            topics.join(" and ")
        ))
    }

    /// Prints the consequences of the decision.
    pub(super) fn explain(&self) {
        let names = self.non_empty.iter().map(|extent| extent.topic.as_str());
        let names = names.collect::<Vec<_>>().join(" and ");
        match self.choice {
            _ if self.non_empty.is_empty() => {}
            Choice::Purge => print_line(&format!(
                "The records of {names} will be deleted for all readers; the rows will be sent again."
            )),
            Choice::Keep => print_line(&format!(
                "The records of {names} will be kept. The same rows will be sent again with the same ids, but with seq counted from 0: a reader\n\
                 that keeps the greatest seq of each id keeps the old ones, even if a row is withdrawn or changed from now on."
            )),
            Choice::None => {}
        }
    }

    /// Fails if the broker would not delete the records. Deletes nothing.
    pub(super) fn check_permission(&self, config: &Config) -> Result<(), Failure> {
        match self.will_delete() {
            true => self
                .non_empty
                .iter()
                .try_for_each(|extent| purge::check_permission(config, extent))
                .map_err(Failure::failed),
            false => Ok(()),
        }
    }

    /// Deletes the records, if that was the decision.
    pub(super) fn delete(&self, config: &Config, topics: &Topics<'_>) -> Result<(), Failure> {
        if !self.will_delete() {
            return Ok(());
        }
        for extent in &self.non_empty {
            purge::delete_all(config, topics, &extent.topic).map_err(Failure::failed)?;
            print_line(&format!("Deleted the records of {}.", extent.topic));
        }
        Ok(())
    }
}
