//! The effects of a router: those of the program's own [`RouteTask`](alerttrail::route::RouteTask), performed one at a
//! time, so that anything can happen between any two. A planted fault performs an effect wrongly.

use std::sync::Arc;

use alerttrail::repartition::{RepartitionRecord, WatermarkUpdate};
use alerttrail::route::{Arrival, Effect, Idleness, Outcome, RouteTask, Routed};
use alerttrail::time::{EventTime, WallTime};

use crate::Failure;
use crate::faults::Fault;
use crate::group::Rebalance;
use crate::router::{Entry, Node, Reading, Sent, Update, expected_entries};
use crate::routing::Routing;
use crate::world::{millis, ticks, ticks_of};

impl Routing<'_> {
    /// Performs the next effect of a router. `is_due` is true if effects that are not performed in every turn are due.
    pub(crate) fn perform(&mut self, node: usize, is_due: bool) -> Result<(), Failure> {
        if self.nodes[node].stops {
            self.nodes[node].task.stop();
        }
        let effect = self.nodes[node].task.next();
        self.trace.event(self.now, || format!("router {node}: {effect:?}"));
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
                self.check_owed_commits(node)?;
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
        let rebalance = self.group.poll(node);
        if rebalance.is_none() || self.rng.percent(50) {
            self.read_some(node)?;
        }
        Ok(match rebalance {
            None => Outcome::Done,
            Some(Rebalance::Assigned) => {
                self.nodes[node].assigned = self.group.sources(node);
                Outcome::Assigned
            }
            Some(Rebalance::Revoked) => {
                if self.nodes[node].in_flight().next().is_some() {
                    self.hits.hit("route: revoked with pending records");
                }
                self.nodes[node].record_owed();
                if self.fault == Some(Fault::UnassignedBeforeCommit) {
                    self.group.unassign(node);
                }
                Outcome::Revoked
            }
        })
    }

    fn read_some(&mut self, node: usize) -> Result<(), Failure> {
        let assigned: Vec<usize> = self.nodes[node].reading.keys().copied().collect();
        for source in assigned {
            if self.lagging == Some(source) || self.rng.percent(30) {
                continue;
            }
            let end = self.nodes[node].reading[&source].position + 1 + self.rng.below(6);
            for offset in self.nodes[node].reading[&source].position..self.available(source).min(end) {
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
        let mut routed_records: Vec<Vec<Vec<u8>>> = bundles.iter().map(|_| Vec::new()).collect();
        let seen = router.route(message.value.as_ref().map(String::as_bytes), arrival, &mut |routed| {
            if let Routed::Record { partition, record } = routed {
                // As the processor sends them.
                let record = match record {
                    RepartitionRecord::Activity(activity) => RepartitionRecord::Activities(vec![activity]),
                    record => record,
                };
                routed_records[partition as usize].push(record.encode(Vec::new()).unwrap());
            }
        });
        if let Some(read) = progress.read(name.topic, name.partition, next)
            && seen.activities > 0
        {
            read.activities(seen.latest, WallTime(now));
        }
        let ahead = reading.get_mut(&source).unwrap().read(world, offset, message, now);
        self.hits.add("activity: future, does not move the watermark", ahead);
        self.ever_read[source] = self.ever_read[source].max(offset + 1);
        self.trace.event(self.now, || {
            format!(
                "router {node} reads {}/{}@{offset}: records {:?}",
                name.topic, name.partition, message.records
            )
        });
        for (partition, (routed_records, expected_entries)) in routed_records
            .into_iter()
            .zip(expected_entries(world, &message.records, now))
            .enumerate()
        {
            let count = routed_records.len();
            Failure::unless(count == expected_entries.len(), "complete", || {
                format!(
                    "message {source}@{offset} became {count} records of log partition {partition}, not {}",
                    expected_entries.len()
                )
            })?;
            if count == 0 {
                self.arrived[partition].add(source, offset);
            }
            for (number, (bytes, entry)) in (1..).zip(routed_records.into_iter().zip(expected_entries)) {
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

    /// Sends a watermark update to all partitions of the log.
    fn send_watermark_update(&mut self, node: usize) -> Result<(), Failure> {
        let idleness = Idleness {
            timeout: self.settings.idle_timeout,
            out_of_orderness: self.settings.out_of_orderness,
        };
        let now = self.now + self.nodes[node].skew;
        let watermarks = self.nodes[node].progress.source_watermarks(WallTime(now), idleness);
        if watermarks.is_empty() {
            return Ok(());
        }
        let clock = now - millis(idleness.timeout);
        let mut update = Update {
            wall: now,
            clock: ticks_of(clock) - ticks(idleness.out_of_orderness),
            listed: self.sources(),
            sources: Vec::new(),
            read: Vec::new(),
        };
        for watermark in &watermarks {
            let source = self.source(&watermark.topic, watermark.partition);
            let actual = &self.nodes[node].reading[&source];
            let time = actual.latest.map(|latest| latest - ticks(idleness.out_of_orderness));
            Failure::unless(watermark.time.map(EventTime::ticks) == time, "prompt", || {
                format!(
                    "router {node} reports the watermark {:?} of source {source}, not {time:?}",
                    watermark.time
                )
            })?;
            self.check_idle(source, actual, watermark.idle, now)?;
            update.sources.push((source, time, watermark.idle));
            update.read.push((source, actual.position));
        }
        self.trace.event(self.now, || format!("router {node} update {update:?}"));
        let record = RepartitionRecord::WatermarkUpdate(WatermarkUpdate {
            wall: WallTime(update.wall),
            clock: EventTime::from_ticks(update.clock),
            topics: self.settings.topics_at(self.now),
            sources: watermarks,
            settings: [0; 32],
        });
        let bytes = record.encode(Vec::new()).unwrap();
        let Node { tracker, queues, .. } = &mut self.nodes[node];
        for queue in queues {
            let acks = tracker.acks();
            acks.add();
            let sent = Sent {
                bytes: bytes.clone(),
                entry: Entry::WatermarkUpdate(update.clone()),
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

    /// Checks whether a source is reported as idle. A source is idle if no activity was read for the timeout, and
    /// everything that existed when the timeout began has been read. It need not be reported before its end was
    /// fetched. It must be reported once everything that exists now has been read.
    fn check_idle(&self, source: usize, actual: &Reading, idle: bool, now: i64) -> Result<(), Failure> {
        let timeout = millis(self.settings.idle_timeout);
        let is_inactive = actual.active <= now - timeout;
        let at_that_time = self.world.messages[source].partition_point(|message| message.at <= self.now - timeout);
        Failure::unless(!idle || is_inactive && actual.position >= at_that_time, "prompt", || {
            format!("source {source} is reported as idle, but is not")
        })?;
        let end_fetched = actual
            .end_fetched
            .is_some_and(|end_fetched| end_fetched >= self.now - timeout);
        let must_be_idle = is_inactive && end_fetched && actual.position >= self.available(source);
        Failure::unless(idle || !must_be_idle, "prompt", || {
            format!("source {source} is not reported as idle, but is")
        })
    }

    fn source(&self, topic: &str, partition: u32) -> usize {
        let mut sources = self.settings.sources.iter();
        sources
            .position(|source| source.topic == topic && source.partition == partition)
            .unwrap()
    }

    /// Commits the positions that may be committed. Checks that all records of the messages before them are in the log.
    fn commit(&mut self, node: usize, is_one_ahead: bool) -> Result<(), Failure> {
        for ((topic, partition), position) in self.nodes[node].tracker.take_changed() {
            let source = self.source(&topic, u32::try_from(partition).unwrap());
            let position = usize::try_from(position).unwrap() + usize::from(is_one_ahead);
            self.trace
                .event(self.now, || format!("router {node} commits {source}@{position}"));
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
            Some(Fault::RouterStartsAtTheEnd) => self.available(source),
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
            reading.insert(source, Reading::resumed(position, now, left.remove(&source)));
            self.trace.event(self.now, || {
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

    /// Checks that everything that was acknowledged when a router began to give up its sources is committed before
    /// another router gets them, because that one would read it again.
    fn check_owed_commits(&mut self, node: usize) -> Result<(), Failure> {
        for (source, position) in std::mem::take(&mut self.nodes[node].owed) {
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

    /// Waits until everything is acknowledged, or only some of it, because it takes too long.
    fn await_acks(&mut self, node: usize) -> Result<(), Failure> {
        if self.fault == Some(Fault::StopCountsSentAsAcked) {
            self.nodes[node].in_flight().for_each(|sent| sent.acks.clear());
        }
        match self.rng.percent(70) {
            true => self.flush(node)?,
            false => self.flush_some(node)?,
        }
        self.nodes[node].record_owed();
        self.hits.hit(match self.nodes[node].in_flight().next().is_some() {
            true => "route: stops before everything is acknowledged",
            false => "route: stops with everything acknowledged",
        });
        self.check_acks(node);
        Ok(())
    }

    fn close(&mut self, node: usize) -> Result<(), Failure> {
        self.check_owed_commits(node)?;
        // Records that the producer has may still arrive.
        self.flush_some(node)?;
        match self.fault {
            Some(Fault::ClosedContinues) => {
                self.nodes[node].task = RouteTask::default();
                self.nodes[node].stops = false;
                self.group.leave(node);
            }
            _ => self.end(node),
        }
        Ok(())
    }
}
