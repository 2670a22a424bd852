//! The group of routers, as its broker knows it: which source belongs to which router, and the committed positions.

use crate::Failure;
use crate::hits::Hits;
use crate::rng::Rng;

/// The group. Its assignment is eager: all members give up all sources before any member gets one.
pub(crate) struct Group {
    /// By router.
    members: Vec<Member>,
    /// By source: the router that reads it, or read it last, and the committed position.
    readers: Vec<Option<usize>>,
    committed: Vec<Option<usize>>,
}

struct Member {
    state: State,
    sources: Vec<usize>,
}

/// The state of a member, as the group sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is not a member.
    Gone,
    /// It waits for the others.
    Joining,
    /// It gets its sources with its next poll.
    Assigned,
    /// It reads.
    Reading,
    /// Its next poll reports that it must give up all sources.
    Revoking,
    /// Its session has expired, and others get its sources. Its next poll reports that.
    Expired,
}

/// A rebalance that a poll reports to a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rebalance {
    Assigned,
    Revoked,
}

impl Group {
    pub(crate) fn new(routers: usize, sources: usize) -> Self {
        let member = || Member {
            state: State::Joining,
            sources: Vec::new(),
        };
        Self {
            members: (0..routers).map(|_| member()).collect(),
            readers: vec![None; sources],
            committed: vec![None; sources],
        }
    }

    /// Returns whether a router is not a member.
    pub(crate) fn is_gone(&self, router: usize) -> bool {
        self.members[router].state == State::Gone
    }

    /// Returns the sources of a router.
    pub(crate) fn sources(&self, router: usize) -> Vec<usize> {
        self.members[router].sources.clone()
    }

    /// Returns the committed position of a source.
    pub(crate) fn committed(&self, source: usize) -> Option<usize> {
        self.committed[source]
    }

    /// Makes every member give up its sources.
    pub(crate) fn rebalance(&mut self) {
        for member in &mut self.members {
            if matches!(member.state, State::Assigned | State::Reading) {
                member.state = State::Revoking;
            }
        }
    }

    /// Assigns these sources if all members wait for that.
    pub(crate) fn settle(&mut self, sources: &[usize], rng: &mut Rng, hits: &mut Hits) {
        let waits = |member: &Member| matches!(member.state, State::Gone | State::Joining | State::Expired);
        let members = (0..self.members.len()).filter(|router| self.members[*router].state == State::Joining);
        let members: Vec<usize> = members.collect();
        if members.is_empty() || !self.members.iter().all(waits) {
            return;
        }
        for source in sources {
            let next = *rng.pick(&members);
            if self.readers[*source].replace(next).is_some_and(|before| before != next) {
                hits.hit("route: partition moves");
            }
            self.members[next].sources.push(*source);
        }
        members
            .iter()
            .for_each(|router| self.members[*router].state = State::Assigned);
    }

    /// Returns the rebalance that a poll reports to the router, if any.
    pub(crate) fn poll(&mut self, router: usize) -> Option<Rebalance> {
        let state = &mut self.members[router].state;
        match state {
            State::Assigned => {
                *state = State::Reading;
                Some(Rebalance::Assigned)
            }
            State::Revoking | State::Expired => Some(Rebalance::Revoked),
            State::Gone | State::Joining | State::Reading => None,
        }
    }

    /// Takes all sources from a router, which then waits for its next assignment.
    pub(crate) fn unassign(&mut self, router: usize) {
        self.members[router].sources.clear();
        match self.is_expired(router) {
            true => self.join(router),
            false => self.members[router].state = State::Joining,
        }
    }

    /// Lets the session of a router that reads expire.
    pub(crate) fn expire(&mut self, router: usize) {
        let member = &mut self.members[router];
        if matches!(member.state, State::Reading | State::Revoking) {
            member.sources.clear();
            member.state = State::Expired;
            self.rebalance();
        }
    }

    /// Returns whether the session of a router has expired.
    pub(crate) fn is_expired(&self, router: usize) -> bool {
        self.members[router].state == State::Expired
    }

    /// Gives a router its sources again, because it is back before its session expired.
    pub(crate) fn rejoin(&mut self, router: usize) {
        match self.members[router].state {
            State::Assigned | State::Reading => self.members[router].state = State::Assigned,
            State::Revoking | State::Expired => self.unassign(router),
            State::Joining | State::Gone => {}
        }
    }

    /// Removes a router. The others get its sources.
    pub(crate) fn leave(&mut self, router: usize) {
        self.unassign(router);
        self.members[router].state = State::Gone;
        self.rebalance();
    }

    /// Adds a router that is not a member.
    pub(crate) fn join(&mut self, router: usize) {
        self.members[router].state = State::Joining;
        self.rebalance();
    }

    /// Commits a position, unless the session of the router has expired. Returns whether it is committed. A real broker
    /// would accept it for any source, whichever router reads it.
    pub(crate) fn commit(&mut self, router: usize, source: usize, position: usize) -> Result<bool, Failure> {
        if self.is_expired(router) {
            return Ok(false);
        }
        Failure::unless(self.members[router].sources.contains(&source), "sound", || {
            format!("router {router} commits {position} for source {source}, which it does not have")
        })?;
        let before = self.committed[source].replace(position);
        Failure::unless(before <= Some(position), "bounded", || {
            format!("the committed position of source {source} goes back from {before:?} to {position}")
        })?;
        Ok(true)
    }
}
