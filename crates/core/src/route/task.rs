//! The order of effects: what ROUTE does after what. Pure.
//!
//! [`RouteTask::next`] returns the effect to perform, and [`RouteTask::done`] takes its outcome. Whoever performs the
//! effects decides nothing about their order: the program performs them on Kafka, the simulation on a group and a log
//! in memory, and ends a router between any two effects.
//!
//! [`TURN`] repeats. A rebalance is a message that [`Effect::Poll`] receives: [`ASSIGNED`] or [`REVOKED`] comes next,
//! then the rest of the turn. [`STOPPED`] or [`FAILED`] comes last.
//!
//! The rules that the order keeps:
//!
//! * A position is committed only after everything that was sent for the messages before it is acknowledged. What is
//!   acknowledged is determined before each commit, by [`Effect::CheckAcks`] or [`Effect::AwaitAcks`].
//! * A watermark update is sent after the records of the messages that it covers. One producer sends both, and keeps
//!   the order.
//! * What is acknowledged is committed before partitions are given up. Nothing of them is committed afterwards, because
//!   they are forgotten before the group can assign them to another router.
//! * Reading begins at the committed position, which is fetched after the previous router gave the partition up.

/// Something that ROUTE does outside of its memory, or a step on which the next commit depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Poll messages until a turn is full, none is left, or the group reports a rebalance. Route each message and track
    /// its offset; a message of a partition that is not read here, or is about to be given up, is dropped. Outcome:
    /// [`Outcome::Done`], [`Outcome::Assigned`] or [`Outcome::Revoked`].
    Poll,
    /// Send the activities that were bundled. Outcome: [`Outcome::Done`].
    SendBundles,
    /// End the group of messages that were read, and determine which groups are acknowledged. Outcome:
    /// [`Outcome::Done`].
    CheckAcks,
    /// Send a watermark update if one is due. Outcome: [`Outcome::Done`].
    SendWatermarkUpdate,
    /// Commit the positions that may be committed, if a commit is due, without waiting for the response. Outcome:
    /// [`Outcome::Done`].
    Commit,
    /// Determine where reading of the assigned partitions begins. Outcome: [`Outcome::Done`].
    FindPositions,
    /// Begin to read the assigned partitions at these positions. Outcome: [`Outcome::Done`].
    Assign,
    /// Commit the positions that may be committed, and wait for the response. Outcome: [`Outcome::Done`].
    CommitSync,
    /// Forget the revoked partitions: no commit and no watermark update contains them any more. Outcome:
    /// [`Outcome::Done`].
    Forget,
    /// Give up the revoked partitions, so that the group can assign them. Outcome: [`Outcome::Done`].
    Unassign,
    /// Wait until everything sent is acknowledged, or until it takes too long. Outcome: [`Outcome::Done`].
    AwaitAcks,
    /// Close the consumer, which gives up its partitions. It is the last effect.
    Close,
}

/// The effects of a turn.
pub const TURN: [Effect; 5] = [
    Effect::Poll,
    Effect::SendBundles,
    Effect::CheckAcks,
    Effect::SendWatermarkUpdate,
    Effect::Commit,
];

/// The effects that take partitions over.
pub const ASSIGNED: [Effect; 2] = [Effect::FindPositions, Effect::Assign];

/// The effects that give partitions up. Nothing waits for acknowledgements, because the other routers wait for this
/// one. The next router routes again what is not acknowledged.
pub const REVOKED: [Effect; 4] = [Effect::CheckAcks, Effect::CommitSync, Effect::Forget, Effect::Unassign];

/// The effects of a stop. It begins after a turn, so everything that was bundled has been sent.
pub const STOPPED: [Effect; 3] = [Effect::AwaitAcks, Effect::CommitSync, Effect::Close];

/// The effects after a failure, from which the router does not recover. It sends nothing more.
pub const FAILED: [Effect; 3] = [Effect::CheckAcks, Effect::CommitSync, Effect::Close];

/// What came of an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was performed.
    Done,
    /// The group has assigned partitions to this router.
    Assigned,
    /// The group has revoked all partitions of this router.
    Revoked,
    /// It failed.
    Failed,
}

/// The order of effects of one router.
#[derive(Debug)]
pub struct RouteTask {
    /// The effects to perform. Empty at the end.
    effects: &'static [Effect],
    /// The effects that come after them. Empty if the router ends with them.
    then: &'static [Effect],
}

impl Default for RouteTask {
    fn default() -> Self {
        Self {
            effects: &TURN,
            then: &TURN,
        }
    }
}

impl RouteTask {
    /// Returns the effect to perform next.
    pub fn next(&self) -> Effect {
        self.effects.first().copied().unwrap_or(Effect::Close)
    }

    /// Takes the outcome of the effect that was to be performed next. At the end of a router, an effect that fails is
    /// skipped.
    pub fn done(&mut self, outcome: Outcome) {
        let rest = self.effects.get(1..).unwrap_or_default();
        let next: (&[Effect], &[Effect]) = match outcome {
            Outcome::Assigned => (&ASSIGNED, rest),
            Outcome::Revoked => (&REVOKED, rest),
            Outcome::Failed if !self.then.is_empty() => (&FAILED, &[]),
            Outcome::Done | Outcome::Failed if !rest.is_empty() || self.then.is_empty() => (rest, self.then),
            Outcome::Done | Outcome::Failed => (self.then, &TURN),
        };
        (self.effects, self.then) = next;
    }

    /// Makes the router stop if it is between two turns. Otherwise does nothing: partitions that it takes over or gives
    /// up, and messages that it routes, are finished first.
    pub fn stop(&mut self) {
        if self.next() == Effect::Poll {
            (self.effects, self.then) = (&STOPPED, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Performs effects up to the next [`Effect::Poll`] or [`Effect::Close`], and returns them. The first one has this
    /// outcome.
    fn run(task: &mut RouteTask, outcome: Outcome) -> Vec<Effect> {
        let mut effects = vec![task.next()];
        task.done(outcome);
        while !matches!(task.next(), Effect::Poll | Effect::Close) {
            effects.push(task.next());
            task.done(Outcome::Done);
        }
        effects
    }

    #[test]
    fn turns_repeat_until_a_stop() {
        let mut task = RouteTask::default();
        for _ in 0..2 {
            assert_eq!(run(&mut task, Outcome::Done), TURN);
        }
        task.stop();
        assert_eq!(run(&mut task, Outcome::Done), STOPPED[..2]);
        task.stop();
        task.done(Outcome::Done);
        assert_eq!(task.next(), Effect::Close, "nothing comes after it");
    }

    #[test]
    fn a_rebalance_comes_between_a_poll_and_the_rest_of_its_turn() {
        for (outcome, table) in [(Outcome::Assigned, &ASSIGNED[..]), (Outcome::Revoked, &REVOKED[..])] {
            let mut task = RouteTask::default();
            let effects = run(&mut task, outcome);
            assert_eq!(effects, [&TURN[..1], table, &TURN[1..]].concat());
            assert_eq!(run(&mut task, Outcome::Done), TURN);
        }
    }

    #[test]
    fn a_stop_interrupts_nothing() {
        let mut task = RouteTask::default();
        task.done(Outcome::Revoked);
        while task.next() != Effect::Poll {
            let next = task.next();
            task.stop();
            assert_eq!(task.next(), next);
            task.done(Outcome::Done);
        }
        task.stop();
        assert_eq!(task.next(), Effect::AwaitAcks);
    }

    #[test]
    fn a_failure_ends_the_router_after_any_effect() {
        for effects in 0..TURN.len() + REVOKED.len() {
            let mut task = RouteTask::default();
            if effects > 0 {
                task.done(Outcome::Revoked);
            }
            (1..effects).for_each(|_| task.done(Outcome::Done));
            task.done(Outcome::Failed);
            assert_eq!(
                run(&mut task, Outcome::Failed),
                FAILED[..2],
                "the failure of a commit is skipped"
            );
        }
        let mut task = RouteTask::default();
        task.stop();
        assert_eq!(run(&mut task, Outcome::Failed), STOPPED[..2]);
    }

    #[test]
    fn every_commit_comes_after_acknowledgements_are_checked() {
        for table in [&TURN[..], &REVOKED, &STOPPED, &FAILED] {
            let of = |effects: &[Effect]| table.iter().position(|effect| effects.contains(effect));
            let commit = of(&[Effect::Commit, Effect::CommitSync]);
            assert!(of(&[Effect::CheckAcks, Effect::AwaitAcks]) < commit, "{table:?}");
        }
    }
}
