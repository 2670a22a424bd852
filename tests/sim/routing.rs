//! ROUTE: routers read the sources, crash, and pass sources to one another; what comes of it is the log.

use alerttrail::log::{LogRecord, WatermarkUpdate};
use alerttrail::route::{Arrival, Idleness, Routed};
use alerttrail::time::{EventTime, WallTime};

use crate::Failure;
use crate::faults::{Fault, Tamper};
use crate::hits::Hits;
use crate::rng::Rng;
use crate::router::{Entry, Log, Node, Reading, Said, meant};
use crate::trace::Trace;
use crate::world::{Settings, World, millis, start, ticks, ticks_of, wall_of};

/// Routes everything in `world`.
pub(crate) fn run(
    world: &World,
    fault: Option<Fault>,
    rng: &mut Rng,
    hits: &mut Hits,
    trace: &mut Trace,
) -> Result<Vec<Log>, Failure> {
    let mut routing = Routing::new(world, fault, rng, hits, trace);
    while !routing.is_all_read() {
        routing.advance();
        for _ in 0..=routing.rng.below(4) {
            routing.act()?;
        }
    }
    routing.come_to_rest()?;
    Ok(routing.logs)
}

struct Routing<'a> {
    world: &'a World,
    settings: &'a Settings,
    fault: Option<Fault>,
    now: i64,
    nodes: Vec<Node>,
    /// By source: which node reads it, and from where it would be read after a crash.
    owners: Vec<usize>,
    committed: Vec<usize>,
    /// Up to where each source was ever read.
    ever_read: Vec<usize>,
    /// A source that is not read for now.
    lagging: Option<usize>,
    logs: Vec<Log>,
    tamper: Tamper,
    rng: &'a mut Rng,
    hits: &'a mut Hits,
    trace: &'a mut Trace,
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
        let mut routing = Self {
            world,
            settings,
            fault,
            now: start(),
            nodes,
            owners: (0..sources).map(|_| rng.below(settings.routers)).collect(),
            committed: vec![0; sources],
            ever_read: vec![0; sources],
            lagging: rng.percent(25).then(|| rng.below(sources)),
            logs: (0..partitions).map(|_| Log::default()).collect(),
            tamper: Tamper::new(partitions),
            rng,
            hits,
            trace,
        };
        for source in 0..sources {
            if settings.sources[source].since <= start() {
                routing.assign(source, routing.owners[source]);
            }
        }
        routing
    }

    fn is_all_read(&self) -> bool {
        let all = self.world.messages.iter().map(Vec::len);
        let later = self.settings.sources.iter().any(|source| source.since > self.now);
        !later && self.committed.iter().copied().eq(all)
    }

    /// Lets time pass: a little, or up to the next message.
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
        self.now = match (self.rng.below(3), next) {
            (0, _) | (_, None) => before + self.rng.between(0, 900),
            (1, Some(next)) => next + self.rng.between(-1, 800),
            (_, Some(next)) => self.rng.between(before, next),
        }
        .max(before);
        for source in 0..self.owners.len() {
            let since = self.settings.sources[source].since;
            if before < since && since <= self.now {
                self.hits.hit("watermark: partition added");
                self.assign(source, self.owners[source]);
            }
        }
        if next.is_none() || self.rng.percent(2) {
            self.lagging = None;
        }
    }

    fn act(&mut self) -> Result<(), Failure> {
        let node = self.rng.below(self.nodes.len());
        match self.rng.below(100) {
            0..=44 => self.read_some(node),
            45..=64 => self.mark(node),
            65..=74 => {
                self.look(node);
                Ok(())
            }
            75..=82 => {
                self.flush_some(node);
                Ok(())
            }
            83..=90 => {
                self.commit(node);
                Ok(())
            }
            91..=92 => {
                self.crash(node);
                Ok(())
            }
            93..=94 => {
                let source = self.rng.below(self.owners.len());
                self.pass_on(source);
                Ok(())
            }
            _ => self.all_mark(),
        }
    }

    /// Everything is read, then nothing comes any more: every partition falls idle, and the clock runs far ahead.
    fn come_to_rest(&mut self) -> Result<(), Failure> {
        let idle = millis(self.settings.idle_timeout);
        for pause in [0, 700, idle / 2, idle + 10_000, 1_000] {
            self.now += pause;
            self.all_mark()?;
        }
        if self.settings.ends {
            for partition in 0..self.logs.len() {
                self.append(partition, LogRecord::EndOfInput.encode(Vec::new()).unwrap(), Entry::End);
            }
            return Ok(());
        }
        let last = EventTime::LAST.ticks() + ticks(self.settings.furthest());
        // Behind every deadline too: where the clocks of routers are far apart, they never all call their sources idle.
        self.now = wall_of(last) + millis(self.settings.out_of_orderness + self.settings.max_wait) + idle + 86_400_000;
        self.all_mark()?;
        self.now += 2_000;
        self.all_mark()
    }

    fn all_mark(&mut self) -> Result<(), Failure> {
        for node in 0..self.nodes.len() {
            self.look(node);
            self.mark(node)?;
            if self.rng.percent(90) || self.is_all_read() {
                self.flush(node);
            }
        }
        Ok(())
    }

    fn assign(&mut self, source: usize, node: usize) {
        self.owners[source] = node;
        let mut position = self.committed[source];
        if self.fault == Some(Fault::RouterBeginsAtTheEnd) {
            position = self.available(source);
            self.committed[source] = position;
        }
        if position < self.ever_read[source] {
            self.hits.hit("route: routed again");
        }
        let Node {
            progress,
            reading,
            left,
            skew,
            ..
        } = &mut self.nodes[node];
        let now = self.now + *skew;
        let name = &self.settings.sources[source];
        progress.assign(name.topic, name.partition, i64::try_from(position).unwrap(), WallTime(now));
        reading.insert(source, Reading::again(position, now, left.remove(&source)));
        self.trace.say(self.now, || {
            format!("router {node} reads {}/{} from {position}", name.topic, name.partition)
        });
    }

    /// Number of messages in a source.
    fn available(&self, source: usize) -> usize {
        self.world.messages[source].partition_point(|message| message.at <= self.now)
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
        let Node {
            router,
            progress,
            reading,
            queues,
            skew,
            ..
        } = &mut self.nodes[node];
        let now = self.now + *skew;
        let arrival = Arrival {
            now: WallTime(now),
            timestamp: message.timestamp.map(WallTime),
        };
        let mut made: Vec<Vec<Vec<u8>>> = queues.iter().map(|_| Vec::new()).collect();
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
        let name = &self.settings.sources[source];
        if let Some(read) = progress.read(name.topic, name.partition, i64::try_from(offset + 1).unwrap())
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
            Failure::unless(made.len() == meant.len(), "complete", || {
                format!(
                    "message {source}@{offset} became {} records of log partition {partition}, not {}",
                    made.len(),
                    meant.len()
                )
            })?;
            queues[partition].extend(made.into_iter().zip(meant));
        }
        Ok(())
    }

    /// Looks where the sources end.
    fn look(&mut self, node: usize) {
        let sources: Vec<usize> = self.nodes[node].reading.keys().copied().collect();
        for source in sources {
            let end = i64::try_from(self.available(source)).unwrap();
            let Node {
                progress, reading, skew, ..
            } = &mut self.nodes[node];
            let name = &self.settings.sources[source];
            progress.ended_at(name.topic, name.partition, end, WallTime(self.now + *skew));
            reading.get_mut(&source).unwrap().looked = Some(self.now);
        }
    }

    /// Says how far a node has read, to all partitions of the log.
    fn mark(&mut self, node: usize) -> Result<(), Failure> {
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
            listed: (0..self.owners.len())
                .filter(|source| self.settings.sources[*source].since <= self.now)
                .collect(),
            sources: Vec::new(),
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
        for queue in &mut self.nodes[node].queues {
            queue.push_back((bytes.clone(), Entry::WatermarkUpdate(said.clone())));
        }
        Ok(())
    }

    /// A source is idle when no activity was read for the time-out and all that was there when it began has been read.
    /// It need not be called so before somebody has looked where it ends, and must be when all that is there now has
    /// been read.
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

    fn flush_some(&mut self, node: usize) {
        for partition in 0..self.logs.len() {
            let count = self.rng.below(self.nodes[node].queues[partition].len() + 1);
            self.flush_first(node, partition, count);
        }
    }

    fn flush(&mut self, node: usize) {
        for partition in 0..self.logs.len() {
            let count = self.nodes[node].queues[partition].len();
            self.flush_first(node, partition, count);
        }
    }

    fn flush_first(&mut self, node: usize, partition: usize, count: usize) {
        for _ in 0..count {
            let (bytes, entry) = self.nodes[node].queues[partition].pop_front().unwrap();
            self.append(partition, bytes, entry);
        }
    }

    fn append(&mut self, partition: usize, bytes: Vec<u8>, entry: Entry) {
        if self.rng.percent(1) {
            self.hits.hit("log: gap in the offsets");
            self.logs[partition].bytes.push(None);
            self.logs[partition].journal.push(Entry::Gap);
        }
        let offset = self.logs[partition].journal.len();
        self.trace.say(self.now, || match &entry {
            Entry::WatermarkUpdate(_) => format!("log {partition}@{offset}: update"),
            entry => format!("log {partition}@{offset}: {entry:?}"),
        });
        let bytes = self.tamper.change(partition, self.fault, bytes, self.settings);
        self.logs[partition].bytes.push(bytes);
        self.logs[partition].journal.push(entry);
    }

    /// What a node has read is committed when all of it has been sent.
    fn commit(&mut self, node: usize) {
        if self.fault != Some(Fault::RouterCommitsAhead) {
            self.flush(node);
        }
        for (source, reading) in &self.nodes[node].reading {
            self.committed[*source] = reading.position;
        }
    }

    /// A node loses what it has not sent; others, or it, begin again where it last committed.
    fn crash(&mut self, node: usize) {
        self.flush_some(node);
        if self.nodes[node].queues.iter().any(|queue| !queue.is_empty()) {
            self.hits.hit("route: crash loses what was in flight");
        }
        self.trace.say(self.now, || format!("router {node} crashes"));
        let skew = self.nodes[node].skew;
        let lost = std::mem::replace(&mut self.nodes[node], Node::new(self.settings, self.fault, skew));
        for source in lost.reading.into_keys() {
            let next = self.rng.below(self.nodes.len());
            self.assign(source, next);
        }
    }

    /// A source is read by another node from now on.
    fn pass_on(&mut self, source: usize) {
        let owner = self.owners[source];
        if self.nodes[owner].reading.contains_key(&source) {
            self.hits.hit("route: partition moves");
            self.commit(owner);
            if let Some(reading) = self.nodes[owner].reading.remove(&source) {
                self.nodes[owner].left.insert(source, reading);
            }
            let name = &self.settings.sources[source];
            self.nodes[owner].progress.revoke(name.topic, name.partition);
            let next = self.rng.below(self.nodes.len());
            self.assign(source, next);
        }
    }
}
