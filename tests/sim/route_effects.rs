//! The effects of a router: those of the program's own [`RouteTask`](alerttrail::route::RouteTask), performed one at a
//! time, so that anything can happen between any two. A planted fault performs an effect wrongly.

use std::sync::Arc;

use alerttrail::log::{LogRecord, WatermarkUpdate};
use alerttrail::route::{Arrival, Effect, Idleness, Outcome, RouteTask, Routed};
use alerttrail::time::{EventTime, WallTime};

use crate::Failure;
use crate::faults::Fault;
use crate::group::Told;
use crate::router::{Entry, Node, Reading, Said, Sent, meant};
use crate::routing::Routing;
use crate::world::{millis, ticks, ticks_of};

impl Routing<'_> {
    /// Performs the next effect of a router. `is_due` says whether it is time for what is not done in every turn.
    pub(crate) fn perform(&mut self, node: usize, is_due: bool) -> Result<(), Failure> {
        if self.nodes[node].stops {
            self.nodes[node].task.stop();
        }
        let effect = self.nodes[node].task.next();
        self.trace.say(self.now, || format!("router {node}: {effect:?}"));
        let mut outcome = Outcome::Done;
        match effect {
            Effect::Poll => outcome = self.poll(node)?,
            Effect::SendBundles => self.send_bundles(node),
            Effect::CheckAcks => self.check_acks(node),
            Effect::SendWatermarkUpdate if is_due => self.send_watermark_update(node)?,
            Effect::Commit if is_due => self.commit(node, self.fault == Some(Fault::CommittedOneMessageAhead))?,
            Effect::SendWatermarkUpdate | Effect::Commit => {}
            Effect::FindPositions => self.find_positions(node),
            Effect::Assign => self.assign(node),
            Effect::CommitSync if self.fault == Some(Fault::LastCommitSkipped) => {}
            Effect::CommitSync => self.commit(node, false)?,
            Effect::Forget => self.forget(node),
            Effect::Unassign => {
                self.check_owed(node)?;
                if self.fault != Some(Fault::UnassignedBeforeCommit) {
                    self.group.unassign(node);
                }
            }
            Effect::AwaitAcks => self.await_acks(node)?,
            Effect::Close => return self.close(node),
        }
        self.nodes[node].task.done(outcome);
        Ok(())
    }

    /// Reads some messages, unless the group reports a rebalance before.
    fn poll(&mut self, node: usize) -> Result<Outcome, Failure> {
        let sources = self.sources();
        self.group.settle(&sources, self.rng, self.hits);
        let told = self.group.poll(node);
        if told.is_none() || self.rng.percent(50) {
            self.read_some(node)?;
        }
        Ok(match told {
            None => Outcome::Done,
            Some(Told::Assigned) => {
                self.nodes[node].assigned = self.group.sources(node);
                Outcome::Assigned
            }
            Some(Told::Revoked) => {
                if self.nodes[node].in_flight().next().is_some() {
                    self.hits.hit("route: revoked with records in flight");
                }
                self.nodes[node].owe();
                if self.fault == Some(Fault::UnassignedBeforeCommit) {
                    self.group.unassign(node);
                }
                Outcome::Revoked
            }
        })
    }

    fn read_some(&mut self, node: usize) -> Result<(), Failure> {
        let owned: Vec<usize> = self.nodes[node].reading.keys().copied().collect();
        for source in owned {
            if self.lagging == Some(source) || self.rng.percent(30) {
                continue;
            }
            let most = self.nodes[node].reading[&source].position + 1 + self.rng.below(6);
            for offset in self.nodes[node].reading[&source].position..self.available(source).min(most) {
                self.read(node, source, offset)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, node: usize, source: usize, offset: usize) -> Result<(), Failure> {
        let world = self.world;
        let message = &world.messages[source][offset];
        let name = &self.settings.sources[source];
        let Node {
            tracker,
            router,
            progress,
            reading,
            bundles,
            skew,
            ..
        } = &mut self.nodes[node];
        let now = self.now + *skew;
        let next = i64::try_from(offset + 1).unwrap();
        let acks = tracker.read(name.topic, i32::try_from(name.partition).unwrap(), next);
        if self.fault == Some(Fault::MessageNotRouted) && offset % 8 == 7 {
            reading.get_mut(&source).unwrap().position = offset + 1;
            return Ok(());
        }
        let arrival = Arrival {
            now: WallTime(now),
            timestamp: message.timestamp.map(WallTime),
        };
        let mut made: Vec<Vec<Vec<u8>>> = bundles.iter().map(|_| Vec::new()).collect();
        let seen = router.route(message.value.as_ref().map(String::as_bytes), arrival, &mut |routed| {
            if let Routed::Record { partition, record } = routed {
                // As the processor sends them.
                let record = match record {
                    LogRecord::Activity(activity) => LogRecord::Activities(vec![activity]),
                    record => record,
                };
                made[partition as usize].push(record.encode(Vec::new()).unwrap());
            }
        });
        if let Some(read) = progress.read(name.topic, name.partition, next)
            && seen.activities > 0
        {
            read.activities(seen.latest, WallTime(now));
        }
        let ahead = reading.get_mut(&source).unwrap().read(world, offset, message, now);
        self.hits.add("activity: future, holds no window open", ahead);
        self.ever_read[source] = self.ever_read[source].max(offset + 1);
        self.trace.say(self.now, || {
            format!(
                "router {node} reads {}/{}@{offset}: records {:?}",
                name.topic, name.partition, message.records
            )
        });
        for (partition, (made, meant)) in made.into_iter().zip(meant(world, &message.records, now)).enumerate() {
            let count = made.len();
            Failure::unless(count == meant.len(), "complete", || {
                format!(
                    "message {source}@{offset} became {count} records of log partition {partition}, not {}",
                    meant.len()
                )
            })?;
            if count == 0 {
                self.arrived[partition].add(source, offset);
            }
            for (number, (bytes, entry)) in (1..).zip(made.into_iter().zip(meant)) {
                acks.add();
                self.nodes[node].bundles[partition].push(Sent {
                    bytes,
                    entry,
                    acks: Arc::clone(&acks),
                    completes: (number == count).then_some((source, offset)),
                });
            }
            // An alert, and a bundle that is full, are sent at once.
            if self.rng.percent(20) {
                self.send_bundle(node, partition);
            }
        }
        Ok(())
    }

    fn send_bundles(&mut self, node: usize) {
        for partition in 0..self.arrived.len() {
            self.send_bundle(node, partition);
        }
    }

    fn send_bundle(&mut self, node: usize, partition: usize) {
        let Node { bundles, queues, .. } = &mut self.nodes[node];
        let bundle = bundles[partition].drain(..);
        match self.fault {
            Some(Fault::BundlesNotSent) => bundle.for_each(|sent| sent.acks.remove()),
            _ => queues[partition].extend(bundle),
        }
    }

    fn check_acks(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if self.fault == Some(Fault::RouterCommitsAhead) {
            node.in_flight().for_each(|sent| sent.acks.clear());
        }
        node.tracker.close_group();
        node.tracker.remove_acknowledged();
    }

    /// Sends to all partitions of the log how far a router has read.
    fn send_watermark_update(&mut self, node: usize) -> Result<(), Failure> {
        let idleness = Idleness {
            timeout: self.settings.idle_timeout,
            out_of_orderness: self.settings.out_of_orderness,
        };
        let now = self.now + self.nodes[node].skew;
        let update = self.nodes[node].progress.source_watermarks(WallTime(now), idleness);
        if update.is_empty() {
            return Ok(());
        }
        let clock = now - millis(idleness.timeout);
        let mut said = Said {
            wall: now,
            clock: ticks_of(clock) - ticks(idleness.out_of_orderness),
            listed: self.sources(),
            sources: Vec::new(),
            read: Vec::new(),
        };
        for mark in &update {
            let source = self.source(&mark.topic, mark.partition);
            let truth = &self.nodes[node].reading[&source];
            let time = truth.latest.map(|latest| latest - ticks(idleness.out_of_orderness));
            Failure::unless(mark.time.map(EventTime::ticks) == time, "prompt", || {
                format!(
                    "router {node} says that source {source} stands at {:?}, not {time:?}",
                    mark.time
                )
            })?;
            self.check_idle(source, truth, mark.idle, now)?;
            said.sources.push((source, time, mark.idle));
            said.read.push((source, truth.position));
        }
        self.trace.say(self.now, || format!("router {node} update {said:?}"));
        let record = LogRecord::WatermarkUpdate(WatermarkUpdate {
            wall: WallTime(said.wall),
            clock: EventTime::from_ticks(said.clock),
            topics: self.settings.topics_at(self.now),
            sources: update,
            settings: [0; 32],
        });
        let bytes = record.encode(Vec::new()).unwrap();
        let Node { tracker, queues, .. } = &mut self.nodes[node];
        for queue in queues {
            let acks = tracker.acks();
            acks.add();
            let sent = Sent {
                bytes: bytes.clone(),
                entry: Entry::WatermarkUpdate(said.clone()),
                acks,
                completes: None,
            };
            match self.fault {
                Some(Fault::UpdateBeforeRecords) => queue.push_front(sent),
                _ => queue.push_back(sent),
            }
        }
        Ok(())
    }

    /// Checks what is said about idleness. A source is idle when no activity was read for the time-out and all that
    /// was there when it began has been read. It need not be called so before somebody has looked where it ends, and
    /// must be when all that is there now has been read.
    fn check_idle(&self, source: usize, truth: &Reading, idle: bool, now: i64) -> Result<(), Failure> {
        let timeout = millis(self.settings.idle_timeout);
        let silent = truth.active <= now - timeout;
        let at_that_time = self.world.messages[source].partition_point(|message| message.at <= self.now - timeout);
        Failure::unless(!idle || silent && truth.position >= at_that_time, "prompt", || {
            format!("source {source} is called idle, but is not")
        })?;
        let looked = truth.looked.is_some_and(|looked| looked >= self.now - timeout);
        let must = silent && looked && truth.position >= self.available(source);
        Failure::unless(idle || !must, "prompt", || {
            format!("source {source} is not called idle, but is")
        })
    }

    fn source(&self, topic: &str, partition: u32) -> usize {
        let mut sources = self.settings.sources.iter();
        sources
            .position(|source| source.topic == topic && source.partition == partition)
            .unwrap()
    }

    /// Commits what may be committed. Checks that everything that comes of the messages before it is in the log.
    fn commit(&mut self, node: usize, is_one_ahead: bool) -> Result<(), Failure> {
        for ((topic, partition), position) in self.nodes[node].tracker.take_changed() {
            let source = self.source(&topic, u32::try_from(partition).unwrap());
            let position = usize::try_from(position).unwrap() + usize::from(is_one_ahead);
            self.trace
                .say(self.now, || format!("router {node} commits {source}@{position}"));
            if !self.group.commit(node, source, position)? {
                self.hits.hit("route: a commit is refused");
                continue;
            }
            let is_all_there = self.arrived.iter().all(|log| log.is_all_before(source, position));
            Failure::unless(is_all_there, "complete", || {
                format!("router {node} commits {source}@{position} before everything is in the log")
            })?;
        }
        Ok(())
    }

    fn find_positions(&mut self, node: usize) {
        let sources = std::mem::take(&mut self.nodes[node].assigned).into_iter();
        let begin = |source| match self.fault {
            Some(Fault::RouterBeginsAtTheEnd) => self.available(source),
            _ => self.group.committed(source).unwrap_or(0),
        };
        let begins = sources.map(|source| (source, begin(source))).collect();
        self.nodes[node].begins = begins;
    }

    fn assign(&mut self, node: usize) {
        for (source, mut position) in std::mem::take(&mut self.nodes[node].begins) {
            if self.fault == Some(Fault::FirstMessageSkipped) && position < self.available(source) {
                position += 1;
            }
            if position < self.ever_read[source] {
                self.hits.hit("route: routed again");
            }
            let is_committed = self.group.committed(source) == Some(position);
            let Node {
                tracker,
                progress,
                reading,
                left,
                skew,
                ..
            } = &mut self.nodes[node];
            let now = self.now + *skew;
            let name = &self.settings.sources[source];
            let begin = i64::try_from(position).unwrap();
            if !is_committed {
                tracker.begin(name.topic, i32::try_from(name.partition).unwrap(), begin);
            }
            progress.assign(name.topic, name.partition, begin, WallTime(now));
            reading.insert(source, Reading::again(position, now, left.remove(&source)));
            self.trace.say(self.now, || {
                format!("router {node} reads {}/{} from {position}", name.topic, name.partition)
            });
        }
    }

    fn forget(&mut self, node: usize) {
        let is_skipped = self.fault == Some(Fault::ForgetSkipped);
        let Node {
            tracker,
            progress,
            reading,
            left,
            ..
        } = &mut self.nodes[node];
        for (source, read) in std::mem::take(reading) {
            left.insert(source, read);
            let name = &self.settings.sources[source];
            progress.revoke(name.topic, name.partition);
            if !is_skipped {
                tracker.forget(name.topic, i32::try_from(name.partition).unwrap());
            }
        }
    }

    /// Checks that what was acknowledged when a router began to give up its sources is committed before somebody else
    /// gets them, who would read it again.
    fn check_owed(&mut self, node: usize) -> Result<(), Failure> {
        for (source, position) in std::mem::take(&mut self.nodes[node].owes) {
            if self.group.is_expired(node) {
                continue;
            }
            let committed = self.group.committed(source);
            Failure::unless(committed >= Some(position), "bounded", || {
                format!("router {node} gives up {source} at {committed:?}, but everything before {position} is acknowledged")
            })?;
        }
        Ok(())
    }

    /// Waits for everything, or for some of it, because it takes too long.
    fn await_acks(&mut self, node: usize) -> Result<(), Failure> {
        if self.fault == Some(Fault::StopTakesSentForAcked) {
            self.nodes[node].in_flight().for_each(|sent| sent.acks.clear());
        }
        match self.rng.percent(70) {
            true => self.flush(node)?,
            false => self.flush_some(node)?,
        }
        self.nodes[node].owe();
        self.hits.hit(match self.nodes[node].in_flight().next().is_some() {
            true => "route: stops before everything is acknowledged",
            false => "route: stops with everything acknowledged",
        });
        self.check_acks(node);
        Ok(())
    }

    fn close(&mut self, node: usize) -> Result<(), Failure> {
        self.check_owed(node)?;
        // What the producer has may still arrive.
        self.flush_some(node)?;
        match self.fault {
            Some(Fault::ClosedGoesOn) => {
                self.nodes[node].task = RouteTask::default();
                self.nodes[node].stops = false;
                self.group.leave(node);
            }
            _ => self.end(node),
        }
        Ok(())
    }
}
