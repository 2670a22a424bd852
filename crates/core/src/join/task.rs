//! The order of effects: what JOIN does after what with one partition, from taking it over to giving it up. Pure.
//!
//! [`JoinTask::next`] returns the effect to perform, and [`JoinTask::done`] takes its outcome. Whoever performs the
//! effects decides nothing about their order: the program performs them on Kafka and RocksDB, the simulation on a
//! broker and a disk in memory that fail at every point between two effects.
//!
//! Each delivery guarantee is a table of effects, [`AT_LEAST_ONCE`] and [`EXACTLY_ONCE`]. The first ones take the
//! partition over; the others, from [`Effect::Apply`] on, repeat with each batch. Effects that a batch does not need
//! are skipped.
//!
//! The rules that the order keeps:
//!
//! * The state is never written before the outputs of its repartition records are delivered, so no output is lost. It
//!   may be behind; then the same outputs are produced again, with the same ids.
//! * The committed position is never ahead of the delivered outputs, and never goes back. Outputs before it were sent,
//!   by whatever owner, and are suppressed.
//! * With exactly-once delivery, outputs and position are committed in one transaction, and the position is fetched
//!   only after the previous owner was fenced: it can commit nothing afterwards (KIP-447).

use super::Position;

/// The delivery guarantee.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delivery {
    /// A record may be sent twice after a crash, with the same id.
    #[default]
    AtLeastOnce,
    /// Each record is committed once, with Kafka transactions.
    ExactlyOnce,
}

/// Something that JOIN does outside of its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Take over the transactional id of the partition, which fences the previous owner. Outcome: [`Outcome::Done`].
    Fence,
    /// Open the stored state. Outcome: [`Outcome::Opened`].
    Open,
    /// Fetch the position that the group has committed and, with at-least-once delivery, the one noted on the disk.
    /// Outcome: [`Outcome::Positions`].
    FetchPosition,
    /// Apply repartition records in memory. Outcome: [`Outcome::Applied`].
    Apply,
    /// Send the outputs of the batch that are not [suppressed](JoinTask::suppresses), and wait until all are
    /// acknowledged. Outcome: [`Outcome::Sent`].
    Send,
    /// Add the position to the transaction. Outcome: [`Outcome::Done`].
    AddOffsets,
    /// Commit the transaction. Outcome: [`Outcome::Done`].
    CommitTransaction,
    /// Note the position on the disk, where it survives the process. Outcome: [`Outcome::Done`].
    NotePosition,
    /// Write the changes of the batch to the state, in one step. Outcome: [`Outcome::Done`].
    Write,
    /// Hand the position to the group, which may commit it at once or later. Outcome: [`Outcome::Done`].
    CommitPosition,
    /// Drop the state in memory, which may be ahead of the stored state. It is the last effect.
    Close,
}

/// The effects of at-least-once delivery. The position only saves sending outputs again, so it may be committed later.
pub const AT_LEAST_ONCE: [Effect; 7] = [
    Effect::Open,
    Effect::FetchPosition,
    // each batch
    Effect::Apply,
    Effect::Send,
    Effect::NotePosition,
    Effect::Write,
    Effect::CommitPosition,
];

/// The effects of exactly-once delivery. Outputs become visible with the position, in one transaction.
pub const EXACTLY_ONCE: [Effect; 8] = [
    Effect::Fence,
    Effect::Open,
    Effect::FetchPosition,
    // each batch
    Effect::Apply,
    Effect::Send,
    Effect::AddOffsets,
    Effect::CommitTransaction,
    Effect::Write,
];

/// What came of an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was performed.
    Done,
    /// The state was opened, with the output produced up to here.
    Opened(Position),
    /// The position that the group has committed and, with at-least-once delivery, the one noted on the disk, which may
    /// be ahead.
    Positions {
        /// Of the group.
        committed: Position,
        /// Of the disk.
        noted: Position,
    },
    /// Repartition records were applied.
    Applied {
        /// How far the output has been produced with them.
        position: Position,
        /// Whether the batch has outputs.
        has_outputs: bool,
    },
    /// The outputs are acknowledged.
    Sent {
        /// Whether any output was sent: it was neither suppressed nor left out by the format.
        any: bool,
    },
    /// The effect cannot be completed, because the partition has another owner, or the process stops.
    Abandoned,
}

/// The order of effects for one partition.
#[derive(Debug)]
pub struct JoinTask {
    effects: &'static [Effect],
    next: Effect,
    /// How far the output has been produced.
    position: Position,
    /// Outputs before this position have been sent, by whatever owner.
    emitted: Position,
    /// The position that the group has committed, as far as this owner knows.
    committed: Position,
    /// Whether the batch has outputs, and whether some of them were sent.
    has_outputs: bool,
    has_sent: bool,
    /// Whether applied changes have not been written.
    has_changes: bool,
    /// Whether the position is to be committed although no output was sent.
    is_commit_requested: bool,
}

impl JoinTask {
    /// Returns the task of a partition that is to be taken over.
    pub fn new(delivery: Delivery) -> Self {
        let effects: &[Effect] = match delivery {
            Delivery::AtLeastOnce => &AT_LEAST_ONCE,
            Delivery::ExactlyOnce => &EXACTLY_ONCE,
        };
        Self {
            effects,
            next: effects[0],
            position: Position::default(),
            emitted: Position::default(),
            committed: Position::default(),
            has_outputs: false,
            has_sent: false,
            has_changes: false,
            is_commit_requested: false,
        }
    }

    /// Returns the effect to perform next.
    pub fn next(&self) -> Effect {
        self.next
    }

    /// Takes the outcome of the effect that was to be performed next.
    pub fn done(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Opened(position) => self.position = position,
            Outcome::Positions { committed, noted } => {
                self.committed = committed;
                self.emitted = committed.max(noted);
            }
            Outcome::Applied { position, has_outputs } => {
                (self.position, self.has_outputs) = (position, has_outputs);
                (self.has_sent, self.has_changes) = (false, true);
            }
            Outcome::Sent { any } => self.has_sent = any,
            Outcome::Abandoned => {
                self.next = Effect::Close;
                return;
            }
        }
        match self.next {
            Effect::CommitTransaction | Effect::CommitPosition => {
                self.committed = self.position;
                self.is_commit_requested = false;
            }
            Effect::Write => self.has_changes = false,
            _ => {}
        }
        self.next = self.after(self.next);
    }

    /// Returns the first effect after this one that the batch needs.
    fn after(&self, effect: Effect) -> Effect {
        let following = self.effects.iter().skip_while(|other| **other != effect).skip(1);
        following.copied().find(|effect| self.needs(*effect)).unwrap_or(Effect::Apply)
    }

    fn needs(&self, effect: Effect) -> bool {
        match effect {
            Effect::Send => self.has_outputs,
            Effect::NotePosition => self.has_sent && self.position > self.emitted,
            // During a replay the position is behind the committed one, which must never go back.
            Effect::AddOffsets | Effect::CommitTransaction => {
                (self.has_sent || self.is_commit_requested) && self.position > self.committed
            }
            Effect::CommitPosition => self.position > self.committed,
            Effect::Write => self.has_changes,
            Effect::Fence | Effect::Open | Effect::FetchPosition | Effect::Apply | Effect::Close => true,
        }
    }

    /// Returns whether the output at `place` was sent before, so that it is produced again but not sent.
    pub fn suppresses(&self, place: Position) -> bool {
        place < self.emitted
    }

    /// Returns how far the output has been produced.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the position before which outputs are suppressed.
    pub fn emitted(&self) -> Position {
        self.emitted
    }

    /// Requests that the position be committed although no output is sent. Between two batches, the commit comes next.
    /// Does nothing with at-least-once delivery, where each batch commits the position.
    pub fn request_commit(&mut self) {
        if self.effects.contains(&Effect::AddOffsets) {
            self.is_commit_requested = true;
            if self.next == Effect::Apply && self.needs(Effect::AddOffsets) {
                self.next = Effect::AddOffsets;
            }
        }
    }

    /// Makes the task fetch the position again: the group has assigned the partition to the same owner once more.
    pub fn reassigned(&mut self) {
        if self.next == Effect::Apply {
            self.next = Effect::FetchPosition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { offset: 5, outputs: 0 };

    /// Performs every effect up to the next [`Effect::Apply`], with a batch of these outputs, and returns them.
    fn run(task: &mut JoinTask, position: Position, has_outputs: bool, any: bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let effect = task.next();
            effects.push(effect);
            task.done(match effect {
                Effect::Open => Outcome::Opened(Position::default()),
                Effect::FetchPosition => Outcome::Positions {
                    committed: Position::default(),
                    noted: Position::default(),
                },
                Effect::Apply => Outcome::Applied { position, has_outputs },
                Effect::Send => Outcome::Sent { any },
                _ => Outcome::Done,
            });
            if task.next() == Effect::Apply && effect != Effect::FetchPosition {
                return effects;
            }
        }
    }

    #[test]
    fn a_batch_with_outputs_performs_the_whole_table() {
        assert_eq!(run(&mut JoinTask::new(Delivery::AtLeastOnce), AT, true, true), AT_LEAST_ONCE);
        assert_eq!(run(&mut JoinTask::new(Delivery::ExactlyOnce), AT, true, true), EXACTLY_ONCE);
    }

    #[test]
    fn a_batch_without_outputs_writes_and_commits_only_on_request() {
        for any_suppressed in [false, true] {
            let mut task = JoinTask::new(Delivery::ExactlyOnce);
            let effects = run(&mut task, AT, any_suppressed, false);
            assert_eq!(effects.last(), Some(&Effect::Write));
            assert!(!effects.contains(&Effect::CommitTransaction), "{effects:?}");
            task.request_commit();
            assert_eq!(
                run(&mut task, AT, false, false),
                [Effect::AddOffsets, Effect::CommitTransaction]
            );
            task.request_commit();
            assert_eq!(task.next(), Effect::Apply, "the position is committed already");
        }
        let effects = run(&mut JoinTask::new(Delivery::AtLeastOnce), AT, false, false);
        assert_eq!(effects[2..], [Effect::Apply, Effect::Write, Effect::CommitPosition]);
    }

    #[test]
    fn a_replay_neither_notes_nor_commits_a_position_that_is_behind() {
        for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
            let mut task = JoinTask::new(delivery);
            while task.next() != Effect::Apply {
                task.done(match task.next() {
                    Effect::FetchPosition => Outcome::Positions {
                        committed: AT,
                        noted: Position::default(),
                    },
                    _ => Outcome::Done,
                });
            }
            assert!(task.suppresses(Position { offset: 4, outputs: 7 }) && !task.suppresses(AT));
            assert_eq!(run(&mut task, AT, true, true), [Effect::Apply, Effect::Send, Effect::Write]);
        }
    }

    #[test]
    fn an_abandoned_effect_closes_the_partition() {
        let mut task = JoinTask::new(Delivery::AtLeastOnce);
        task.done(Outcome::Opened(AT));
        task.done(Outcome::Abandoned);
        assert_eq!(task.next(), Effect::Close);
        task.request_commit();
        task.reassigned();
        assert_eq!(task.next(), Effect::Close);
    }

    #[test]
    fn a_partition_that_is_assigned_again_fetches_its_position() {
        let mut task = JoinTask::new(Delivery::ExactlyOnce);
        run(&mut task, AT, true, true);
        task.reassigned();
        assert_eq!(task.next(), Effect::FetchPosition);
    }
}
