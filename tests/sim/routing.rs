//! ROUTE: routers read the sources, end, and pass sources to one another. The result is the log.

use alerttrail::repartition::RepartitionRecord;
use alerttrail::route::{Effect, Outcome};
use alerttrail::time::{EventTime, WallTime};

use crate::Failure;
use crate::faults::{Fault, Tamper};
use crate::group::Group;
use crate::hits::Hits;
use crate::rng::Rng;
use crate::router::{Arrived, Entry, Log, Node};
use crate::trace::Trace;
use crate::world::{Settings, World, millis, start, ticks, wall_of};

/// More steps than any world takes.
const MAX_STEPS: usize = 100_000;

/// Routes everything in `world`.
pub(crate) fn run(
    world: &World,
    fault: Option<Fault>,
    rng: &mut Rng,
    hits: &mut Hits,
    trace: &mut Trace,
) -> Result<Vec<Log>, Failure> {
    let mut routing = Routing::new(world, fault, rng, hits, trace);
    for _ in 0..MAX_STEPS {
        if routing.is_all_read() {
            routing.drain()?;
            return Ok(routing.logs);
        }
        routing.advance();
        for _ in 0..=routing.rng.below(16) {
            routing.act()?;
        }
    }
    Err(Failure::new("bounded", "the sources are never read to their ends".to_owned()))
}

pub(crate) struct Routing<'a> {
    pub(crate) world: &'a World,
    pub(crate) settings: &'a Settings,
    pub(crate) fault: Option<Fault>,
    pub(crate) now: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) group: Group,
    /// The greatest position up to which each source was ever read.
    pub(crate) ever_read: Vec<usize>,
    /// A source that is not read for now.
    pub(crate) lagging: Option<usize>,
    logs: Vec<Log>,
    /// By partition of the log.
    pub(crate) arrived: Vec<Arrived>,
    tamper: Tamper,
    pub(crate) rng: &'a mut Rng,
    pub(crate) hits: &'a mut Hits,
    pub(crate) trace: &'a mut Trace,
}

impl<'a> Routing<'a> {
    fn new(world: &'a World, fault: Option<Fault>, rng: &'a mut Rng, hits: &'a mut Hits, trace: &'a mut Trace) -> Self {
        let settings = &world.settings;
        let nodes = (0..settings.routers)
            .map(|number| {
                let skew = match rng.below(10) {
                    _ if number == 0 => 0,
                    0 => rng.between(-3_600_000, 3_600_000),
                    1 | 2 => rng.between(-8_000, 8_000),
                    _ => rng.between(-1_500, 1_500),
                };
                Node::new(settings, fault, skew)
            })
            .collect();
        let sources = settings.sources.len();
        let partitions = settings.partitions as usize;
        Self {
            world,
            settings,
            fault,
            now: start(),
            nodes,
            group: Group::new(settings.routers, sources),
            ever_read: vec![0; sources],
            lagging: rng.percent(25).then(|| rng.below(sources)),
            logs: (0..partitions).map(|_| Log::default()).collect(),
            arrived: (0..partitions).map(|_| Arrived::default()).collect(),
            tamper: Tamper::new(partitions),
            rng,
            hits,
            trace,
        }
    }

    /// Returns the sources that exist now.
    pub(crate) fn sources(&self) -> Vec<usize> {
        let sources = 0..self.settings.sources.len();
        sources
            .filter(|source| self.settings.sources[*source].since <= self.now)
            .collect()
    }

    fn is_all_read(&self) -> bool {
        let mut all = self.world.messages.iter().map(Vec::len).enumerate();
        all.all(|(source, count)| self.group.committed(source) == Some(count))
    }

    /// Moves the time forward: a little, or up to the next message.
    fn advance(&mut self) {
        let before = self.now;
        let next = self
            .world
            .messages
            .iter()
            .flatten()
            .map(|message| message.at)
            .filter(|at| *at > before);
        let later = self
            .settings
            .sources
            .iter()
            .map(|source| source.since)
            .filter(|since| *since > before);
        let next = next.chain(later).min();
        let existing = self.sources().len();
        self.now = match (self.rng.below(3), next) {
            (0, _) | (_, None) => before + self.rng.between(0, 900),
            (1, Some(next)) => next + self.rng.between(-1, 800),
            (_, Some(next)) => self.rng.between(before, next),
        }
        .max(before);
        if self.sources().len() > existing {
            self.hits.hit("watermark: partition added");
            self.group.rebalance();
        }
        if next.is_none() || self.rng.percent(2) {
            self.lagging = None;
        }
    }

    fn act(&mut self) -> Result<(), Failure> {
        let node = self.rng.below(self.nodes.len());
        let action = self.rng.below(1_000);
        if self.group.is_gone(node) {
            if action < 100 {
                self.group.join(node);
            }
            return Ok(());
        }
        match action {
            0..=799 => {
                let is_due = self.rng.percent(50);
                self.perform(node, is_due)
            }
            800..=839 => {
                self.fetch_ends(node);
                Ok(())
            }
            840..=964 => self.flush_some(node),
            965..=970 => self.crash(node),
            971..=976 => {
                self.group.rebalance();
                Ok(())
            }
            977..=979 => {
                self.group.expire(node);
                Ok(())
            }
            980..=983 => {
                self.nodes[node].stops = true;
                Ok(())
            }
            984..=987 => {
                self.fail(node);
                Ok(())
            }
            _ => self.all_turn(),
        }
    }

    /// Ends the run when everything is read: every partition becomes idle, and the clock moves far ahead.
    fn drain(&mut self) -> Result<(), Failure> {
        // Rebalances end, and routers that have left join again.
        for _ in 0..5 {
            for node in 0..self.nodes.len() {
                if self.group.is_gone(node) {
                    self.group.join(node);
                }
            }
            self.all_turn()?;
        }
        let idle = millis(self.settings.idle_timeout);
        for pause in [0, 700, idle / 2, idle + 10_000, 1_000] {
            self.now += pause;
            self.all_turn()?;
        }
        if self.settings.ends {
            for partition in 0..self.logs.len() {
                self.append(
                    partition,
                    RepartitionRecord::EndOfInput.encode(Vec::new()).unwrap(),
                    Entry::End,
                )?;
            }
            return Ok(());
        }
        let last = EventTime::LAST.ticks() + ticks(self.settings.furthest());
        // After every deadline too: if the clocks of routers are far apart, they never all report their sources as
        // idle.
        self.now = wall_of(last) + millis(self.settings.out_of_orderness + self.settings.max_wait) + idle + 86_400_000;
        self.all_turn()?;
        self.now += 2_000;
        self.all_turn()
    }

    /// Ends the turn of every router, and performs another one in which everything is due.
    fn all_turn(&mut self) -> Result<(), Failure> {
        for node in 0..self.nodes.len() {
            self.fetch_ends(node);
            self.end_turn(node)?;
            if !self.group.is_gone(node) {
                self.perform(node, true)?;
                self.end_turn(node)?;
            }
            if self.rng.percent(90) || self.is_all_read() {
                self.flush(node)?;
            }
        }
        Ok(())
    }

    fn end_turn(&mut self, node: usize) -> Result<(), Failure> {
        while self.nodes[node].task.next() != Effect::Poll {
            self.perform(node, true)?;
        }
        Ok(())
    }

    /// Returns the number of messages in a source.
    pub(crate) fn available(&self, source: usize) -> usize {
        self.world.messages[source].partition_point(|message| message.at <= self.now)
    }

    /// Fetches the ends of the sources.
    fn fetch_ends(&mut self, node: usize) {
        let sources: Vec<usize> = self.nodes[node].reading.keys().copied().collect();
        for source in sources {
            let end = i64::try_from(self.available(source)).unwrap();
            let Node {
                progress, reading, skew, ..
            } = &mut self.nodes[node];
            let name = &self.settings.sources[source];
            progress.ended_at(name.topic, name.partition, end, WallTime(self.now + *skew));
            reading.get_mut(&source).unwrap().end_fetched = Some(self.now);
        }
    }

    /// Appends some of the records that a router has sent, in each partition from the front.
    pub(crate) fn flush_some(&mut self, node: usize) -> Result<(), Failure> {
        for partition in 0..self.logs.len() {
            let count = self.rng.below(self.nodes[node].queues[partition].len() + 1);
            self.flush_first(node, partition, count)?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, node: usize) -> Result<(), Failure> {
        for partition in 0..self.logs.len() {
            self.flush_first(node, partition, usize::MAX)?;
        }
        Ok(())
    }

    fn flush_first(&mut self, node: usize, partition: usize, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let Some(sent) = self.nodes[node].queues[partition].pop_front() else {
                break;
            };
            if let Some((source, offset)) = sent.completes {
                self.arrived[partition].add(source, offset);
            }
            self.append(partition, sent.bytes, sent.entry)?;
            sent.acks.remove();
        }
        Ok(())
    }

    fn append(&mut self, partition: usize, bytes: Vec<u8>, entry: Entry) -> Result<(), Failure> {
        if self.rng.percent(1) {
            self.hits.hit("log: gap in the offsets");
            self.logs[partition].bytes.push(None);
            self.logs[partition].journal.push(Entry::Gap);
        }
        let offset = self.logs[partition].journal.len();
        self.trace.event(self.now, || match &entry {
            Entry::WatermarkUpdate(_) => format!("log {partition}@{offset}: update"),
            entry => format!("log {partition}@{offset}: {entry:?}"),
        });
        if let Entry::WatermarkUpdate(update) = &entry {
            for (source, position) in &update.read {
                let is_covered = self.arrived[partition].is_all_before(*source, *position);
                Failure::unless(is_covered, "prompt", || {
                    format!("log {partition}@{offset}: an update covers {source}@{position}, but the records are not there")
                })?;
            }
        }
        let bytes = self.tamper.change(partition, self.fault, bytes, self.settings);
        self.logs[partition].bytes.push(bytes);
        self.logs[partition].journal.push(entry);
        Ok(())
    }

    /// Kills a router between two effects: records that have not arrived are lost.
    fn crash(&mut self, node: usize) -> Result<(), Failure> {
        self.flush_some(node)?;
        if self.nodes[node].in_flight().next().is_some() {
            self.hits.hit("route: crash loses pending records");
        }
        let effect = self.nodes[node].task.next();
        self.hits.hit(match effect {
            Effect::FindPositions | Effect::Assign => "route: crash while it takes partitions over",
            Effect::Forget | Effect::Unassign => "route: crash while it gives partitions up",
            Effect::AwaitAcks | Effect::Close => "route: crash while it ends",
            _ => "route: crash in a turn",
        });
        self.trace
            .event(self.now, || format!("router {node} crashes before {effect:?}"));
        self.end(node);
        Ok(())
    }

    /// Lets the next effect of a router fail. What is acknowledged must still be committed, unless the effect that
    /// fails has that purpose.
    fn fail(&mut self, node: usize) {
        self.hits.hit("route: an effect fails");
        let node = &mut self.nodes[node];
        match node.task.next() {
            Effect::CheckAcks | Effect::AwaitAcks | Effect::CommitSync | Effect::Close => node.owed.clear(),
            _ => node.record_owed(),
        }
        node.task.done(Outcome::Failed);
    }

    /// Replaces a router that has ended. The new one, or others, get its sources.
    pub(crate) fn end(&mut self, node: usize) {
        let skew = self.nodes[node].skew;
        self.nodes[node] = Node::new(self.settings, self.fault, skew);
        match self.rng.percent(50) {
            true => self.group.rejoin(node),
            false => self.group.leave(node),
        }
    }
}
