//! Faults that the simulation must find: a simulation that finds nothing may as well look at nothing. None of them
//! touches the program: they change the log on its way from ROUTE to JOIN, how JOIN is set up, the tables under it, the
//! broker, or how an effect is performed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use alerttrail::log::{AlertVersion, LogRecord, WatermarkUpdate};
use alerttrail::record::{Activity, ActivityId, AlertId, LinkId, Text};
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
    WatermarksAhead,
    WatermarksBehind,
    OnePartitionIsEnough,
    NobodyHearsElsewhere,
    OlderVersionWins,
    TiesByArrival,
    FreshIdentity,
    RowPrintedAnew,
    DeadlineLost,
    DeadlineEarly,
    /// A key that an alert has lost by a link is not withdrawn.
    LostKeyStays,
    /// A key that an alert has gained by a link is not answered.
    GainedKeyLeftOut,
    /// An activity goes to only one of the partitions that own its keys.
    OnePartitionOfSeveral,
    /// Of an activity's keys in one partition, only the first counts.
    OneKeyOfSeveral,
    /// Every link has the window of the query.
    WindowOfTheQuery,
    // In the join itself.
    /// Activities are kept for a link as long as for the query.
    ShortRetentionIgnored,
    /// Rows of two links have the same id.
    LinksShareIds,
    // Under JOIN.
    TimersStay,
    ClosedWindowsStay,
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
    /// What a router has sent counts as acknowledged.
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
    // One in each effect of ROUTE, with those that let it commit ahead and begin at the end.
    /// A message is polled, and not routed.
    MessageNotRouted,
    /// Bundles are not sent and count as acknowledged.
    BundlesNotSent,
    /// A watermark update overtakes the records that it covers.
    UpdateBeforeRecords,
    /// The committed position is one message ahead.
    CommittedOneMessageAhead,
    /// Reading begins one message after the position.
    FirstMessageSkipped,
    /// What is acknowledged is not committed before partitions are given up.
    LastCommitSkipped,
    /// Partitions that were given up are not forgotten.
    ForgetSkipped,
    /// Partitions are given up before the commit.
    UnassignedBeforeCommit,
    /// At a stop, what was sent counts as acknowledged.
    StopTakesSentForAcked,
    /// A router that has closed goes on.
    ClosedGoesOn,
    // One in each effect of JOIN.
    /// The previous owner is not fenced.
    FenceSkipped,
    /// The stored state is not read: the join begins with an empty one, and writes over the stored one.
    StateNotRead,
    /// The committed and the noted position are not fetched.
    PositionNotFetched,
    /// A log record is not applied.
    RecordSkipped,
    /// Outputs are not sent and count as acknowledged.
    SendSkipped,
    /// The position is not added to the transaction.
    OffsetsNotAdded,
    /// The transaction is not committed and counts as committed.
    CommitSkipped,
    /// The note is one output ahead.
    NotedAhead,
    /// Of a batch's changes only the position is written.
    HalfWritten,
    /// The committed position is one output ahead.
    CommittedAhead,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 76] = [
    Fault::StartInclusive,
    Fault::EndInclusive,
    Fault::NoOutOfOrderness,
    Fault::GreatestOverPartitions,
    Fault::SilentIsIdle,
    Fault::NeverIdle,
    Fault::WatermarksAhead,
    Fault::WatermarksBehind,
    Fault::OnePartitionIsEnough,
    Fault::NobodyHearsElsewhere,
    Fault::OlderVersionWins,
    Fault::TiesByArrival,
    Fault::FreshIdentity,
    Fault::RowPrintedAnew,
    Fault::DeadlineLost,
    Fault::DeadlineEarly,
    Fault::LostKeyStays,
    Fault::GainedKeyLeftOut,
    Fault::OnePartitionOfSeveral,
    Fault::OneKeyOfSeveral,
    Fault::WindowOfTheQuery,
    Fault::ShortRetentionIgnored,
    Fault::LinksShareIds,
    Fault::TimersStay,
    Fault::ClosedWindowsStay,
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
    Fault::MessageNotRouted,
    Fault::BundlesNotSent,
    Fault::UpdateBeforeRecords,
    Fault::CommittedOneMessageAhead,
    Fault::FirstMessageSkipped,
    Fault::LastCommitSkipped,
    Fault::ForgetSkipped,
    Fault::UnassignedBeforeCommit,
    Fault::StopTakesSentForAcked,
    Fault::ClosedGoesOn,
    Fault::FenceSkipped,
    Fault::StateNotRead,
    Fault::PositionNotFetched,
    Fault::RecordSkipped,
    Fault::SendSkipped,
    Fault::OffsetsNotAdded,
    Fault::CommitSkipped,
    Fault::NotedAhead,
    Fault::HalfWritten,
    Fault::CommittedAhead,
];

impl Fault {
    /// Whether it is in the join itself, so that a run without storms has it too.
    pub(crate) fn is_in_join(self) -> bool {
        matches!(self, Self::ShortRetentionIgnored | Self::LinksShareIds)
    }
}

/// Changes log records on their way.
pub(crate) struct Tamper {
    /// By partition of the log.
    logs: Vec<OfLog>,
    /// The partition to which an activity went first.
    first: BTreeMap<ActivityId, usize>,
}

/// What is remembered of one partition of the log.
#[derive(Default)]
struct OfLog {
    greatest: Option<EventTime>,
    deliveries: u64,
    /// The keys of an alert by a link: those of its first version, or all so far.
    keys: BTreeMap<(AlertId, LinkId), Vec<Text>>,
    /// The latest row of each alert.
    rows: BTreeMap<AlertId, Vec<u8>>,
}

impl Tamper {
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            logs: (0..partitions).map(|_| OfLog::default()).collect(),
            first: BTreeMap::new(),
        }
    }

    /// What a partition of the log gets instead of these bytes; `None` for nothing.
    pub(crate) fn change(
        &mut self,
        partition: usize,
        fault: Option<Fault>,
        bytes: Vec<u8>,
        settings: &Settings,
    ) -> Option<Vec<u8>> {
        let Some(fault) = fault else { return Some(bytes) };
        let log = &mut self.logs[partition];
        let mut record = LogRecord::decode(&bytes).unwrap();
        match &mut record {
            LogRecord::Activity(activity) => log.change_activity(fault, activity),
            LogRecord::Activities(activities) => {
                if fault == Fault::OnePartitionOfSeveral {
                    let first = &mut self.first;
                    activities.retain(|activity| *first.entry(activity.id).or_insert(partition) == partition);
                }
                activities
                    .iter_mut()
                    .for_each(|activity| log.change_activity(fault, activity));
            }
            LogRecord::Alert(version) => {
                let is_elsewhere = version.links.iter().all(|link| link.keys.is_empty());
                if fault == Fault::NobodyHearsElsewhere && is_elsewhere {
                    return None;
                }
                log.change_alert(fault, version);
            }
            LogRecord::WatermarkUpdate(update) => log.change_marks(fault, update, settings),
            LogRecord::EndOfInput => {}
        }
        Some(record.encode(Vec::new()).unwrap())
    }
}

impl OfLog {
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
            Fault::OneKeyOfSeveral => activity.keys.truncate(1),
            _ => {}
        }
    }

    fn change_alert(&mut self, fault: Fault, version: &mut AlertVersion<'_>) {
        match fault {
            Fault::TiesByArrival => version.version.hash = [0; 32],
            Fault::OlderVersionWins => turn(&mut version.version.time_generated),
            Fault::LostKeyStays | Fault::GainedKeyLeftOut => self.change_keys(fault, version),
            Fault::WindowOfTheQuery => {
                let window = version.links[0].window;
                version.links.iter_mut().for_each(|link| link.window = window);
            }
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

    /// Changes the keys by every link but the query.
    fn change_keys(&mut self, fault: Fault, version: &mut AlertVersion<'_>) {
        for link in version.links.iter_mut().filter(|link| link.link != LinkId::QUERY) {
            let known = self.keys.entry((version.id.clone(), link.link));
            let known = known.or_insert_with(|| link.keys.clone());
            if fault == Fault::GainedKeyLeftOut {
                link.keys.retain(|key| known.contains(key));
                continue;
            }
            known.append(&mut link.keys);
            known.sort_unstable();
            known.dedup();
            link.keys.clone_from(known);
        }
        // A version without keys here arrives without its row.
        let row = self.rows.entry(version.id.clone()).or_default();
        match version.row.is_empty() {
            true => version.row = Cow::Owned(row.clone()),
            false => *row = version.row.to_vec(),
        }
    }

    fn change_marks(&mut self, fault: Fault, update: &mut WatermarkUpdate, settings: &Settings) {
        if fault == Fault::OnePartitionIsEnough {
            update.topics = vec![("cloudappevents".to_owned(), 1)];
        }
        for mark in &mut update.sources {
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
                Fault::WatermarksAhead => mark.time = move_by(1_000),
                Fault::WatermarksBehind => mark.time = move_by(-1_000),
                _ => {}
            }
        }
    }
}

fn turn(time: &mut EventTime) {
    *time = EventTime::from_ticks(EventTime::LAST.ticks() - time.ticks());
}
