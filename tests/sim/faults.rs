//! Faults that the simulation must find: a simulation that finds nothing may as well look at nothing. None of them touches the program:
//! they change the log on its way from ROUTE to JOIN, the tables under JOIN, the broker, or the order of effects.

use std::borrow::Cow;

use alerttrail::log::LogRecord;
use alerttrail::record::{Activity, ActivityId};
use alerttrail::time::{EventTime, WallTime};

use crate::world::{Settings, ticks};

/// One planted fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    // In the log.
    StartInclusive,
    EndInclusive,
    NoOutOfOrderness,
    GreatestOverPartitions,
    SilentIsIdle,
    NeverIdle,
    MarksAhead,
    MarksBehind,
    OnePartitionIsEnough,
    NobodyHearsElsewhere,
    OlderVersionWins,
    TiesByArrival,
    FreshIdentity,
    RowPrintedAnew,
    DeadlineLost,
    DeadlineEarly,
    // Under JOIN.
    TimersStay,
    AnsweredStay,
    AlertRowsStay,
    SpansStay,
    ProgressLost,
    WorkLost,
    DaysLost,
    // In the driver.
    WriteBeforeDelivery,
    PositionAhead,
    BlindToOwnWrites,
    OutputLost,
    RouterCommitsAhead,
    RouterBeginsAtTheEnd,
    FutureMovesWatermark,
    // In what is promised of delivery.
    /// The position is committed on its own, ahead of the outputs.
    PositionBeforeOutputs,
    /// The position is noted at home ahead of the outputs.
    NoteBeforeOutputs,
    /// The store is written before the transaction is committed.
    WriteBeforeCommit,
    /// Silent is what lies before the store's position, not what lies before the committed one.
    SilentUpToTheStore,
    SilentOneTooMany,
    SilentOneTooFew,
    /// Of the committed position only the offset counts.
    SilentByWholeRecords,
    /// Outputs are numbered from the beginning of a slice, not from that of a record.
    NumberedBySlice,
    /// Neither the producer's epoch nor the group's generation is looked at.
    FencingLeftOut,
    /// The position is asked for while the owner before can still commit.
    AskBeforeFencing,
    /// The position of an aborted transaction counts.
    PositionFromAborted,
    /// A replay commits its own position, which is behind.
    PositionGoesBack,
    /// A commit without an answer counts as done.
    CommitTakenForDone,
    /// A commit without an answer counts as failed.
    CommitTakenForFailed,
    /// What was sent counts as acknowledged.
    SentTakenForAcked,
    /// What was not acknowledged is sent again as something new.
    SentAgainAsNew,
    /// Where there is no store, another partition's is taken.
    ForeignStore,
    /// A lost store begins at the end of the log.
    ReplayFromTheEnd,
    /// An old or lost store goes on at the committed position.
    ReplayFromCommitted,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 49] = [
    Fault::StartInclusive,
    Fault::EndInclusive,
    Fault::NoOutOfOrderness,
    Fault::GreatestOverPartitions,
    Fault::SilentIsIdle,
    Fault::NeverIdle,
    Fault::MarksAhead,
    Fault::MarksBehind,
    Fault::OnePartitionIsEnough,
    Fault::NobodyHearsElsewhere,
    Fault::OlderVersionWins,
    Fault::TiesByArrival,
    Fault::FreshIdentity,
    Fault::RowPrintedAnew,
    Fault::DeadlineLost,
    Fault::DeadlineEarly,
    Fault::TimersStay,
    Fault::AnsweredStay,
    Fault::AlertRowsStay,
    Fault::SpansStay,
    Fault::ProgressLost,
    Fault::WorkLost,
    Fault::DaysLost,
    Fault::WriteBeforeDelivery,
    Fault::PositionAhead,
    Fault::BlindToOwnWrites,
    Fault::OutputLost,
    Fault::RouterCommitsAhead,
    Fault::RouterBeginsAtTheEnd,
    Fault::FutureMovesWatermark,
    Fault::PositionBeforeOutputs,
    Fault::NoteBeforeOutputs,
    Fault::WriteBeforeCommit,
    Fault::SilentUpToTheStore,
    Fault::SilentOneTooMany,
    Fault::SilentOneTooFew,
    Fault::SilentByWholeRecords,
    Fault::NumberedBySlice,
    Fault::FencingLeftOut,
    Fault::AskBeforeFencing,
    Fault::PositionFromAborted,
    Fault::PositionGoesBack,
    Fault::CommitTakenForDone,
    Fault::CommitTakenForFailed,
    Fault::SentTakenForAcked,
    Fault::SentAgainAsNew,
    Fault::ForeignStore,
    Fault::ReplayFromTheEnd,
    Fault::ReplayFromCommitted,
];

/// Changes log records on their way.
#[derive(Default)]
pub(crate) struct Tamper {
    greatest: Option<EventTime>,
    deliveries: u64,
}

impl Tamper {
    /// What the log gets instead of these bytes; `None` for nothing.
    pub(crate) fn change(&mut self, fault: Option<Fault>, bytes: Vec<u8>, settings: &Settings) -> Option<Vec<u8>> {
        let Some(fault) = fault else { return Some(bytes) };
        let mut record = LogRecord::decode(&bytes).unwrap();
        match &mut record {
            LogRecord::Activity(activity) => self.change_activity(fault, activity),
            LogRecord::Activities(activities) => {
                activities
                    .iter_mut()
                    .for_each(|activity| self.change_activity(fault, activity));
            }
            LogRecord::Alert(version) => {
                let is_elsewhere = version.links.iter().all(|link| link.keys.is_empty());
                match fault {
                    Fault::NobodyHearsElsewhere if is_elsewhere => return None,
                    Fault::TiesByArrival => version.version.hash = [0; 32],
                    Fault::OlderVersionWins => turn(&mut version.version.time_generated),
                    _ => {}
                }
                for link in version.links.iter_mut().filter(|link| !link.keys.is_empty()) {
                    match fault {
                        Fault::StartInclusive => link.window.from = EventTime::from_ticks(link.window.from.ticks() - 1),
                        Fault::EndInclusive => link.window.to = link.window.to.next_tick(),
                        Fault::DeadlineLost => link.deadline = WallTime(i64::MAX),
                        Fault::DeadlineEarly => link.deadline = WallTime(link.deadline.0 - 1_000),
                        _ => {}
                    }
                }
            }
            LogRecord::Marks(marks) => {
                if fault == Fault::OnePartitionIsEnough {
                    marks.topics = vec![("cloudappevents".to_owned(), 1)];
                }
                for mark in &mut marks.sources {
                    self.greatest = self.greatest.max(mark.time);
                    let move_by = |millis: i64| mark.time.map(|time| EventTime::from_ticks(time.ticks() + millis * 10_000));
                    match fault {
                        Fault::NoOutOfOrderness => {
                            mark.time = mark
                                .time
                                .map(|time| EventTime::from_ticks(time.ticks() + ticks(settings.out_of_orderness)));
                        }
                        Fault::GreatestOverPartitions => mark.time = self.greatest,
                        Fault::SilentIsIdle => mark.idle |= mark.time.is_none(),
                        Fault::NeverIdle => mark.idle = false,
                        Fault::MarksAhead => mark.time = move_by(1_000),
                        Fault::MarksBehind => mark.time = move_by(-1_000),
                        _ => {}
                    }
                }
            }
            LogRecord::EndOfInput => {}
        }
        Some(record.encode(Vec::new()).unwrap())
    }
}

impl Tamper {
    fn change_activity(&mut self, fault: Fault, activity: &mut Activity<'_>) {
        match fault {
            Fault::FreshIdentity => {
                self.deliveries += 1;
                let mut id = [0; 32];
                id[..8].copy_from_slice(&self.deliveries.to_be_bytes());
                activity.id = ActivityId(id);
            }
            Fault::RowPrintedAnew => {
                let row: serde_json::Value = serde_json::from_slice(&activity.row).unwrap();
                activity.row = Cow::Owned(serde_json::to_vec(&row).unwrap());
            }
            _ => {}
        }
    }
}

fn turn(time: &mut EventTime) {
    *time = EventTime::from_ticks(EventTime::LAST.ticks() - time.ticks());
}
