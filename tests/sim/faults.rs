//! Faults that the simulation must find: a simulation that finds nothing may as well look at nothing. None of them touches the program:
//! they change the log on its way from ROUTE to JOIN, the tables under JOIN, or the driver.

use std::borrow::Cow;

use alerttrail::log::LogRecord;
use alerttrail::record::ActivityId;
use alerttrail::store::{Base, Batch, Direction, Error, Memory, Pairs, Span, Table, keys};
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
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 30] = [
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
            LogRecord::Activity(activity) if fault == Fault::FreshIdentity => {
                self.deliveries += 1;
                let mut id = [0; 32];
                id[..8].copy_from_slice(&self.deliveries.to_be_bytes());
                activity.id = ActivityId(id);
            }
            LogRecord::Activity(activity) if fault == Fault::RowPrintedAnew => {
                let row: serde_json::Value = serde_json::from_slice(&activity.row).unwrap();
                activity.row = Cow::Owned(serde_json::to_vec(&row).unwrap());
            }
            LogRecord::Activity(_) => {}
            LogRecord::Alert { alert, deadline } => match fault {
                Fault::StartInclusive => alert.window.from = EventTime::from_ticks(alert.window.from.ticks() - 1),
                Fault::EndInclusive => alert.window.to = alert.window.to.next_tick(),
                Fault::TiesByArrival => alert.version.hash = [0; 32],
                Fault::OlderVersionWins => turn(&mut alert.version.time_generated),
                Fault::DeadlineLost => *deadline = WallTime(i64::MAX),
                Fault::DeadlineEarly => *deadline = WallTime(deadline.0 - 1_000),
                _ => {}
            },
            LogRecord::AlertElsewhere { version, .. } => match fault {
                Fault::NobodyHearsElsewhere => return None,
                Fault::TiesByArrival => version.hash = [0; 32],
                Fault::OlderVersionWins => turn(&mut version.time_generated),
                _ => {}
            },
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

fn turn(time: &mut EventTime) {
    *time = EventTime::from_ticks(EventTime::LAST.ticks() - time.ticks());
}

/// Tables that may forget to change.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) memory: Memory,
    pub(crate) fault: Option<Fault>,
}

impl Base for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        self.memory.scan(table, span, direction)
    }

    fn write(&mut self, mut batch: Batch) -> Result<(), Error> {
        let stays = match self.fault {
            Some(Fault::TimersStay) => Some(Table::Timers),
            Some(Fault::AnsweredStay) => Some(Table::Answered),
            Some(Fault::AlertRowsStay) => Some(Table::AlertRows),
            _ => None,
        };
        for (table, changes) in Table::ALL.into_iter().zip(&mut batch.changes) {
            changes.retain(|_, value| value.is_some() || Some(table) != stays);
            if table == Table::Meta {
                changes.retain(|key, _| match self.fault {
                    Some(Fault::ProgressLost) => key != keys::PROGRESS,
                    Some(Fault::WorkLost) => key != keys::WORK,
                    Some(Fault::DaysLost) => key.first() != Some(&b'd'),
                    _ => true,
                });
            }
        }
        if self.fault == Some(Fault::SpansStay) {
            batch.removed.clear();
        }
        self.memory.write(batch)
    }
}
