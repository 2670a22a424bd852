//! Faults that the simulation must find, because a simulation that finds no fault proves nothing. They do not change
//! the program: they change the log on its way from ROUTE to JOIN, how JOIN is set up, its tables, the broker, or how
//! an effect is performed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use alerttrail::record::{Activity, ActivityId, AlertId, LinkId, Text};
use alerttrail::repartition::{AlertVersion, RepartitionRecord, WatermarkUpdate};
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
    WithoutActivityIsIdle,
    NeverIdle,
    WatermarksAhead,
    WatermarksBehind,
    OnePartitionIsEnough,
    RemoteAlertsNotSent,
    OlderVersionWins,
    TiesByArrival,
    FreshDedupKey,
    RowReserialised,
    DeadlineLost,
    DeadlineEarly,
    /// A key that an alert has lost by a link is not withdrawn.
    LostKeyStays,
    /// A key that an alert has gained by a link gets no rows.
    GainedKeyLeftOut,
    /// An activity goes to only one of the partitions to which its keys belong.
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
    // In the tables of JOIN.
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
    /// Records that a router has sent count as acknowledged.
    RouterCommitsAhead,
    RouterStartsAtTheEnd,
    FutureMovesWatermark,
    // In the delivery guarantee.
    /// The position is committed on its own, ahead of the outputs.
    PositionBeforeOutputs,
    /// The position is noted on disk before the outputs are sent.
    NoteBeforeOutputs,
    /// The store is written before the transaction is committed.
    WriteBeforeCommit,
    /// Outputs before the store's position are suppressed, not those before the committed one.
    SuppressedUpToTheStore,
    OneTooManySuppressed,
    OneTooFewSuppressed,
    /// Only the offset of the committed position counts.
    SuppressedByWholeRecords,
    /// Outputs are numbered from the beginning of a batch, not from that of a record.
    NumberedByBatch,
    /// Neither the producer's epoch nor the group's generation is checked.
    FencingLeftOut,
    /// The position is fetched while the previous task can still commit.
    PositionFetchedBeforeFencing,
    /// The position of an aborted transaction counts.
    PositionFromAborted,
    /// A replay commits its own position, which is behind the committed one.
    PositionGoesBack,
    /// A commit without a response counts as done.
    UnconfirmedCommitCountsAsDone,
    /// A commit without a response counts as failed.
    UnconfirmedCommitCountsAsFailed,
    /// Outputs that were sent count as acknowledged.
    SentCountsAsAcked,
    /// Outputs that were not acknowledged are sent again as new ones.
    SentAgainAsNew,
    /// If there is no store, that of another partition is used.
    ForeignStore,
    /// A lost store begins at the end of the log.
    ReplayFromTheEnd,
    /// An old or lost store continues at the committed position.
    ReplayFromCommitted,
    // One in each effect of ROUTE, in addition to those that let it commit ahead and start at the end.
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
    /// Acknowledged positions are not committed before partitions are given up.
    LastCommitSkipped,
    /// Partitions that were given up are not forgotten.
    ForgetSkipped,
    /// Partitions are given up before the commit.
    UnassignedBeforeCommit,
    /// At a stop, records that were sent count as acknowledged.
    StopCountsSentAsAcked,
    /// A router that has closed continues.
    ClosedContinues,
    // One in each effect of JOIN.
    /// The previous task is not fenced.
    FenceSkipped,
    /// The stored state is not read: the join begins with an empty one, and writes over the stored one.
    StateNotRead,
    /// The committed and the noted position are not fetched.
    PositionNotFetched,
    /// A repartition record is not applied.
    RecordSkipped,
    /// Outputs are not sent and count as acknowledged.
    SendSkipped,
    /// The position is not added to the transaction.
    OffsetsNotAdded,
    /// The transaction is not committed and counts as committed.
    CommitSkipped,
    /// The note is one output ahead.
    NotedAhead,
    /// Only the position of a batch's changes is written.
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
    Fault::WithoutActivityIsIdle,
    Fault::NeverIdle,
    Fault::WatermarksAhead,
    Fault::WatermarksBehind,
    Fault::OnePartitionIsEnough,
    Fault::RemoteAlertsNotSent,
    Fault::OlderVersionWins,
    Fault::TiesByArrival,
    Fault::FreshDedupKey,
    Fault::RowReserialised,
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
    Fault::RouterStartsAtTheEnd,
    Fault::FutureMovesWatermark,
    Fault::PositionBeforeOutputs,
    Fault::NoteBeforeOutputs,
    Fault::WriteBeforeCommit,
    Fault::SuppressedUpToTheStore,
    Fault::OneTooManySuppressed,
    Fault::OneTooFewSuppressed,
    Fault::SuppressedByWholeRecords,
    Fault::NumberedByBatch,
    Fault::FencingLeftOut,
    Fault::PositionFetchedBeforeFencing,
    Fault::PositionFromAborted,
    Fault::PositionGoesBack,
    Fault::UnconfirmedCommitCountsAsDone,
    Fault::UnconfirmedCommitCountsAsFailed,
    Fault::SentCountsAsAcked,
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
    Fault::StopCountsSentAsAcked,
    Fault::ClosedContinues,
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
    /// Returns whether the fault is in the join itself, so that a run without disruptions has it too.
    pub(crate) fn is_in_join(self) -> bool {
        matches!(self, Self::ShortRetentionIgnored | Self::LinksShareIds)
    }
}

/// Changes repartition records on their way.
pub(crate) struct Tamper {
    /// By partition of the log.
    logs: Vec<PartitionHistory>,
    /// The partition to which an activity went first.
    first: BTreeMap<ActivityId, usize>,
}

/// The records so far of one partition of the log.
#[derive(Default)]
struct PartitionHistory {
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
            logs: (0..partitions).map(|_| PartitionHistory::default()).collect(),
            first: BTreeMap::new(),
        }
    }

    /// Returns what a partition of the log gets instead of these bytes; `None` for nothing.
    pub(crate) fn change(
        &mut self,
        partition: usize,
        fault: Option<Fault>,
        bytes: Vec<u8>,
        settings: &Settings,
    ) -> Option<Vec<u8>> {
        let Some(fault) = fault else { return Some(bytes) };
        let log = &mut self.logs[partition];
        let mut record = RepartitionRecord::decode(&bytes).unwrap();
        match &mut record {
            RepartitionRecord::Activity(activity) => log.change_activity(fault, activity),
            RepartitionRecord::Activities(activities) => {
                if fault == Fault::OnePartitionOfSeveral {
                    let first = &mut self.first;
                    activities.retain(|activity| *first.entry(activity.id).or_insert(partition) == partition);
                }
                activities
                    .iter_mut()
                    .for_each(|activity| log.change_activity(fault, activity));
            }
            RepartitionRecord::Alert(version) => {
                let is_remote = version.links.iter().all(|link| link.keys.is_empty());
                if fault == Fault::RemoteAlertsNotSent && is_remote {
                    return None;
                }
                log.change_alert(fault, version);
            }
            RepartitionRecord::WatermarkUpdate(update) => log.change_watermarks(fault, update, settings),
            RepartitionRecord::EndOfInput => {}
        }
        Some(record.encode(Vec::new()).unwrap())
    }
}

impl PartitionHistory {
    fn change_activity(&mut self, fault: Fault, activity: &mut Activity<'_>) {
        match fault {
            Fault::FreshDedupKey => {
                self.deliveries += 1;
                let mut id = [0; 32];
                id[..8].copy_from_slice(&self.deliveries.to_be_bytes());
                activity.id = ActivityId(id);
            }
            Fault::RowReserialised => {
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
            Fault::OlderVersionWins => reverse(&mut version.version.time_generated),
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

    fn change_watermarks(&mut self, fault: Fault, update: &mut WatermarkUpdate, settings: &Settings) {
        if fault == Fault::OnePartitionIsEnough {
            update.topics = vec![("cloudappevents".to_owned(), 1)];
        }
        for watermark in &mut update.sources {
            self.greatest = self.greatest.max(watermark.time);
            let move_by = |millis: i64| {
                watermark
                    .time
                    .map(|time| EventTime::from_ticks(time.ticks() + millis * 10_000))
            };
            match fault {
                Fault::NoOutOfOrderness => {
                    watermark.time = watermark
                        .time
                        .map(|time| EventTime::from_ticks(time.ticks() + ticks(settings.out_of_orderness)));
                }
                Fault::GreatestOverPartitions => watermark.time = self.greatest,
                Fault::WithoutActivityIsIdle => watermark.idle |= watermark.time.is_none(),
                Fault::NeverIdle => watermark.idle = false,
                Fault::WatermarksAhead => watermark.time = move_by(1_000),
                Fault::WatermarksBehind => watermark.time = move_by(-1_000),
                _ => {}
            }
        }
    }
}

fn reverse(time: &mut EventTime) {
    *time = EventTime::from_ticks(EventTime::LAST.ticks() - time.ticks());
}
