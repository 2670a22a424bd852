//! JOIN: the log of a partition is applied in batches, each of which is one write of state.

use alerttrail::emit::{self, Emitted, Emitter, Format, Kind, Links};
use alerttrail::join::{Counts, Joiner, Limit, Op, Outbox, Output, Position, Retention};
use alerttrail::record::{Key, LinkId};
use alerttrail::repartition::RepartitionRecord;
use alerttrail::store::{Backend, Batch, Direction, Memory, Pair, Span, Table};

use crate::Failure;
use crate::disk::Disk;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::links::QUERY;
use crate::plan::{BatchLimits, Plan};
use crate::router::Log;
use crate::world::Settings;

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

/// The log to join, and the plan for it.
pub(crate) struct Work<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) log: &'a Log,
    pub(crate) plan: Plan,
}

impl Work<'_> {
    fn retention(&self) -> Retention {
        match self.plan.has(Fault::ShortRetentionIgnored) {
            true => self.settings.retention(QUERY).into(),
            false => self.settings.retentions(),
        }
    }
}

/// An applied batch: its outputs, and the changes of state that belong to them.
pub(crate) struct Applied {
    pub(crate) outputs: Vec<(Position, Delivered)>,
    /// Whether the join had outputs, some of which the format may leave out.
    pub(crate) has_outputs: bool,
    /// How far the output has been produced, including these outputs.
    pub(crate) position: Position,
    /// One write, except with a planted fault.
    pub(crate) changes: Vec<Batch>,
}

/// The state machine of a partition in the memory of one process.
pub(crate) struct Joining<'a> {
    work: &'a Work<'a>,
    limits: BatchLimits,
    joiner: Joiner,
    /// The offset to read next. It differs from the joiner's position, which offsets without records do not move.
    cursor: i64,
    /// The offset at which the batch ends.
    until: i64,
    outbox: Outbox,
    emitter: Emitter,
    /// Whether nothing was applied since the state was opened.
    just_opened: bool,
    is_over: bool,
}

impl<'a> Joining<'a> {
    pub(crate) fn open(work: &'a Work<'a>, limits: BatchLimits, disk: &Disk) -> Result<Self, Failure> {
        let joiner = Joiner::open(disk, work.retention())?.with_alert_updates(work.settings.alert_updates());
        let mut cursor = joiner.next_offset();
        if work.plan.has(Fault::PositionAhead) && cursor > 0 {
            cursor += 1;
        }
        Ok(Self {
            work,
            limits,
            joiner,
            cursor,
            until: cursor,
            outbox: Outbox::new(limits.limit),
            emitter: Emitter {
                format: Format::Native,
                links: Links::new(&work.settings.decode()),
                summaries: true,
                unmatched: work.settings.unmatched,
                limit: None,
            },
            just_opened: true,
            is_over: false,
        })
    }

    pub(crate) fn position(&self) -> Position {
        self.joiner.position()
    }

    /// Skips the records before this offset.
    pub(crate) fn skip_to(&mut self, offset: i64) {
        self.cursor = self.cursor.max(offset);
    }

    fn end(&self) -> i64 {
        i64::try_from(self.work.log.bytes.len()).unwrap()
    }

    /// Applies the next batch. Returns `None` at the end of the log.
    pub(crate) fn apply(&mut self, disk: &Disk, hits: &mut Hits) -> Result<Option<Applied>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let (plan, end) = (&self.work.plan, self.end());
        if self.cursor >= self.until {
            let batch = i64::try_from(self.limits.batch).unwrap_or(i64::MAX);
            self.until = end.min(self.cursor.saturating_add(batch));
        }
        if std::mem::take(&mut self.just_opened) && self.joiner.has_work() {
            hits.hit("join: resumed within the outputs of a record");
        }
        let mut changes = Vec::new();
        let mut batch = self.joiner.begin_batch(disk, &mut self.outbox)?;
        while batch.wants_more() {
            if self.cursor >= self.until {
                self.is_over = self.cursor >= end;
                break;
            }
            let bytes = &self.work.log.bytes[usize::try_from(self.cursor).unwrap()];
            let is_skipped = plan.has(Fault::RecordSkipped) && self.cursor % 8 == 7;
            if let Some(bytes) = bytes.as_ref().filter(|_| !is_skipped) {
                if plan.has(Fault::BlindToOwnWrites) {
                    changes.push(batch.finish()?);
                    batch = self.joiner.begin_batch(disk, &mut self.outbox)?;
                }
                batch.apply(self.cursor, RepartitionRecord::decode(bytes).unwrap())?;
            }
            self.cursor += 1;
        }
        changes.push(batch.finish()?);
        let max_outputs = self.limits.limit.outputs.saturating_add(1);
        Failure::unless(self.outbox.len() <= max_outputs, "bounded", || {
            "the outbox exceeds its limit".to_owned()
        })?;
        let mut applied = Applied {
            outputs: Vec::new(),
            has_outputs: !self.outbox.is_empty(),
            position: self.joiner.position(),
            changes,
        };
        self.emit(&mut applied);
        Ok(Some(applied))
    }

    /// Turns the joiner's outputs into records.
    fn emit(&mut self, batch: &mut Applied) {
        let plan = &self.work.plan;
        let mut value = Vec::new();
        let lose_one = plan.has(Fault::OutputLost) && self.outbox.len() > 1;
        let mut first = None;
        for (mut place, output) in self.outbox.drain().skip(usize::from(lose_one)) {
            if plan.has(Fault::NumberedByBatch) {
                place.outputs -= first.get_or_insert(place).number_in(place.offset);
            }
            let headers = match self.emitter.emit(&output, place.offset, &mut value) {
                Emitted::Omitted => continue,
                Emitted::Record(headers) | Emitted::TooLarge(headers) => headers,
            };
            let mut record = Delivered {
                seq: headers.seq,
                id: headers.id,
                is_row: headers.kind == Kind::Activity,
                is_upsert: headers.op == Op::Upsert,
                key: emit::key(&output).to_vec(),
                value: String::from_utf8(value.clone()).unwrap(),
            };
            if plan.has(Fault::LinksShareIds) {
                record.share_id(&output, &self.emitter.links);
            }
            batch.outputs.push((place, record));
        }
        if let Some(first) = first {
            batch.position.outputs -= first.number_in(batch.position.offset);
        }
    }
}

impl Delivered {
    /// Gives a row by a later link the id that it would have by the first.
    fn share_id(&mut self, output: &Output, links: &Links) {
        if let Output::Row(row) = output
            && row.key.link > LinkId(1)
        {
            let key = Key {
                link: LinkId(1),
                ..row.key.clone()
            };
            let id = std::mem::replace(&mut self.id, emit::pair_id(&row.alert, &key, row.activity, links));
            self.value = self.value.replace(&id, &self.id);
        }
    }
}

/// Numbers positions within a record.
trait Numbered {
    /// Returns the number of outputs at this position, if it belongs to the record at `offset`.
    fn number_in(self, offset: i64) -> u64;
}

impl Numbered for Position {
    fn number_in(self, offset: i64) -> u64 {
        if self.offset == offset { self.outputs } else { 0 }
    }
}

/// A partition whose log one process has applied without disruptions.
pub(crate) struct Undisturbed {
    pub(crate) output: Vec<Delivered>,
    /// The position of each output, which readers do not see.
    pub(crate) places: Vec<Position>,
    pub(crate) disk: Disk,
    /// By each link by which anything happened.
    pub(crate) counts: Vec<(LinkId, Counts)>,
}

/// Applies the log without disruptions. Only faults in the join itself apply here.
pub(crate) fn undisturbed(settings: &Settings, log: &Log, fault: Option<Fault>, hits: &mut Hits) -> Result<Undisturbed, Failure> {
    let plan = Plan::undisturbed(fault.filter(|fault| fault.is_in_join()));
    let work = Work { settings, log, plan };
    let mut disk = Disk::default();
    let mut joining = Joining::open(&work, BatchLimits::unlimited(), &disk)?;
    let (mut places, mut output) = (Vec::new(), Vec::new());
    while let Some(batch) = joining.apply(&disk, hits)? {
        for (place, record) in batch.outputs {
            places.push(place);
            output.push(record);
        }
        for changes in batch.changes {
            disk.write(changes)?;
        }
    }
    Ok(Undisturbed {
        output,
        places,
        counts: joining.joiner.take_counts().iter().collect(),
        disk,
    })
}

/// Checks that the position determines the state: whatever happened before, the tables contain exactly what results
/// from applying the log to an empty state up to the position.
pub(crate) fn check_state(work: &Work<'_>, disk: &Disk) -> Result<(), Failure> {
    let stored = Joiner::open(disk, work.retention())?.position();
    let mut fresh = Memory::default();
    let mut joiner = Joiner::open(&fresh, work.retention())?.with_alert_updates(work.settings.alert_updates());
    // With this limit, it stops after every output.
    let mut outbox = Outbox::new(Limit {
        outputs: 1,
        bytes: usize::MAX,
    });
    let records = (0..).zip(&work.log.bytes);
    let mut records = records.filter_map(|(offset, bytes)| Some((offset, RepartitionRecord::decode(bytes.as_ref()?).unwrap())));
    if !disk.is_empty() {
        // A batch without records writes the position too.
        let changes = joiner.apply(&fresh, [], &mut outbox)?;
        fresh.write(changes)?;
    }
    let mut before = None;
    while joiner.position() < stored && before != Some(joiner.position()) {
        before = Some(joiner.position());
        // Each output after which a batch may end has its own position.
        let max_records = usize::from(!joiner.has_work());
        let changes = joiner.apply(&fresh, records.by_ref().take(max_records), &mut outbox)?;
        fresh.write(changes)?;
        outbox.drain();
    }
    Failure::unless(joiner.position() == stored, "deterministic", || {
        format!("a state is at {stored:?}, which is not a position of the log")
    })?;
    for table in Table::ALL {
        Failure::unless(all(disk, table)? == all(&fresh, table)?, "deterministic", || {
            format!("at {stored:?} the table {table:?} differs from the log applied to an empty state")
        })?;
    }
    Ok(())
}

fn all(backend: &impl Backend, table: Table) -> Result<Vec<Pair>, Failure> {
    let everything = Span {
        from: Vec::new(),
        to: vec![0xff; 64],
    };
    Ok(backend
        .scan(table, everything, Direction::Forward)
        .collect::<Result<_, _>>()?)
}
