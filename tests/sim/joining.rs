//! JOIN: one partition of the log is worked off in batches, with crashes between any two effects.

use alerttrail::emit::{self, Emitted, Emitter, Kind};
use alerttrail::join::{Joiner, Limit, Op, Outbox};
use alerttrail::log::LogRecord;
use alerttrail::store::{Base, Txn};

use crate::Failure;
use crate::faults::{Fault, Store};
use crate::hits::Hits;
use crate::rng::Rng;
use crate::router::Log;
use crate::trace::Trace;
use crate::world::Settings;

/// More transactions than this no partition takes.
const MOST_CYCLES: usize = 100_000;

/// How a partition is worked off.
pub(crate) struct Plan {
    pub(crate) limit: Limit,
    /// Records in a batch.
    pub(crate) batch: usize,
    /// Crashes in all, at the most.
    pub(crate) crashes: usize,
    pub(crate) fault: Option<Fault>,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, fault: Option<Fault>) -> Self {
        Self {
            limit: Limit {
                outputs: *rng.pick(&[1, 1, 2, 3, 7, 2_000]),
                bytes: *rng.pick(&[1, 500, 8 << 20, 8 << 20, 8 << 20]),
            },
            batch: *rng.pick(&[1, 2, 5, 20, 1_000]),
            crashes: *rng.pick(&[0, 1, 5, 20]),
            fault,
        }
    }

    /// No crashes, all that is there at once.
    pub(crate) fn calm() -> Self {
        Self {
            limit: Limit::default(),
            batch: usize::MAX,
            crashes: 0,
            fault: None,
        }
    }
}

/// A record of an output topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Delivered {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) is_row: bool,
    pub(crate) is_upsert: bool,
    pub(crate) key: Vec<u8>,
    pub(crate) value: String,
}

/// A partition that has been worked off.
pub(crate) struct Joined {
    pub(crate) output: Vec<Delivered>,
    /// Whether a process that was taken for dead sent what it had left behind all else.
    pub(crate) thawed: bool,
    pub(crate) store: Store,
    pub(crate) counts: alerttrail::join::Counts,
}

/// Works off all of `log`.
pub(crate) fn run(
    settings: &Settings,
    log: &Log,
    plan: Plan,
    rng: &mut Rng,
    hits: &mut Hits,
    trace: &mut Trace,
) -> Result<Joined, Failure> {
    let mut crashes = plan.crashes;
    let mut partition = Partition::new(settings, log, plan, hits, trace);
    let mut joiner = partition.open()?;
    while let Some(ended) = partition.batch(&mut joiner, rng, &mut crashes)? {
        if let Ended::Crashed { with_store } = ended {
            if with_store {
                partition.store = Store {
                    fault: partition.plan.fault,
                    ..Store::default()
                };
            }
            joiner = partition.open()?;
        }
    }
    let thawed = !partition.frozen.is_empty();
    if thawed {
        partition.hits.hit("join: a thawed owner sends last");
        partition.output.append(&mut partition.frozen);
    }
    Ok(Joined {
        counts: joiner.take_counts(),
        output: partition.output,
        thawed,
        store: partition.store,
    })
}

struct Partition<'a> {
    settings: &'a Settings,
    log: &'a Log,
    /// The offset to read next. Not the joiner's position: offsets at which there is nothing do not move that.
    cursor: i64,
    /// Transactions so far.
    cycles: usize,
    /// Whether nothing was done since the store was opened.
    just_opened: bool,
    plan: Plan,
    store: Store,
    outbox: Outbox,
    emitter: Emitter,
    output: Vec<Delivered>,
    /// What processes that were taken for dead will still send.
    frozen: Vec<Delivered>,
    hits: &'a mut Hits,
    trace: &'a mut Trace,
}

enum Ended {
    Well,
    Crashed { with_store: bool },
}

/// Where in the order of effects a process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    Applied,
    DeliveredSome,
    Delivered,
    Written,
}

impl<'a> Partition<'a> {
    fn new(settings: &'a Settings, log: &'a Log, plan: Plan, hits: &'a mut Hits, trace: &'a mut Trace) -> Self {
        Self {
            settings,
            log,
            cursor: 0,
            cycles: 0,
            just_opened: true,
            store: Store {
                fault: plan.fault,
                ..Store::default()
            },
            outbox: Outbox::new(plan.limit),
            emitter: Emitter {
                widening: settings.widening(),
                summaries: true,
                unmatched: settings.unmatched,
                limit: None,
            },
            plan,
            output: Vec::new(),
            frozen: Vec::new(),
            hits,
            trace,
        }
    }

    fn open(&mut self) -> Result<Joiner, Failure> {
        self.outbox = Outbox::new(self.plan.limit);
        self.just_opened = true;
        let joiner = Joiner::open(&self.store, self.settings.retention)?;
        self.cursor = joiner.next_offset();
        if self.plan.fault == Some(Fault::PositionAhead) && self.cursor > 0 {
            self.cursor += 1;
        }
        self.trace.note(|| format!("join opens at {:?}", joiner.position()));
        Ok(joiner)
    }

    /// One batch in the order of effects: apply, deliver, write. `None` when nothing was left to do.
    fn batch(&mut self, joiner: &mut Joiner, rng: &mut Rng, crashes: &mut usize) -> Result<Option<Ended>, Failure> {
        let end = i64::try_from(self.log.bytes.len()).unwrap();
        let until = end.min(self.cursor.saturating_add(i64::try_from(self.plan.batch).unwrap_or(i64::MAX)));
        let mut more = true;
        while more {
            self.cycles += 1;
            Failure::unless(self.cycles < MOST_CYCLES, "bounded", || "it never comes to an end".to_owned())?;
            let mut blind = Vec::new();
            let mut txn = Txn::new(&self.store);
            loop {
                let done = joiner.step(&mut txn, &mut self.outbox)?;
                if std::mem::take(&mut self.just_opened) && !self.outbox.is_empty() {
                    self.hits.hit("join: resumed amid an emission");
                }
                let most = self.plan.limit.outputs.saturating_add(1);
                Failure::unless(self.outbox.len() <= most, "bounded", || {
                    "the outbox is more than full".to_owned()
                })?;
                if !done || self.outbox.is_full() {
                    break;
                }
                if self.cursor >= until {
                    more = false;
                    break;
                }
                if let Some(bytes) = &self.log.bytes[usize::try_from(self.cursor).unwrap()] {
                    if self.plan.fault == Some(Fault::BlindToOwnWrites) {
                        blind.push(std::mem::replace(&mut txn, Txn::new(&self.store)).into_batch());
                    }
                    joiner.begin(self.cursor, LogRecord::decode(bytes).unwrap(), &mut txn)?;
                }
                self.cursor += 1;
            }
            let dies = (*crashes > 0 && rng.percent(15)).then(|| {
                *crashes -= 1;
                *rng.pick(&[Moment::Applied, Moment::DeliveredSome, Moment::Delivered, Moment::Written])
            });
            let count = self.outbox.len();
            let delivered = match dies {
                Some(Moment::Applied) => 0,
                Some(Moment::DeliveredSome) => rng.below(count + 1),
                _ => count,
            };
            let mut batches = blind;
            joiner.save(&mut txn)?;
            batches.push(txn.into_batch());
            let early = self.plan.fault == Some(Fault::WriteBeforeDelivery);
            if early {
                for batch in batches.drain(..) {
                    self.store.write(batch)?;
                }
            }
            self.deliver(delivered, dies.is_some() && rng.percent(10));
            if matches!(dies, None | Some(Moment::Written)) {
                for batch in batches {
                    self.store.write(batch)?;
                }
            }
            if let Some(moment) = dies {
                return Ok(Some(self.die(moment, rng)));
            }
        }
        Ok((self.cursor < end).then_some(Ended::Well))
    }

    fn die(&mut self, moment: Moment, rng: &mut Rng) -> Ended {
        self.hits.hit(match moment {
            Moment::Applied => "join: crash after apply",
            Moment::DeliveredSome => "join: crash amid delivery",
            Moment::Delivered => "join: crash after delivery",
            Moment::Written => "join: crash after the write",
        });
        let with_store = rng.percent(10);
        if with_store {
            self.hits.hit("join: store lost");
        }
        self.trace.note(|| {
            let store = if with_store { ", and the store is lost" } else { "" };
            format!("join dies: {moment:?}{store}")
        });
        Ended::Crashed { with_store }
    }

    /// Sends the first `count` outputs. The others are lost, or sent when all else is over: a process that hangs is not dead.
    fn deliver(&mut self, count: usize, hangs: bool) {
        let mut value = Vec::new();
        let lose_one = self.plan.fault == Some(Fault::OutputLost) && count > 1;
        for (place, (at, output)) in self.outbox.drain().enumerate().skip(usize::from(lose_one)) {
            let headers = match self.emitter.emit(&output, at.offset, &mut value) {
                Emitted::Omitted => continue,
                Emitted::Record(headers) | Emitted::TooLarge(headers) => headers,
            };
            let record = Delivered {
                seq: headers.seq,
                id: headers.id,
                is_row: headers.kind == Kind::Activity,
                is_upsert: headers.op == Op::Upsert,
                key: emit::key(&output).to_vec(),
                value: String::from_utf8(value.clone()).unwrap(),
            };
            if place < count {
                self.trace.note(|| format!("output {}", record.value));
                self.output.push(record);
            } else if hangs {
                self.trace.note(|| format!("output later {}", record.value));
                self.frozen.push(record);
            }
        }
    }
}
