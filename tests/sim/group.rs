//! The group of routers, as its broker knows it: which source belongs to which router, and the committed positions.

use crate::Failure;
use crate::hits::Hits;
use crate::rng::Rng;

/// The group. Its assignment is eager: everybody gives up everything before anybody gets anything.
pub(crate) struct Group {
    /// By router.
    members: Vec<Member>,
    /// By source: the router that reads it, or read it last, and the committed position.
    owners: Vec<Option<usize>>,
    committed: Vec<Option<usize>>,
}

struct Member {
    state: State,
    sources: Vec<usize>,
}

/// What the group expects of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing: it is no member.
    Gone,
    /// It waits for the others.
    Joining,
    /// It learns with its next poll what it reads.
    Assigned,
    /// It reads.
    Reading,
    /// It learns with its next poll that it must give everything up.
    Revoking,
    /// It was taken for dead, and others get what it had. It learns that with its next poll.
    Expired,
}

/// What a member learns from a poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
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
            owners: vec![None; sources],
            committed: vec![None; sources],
        }
    }

    /// Returns whether a router is no member.
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

    /// Makes every member give up what it has.
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
            if self.owners[*source].replace(next).is_some_and(|before| before != next) {
                hits.hit("route: partition moves");
            }
            self.members[next].sources.push(*source);
        }
        members
            .iter()
            .for_each(|router| self.members[*router].state = State::Assigned);
    }

    /// Returns what the router learns from a poll, if anything.
    pub(crate) fn poll(&mut self, router: usize) -> Option<Told> {
        let state = &mut self.members[router].state;
        match state {
            State::Assigned => {
                *state = State::Reading;
                Some(Told::Assigned)
            }
            State::Revoking | State::Expired => Some(Told::Revoked),
            State::Gone | State::Joining | State::Reading => None,
        }
    }

    /// Takes everything from a router, which waits for what it gets next.
    pub(crate) fn unassign(&mut self, router: usize) {
        self.members[router].sources.clear();
        match self.is_expired(router) {
            true => self.join(router),
            false => self.members[router].state = State::Joining,
        }
    }

    /// Takes a router that reads for dead.
    pub(crate) fn expire(&mut self, router: usize) {
        let member = &mut self.members[router];
        if matches!(member.state, State::Reading | State::Revoking) {
            member.sources.clear();
            member.state = State::Expired;
            self.rebalance();
        }
    }

    /// Returns whether a router is taken for dead.
    pub(crate) fn is_expired(&self, router: usize) -> bool {
        self.members[router].state == State::Expired
    }

    /// Gives a router what it had, because it is back before anybody missed it.
    pub(crate) fn come_back(&mut self, router: usize) {
        match self.members[router].state {
            State::Assigned | State::Reading => self.members[router].state = State::Assigned,
            State::Revoking | State::Expired => self.unassign(router),
            State::Joining | State::Gone => {}
        }
    }

    /// Removes a router. The others get what it had.
    pub(crate) fn leave(&mut self, router: usize) {
        self.unassign(router);
        self.members[router].state = State::Gone;
        self.rebalance();
    }

    /// Adds a router that is no member.
    pub(crate) fn join(&mut self, router: usize) {
        self.members[router].state = State::Joining;
        self.rebalance();
    }

    /// Commits a position, unless the router is taken for dead. Returns whether it is committed. A broker would accept
    /// it for any source, whoever reads that.
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
