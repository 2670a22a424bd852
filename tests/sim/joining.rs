//! JOIN: the log of a partition is applied in slices, each of which is one write of state.

use alerttrail::emit::{self, Emitted, Emitter, Format, Kind, Links};
use alerttrail::join::{Counts, Joiner, Limit, Op, Outbox, Output, Position, Retention};
use alerttrail::log::LogRecord;
use alerttrail::record::{Key, LinkId};
use alerttrail::store::{Base, Batch, Direction, Memory, Pair, Span, Table, Txn};

use crate::Failure;
use crate::disk::Disk;
use crate::faults::Fault;
use crate::hits::Hits;
use crate::links::QUERY;
use crate::plan::{Cut, Plan};
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

/// What is to be joined, and how.
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

/// What becomes of some records of the log: outputs, and the changes of state that go with them.
pub(crate) struct Slice {
    pub(crate) outputs: Vec<(Position, Delivered)>,
    /// How far the output has been made with these.
    pub(crate) position: Position,
    pub(crate) batches: Vec<Batch>,
}

/// The state machine of a partition in the memory of one process.
pub(crate) struct Joining<'a> {
    work: &'a Work<'a>,
    cut: Cut,
    joiner: Joiner,
    /// The offset to read next. Not the joiner's position: offsets at which there is nothing do not move that.
    cursor: i64,
    /// Where the batch ends.
    until: i64,
    outbox: Outbox,
    emitter: Emitter,
    /// Whether nothing was done since the state was opened.
    just_opened: bool,
    is_over: bool,
}

impl<'a> Joining<'a> {
    pub(crate) fn open(work: &'a Work<'a>, cut: Cut, disk: &Disk) -> Result<Self, Failure> {
        let joiner = Joiner::open(disk, work.retention())?.with_alert_updates(work.settings.alert_updates());
        let mut cursor = joiner.next_offset();
        if work.plan.has(Fault::PositionAhead) && cursor > 0 {
            cursor += 1;
        }
        Ok(Self {
            work,
            cut,
            joiner,
            cursor,
            until: cursor,
            outbox: Outbox::new(cut.limit),
            emitter: Emitter {
                format: Format::Native,
                links: Links::of(&work.settings.decode()),
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

    /// Leaves out what lies before this offset.
    pub(crate) fn skip_to(&mut self, offset: i64) {
        self.cursor = self.cursor.max(offset);
    }

    fn end(&self) -> i64 {
        i64::try_from(self.work.log.bytes.len()).unwrap()
    }

    /// The next slice; `None` at the end of the log.
    pub(crate) fn slice(&mut self, disk: &Disk, hits: &mut Hits) -> Result<Option<Slice>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let plan = &self.work.plan;
        if self.cursor >= self.until {
            let batch = i64::try_from(self.cut.batch).unwrap_or(i64::MAX);
            self.until = self.end().min(self.cursor.saturating_add(batch));
        }
        let mut batches = Vec::new();
        let mut txn = Txn::new(disk);
        loop {
            let done = self.joiner.step(&mut txn, &mut self.outbox)?;
            if std::mem::take(&mut self.just_opened) && !self.outbox.is_empty() {
                hits.hit("join: resumed amid an emission");
            }
            let most = self.cut.limit.outputs.saturating_add(1);
            Failure::unless(self.outbox.len() <= most, "bounded", || {
                "the outbox is more than full".to_owned()
            })?;
            if !done || self.outbox.is_full() {
                break;
            }
            if self.cursor >= self.until {
                self.is_over = self.cursor >= self.end();
                break;
            }
            if let Some(bytes) = &self.work.log.bytes[usize::try_from(self.cursor).unwrap()] {
                if plan.has(Fault::BlindToOwnWrites) {
                    batches.push(std::mem::replace(&mut txn, Txn::new(disk)).into_batch());
                }
                self.joiner.begin(self.cursor, LogRecord::decode(bytes).unwrap(), &mut txn)?;
            }
            self.cursor += 1;
        }
        self.joiner.save(&mut txn)?;
        batches.push(txn.into_batch());
        let mut slice = Slice {
            outputs: Vec::new(),
            position: self.joiner.position(),
            batches,
        };
        self.emit(&mut slice);
        Ok(Some(slice))
    }

    /// Turns what the joiner has to say into records.
    fn emit(&mut self, slice: &mut Slice) {
        let plan = &self.work.plan;
        let mut value = Vec::new();
        let lose_one = plan.has(Fault::OutputLost) && self.outbox.len() > 1;
        let mut first = None;
        for (mut place, output) in self.outbox.drain().skip(usize::from(lose_one)) {
            if plan.has(Fault::NumberedBySlice) {
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
            slice.outputs.push((place, record));
        }
        if let Some(first) = first {
            slice.position.outputs -= first.number_in(slice.position.offset);
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

/// Counting within a record.
trait Numbered {
    /// The number of this place, if it is one of the record at `offset`.
    fn number_in(self, offset: i64) -> u64;
}

impl Numbered for Position {
    fn number_in(self, offset: i64) -> u64 {
        if self.offset == offset { self.outputs } else { 0 }
    }
}

/// A partition that one process has worked off, and nothing happened.
pub(crate) struct Calm {
    pub(crate) output: Vec<Delivered>,
    /// The place of each output, which readers do not see.
    pub(crate) places: Vec<Position>,
    pub(crate) disk: Disk,
    /// By each link by which anything happened.
    pub(crate) counts: Vec<(LinkId, Counts)>,
}

/// Works off the log in peace. Only faults in the join itself apply here.
pub(crate) fn calm(settings: &Settings, log: &Log, fault: Option<Fault>, hits: &mut Hits) -> Result<Calm, Failure> {
    let plan = Plan::calm(fault.filter(|fault| fault.is_in_join()));
    let work = Work { settings, log, plan };
    let mut disk = Disk::default();
    let mut joining = Joining::open(&work, Cut::none(), &disk)?;
    let (mut places, mut output) = (Vec::new(), Vec::new());
    while let Some(slice) = joining.slice(&disk, hits)? {
        for (place, record) in slice.outputs {
            places.push(place);
            output.push(record);
        }
        for batch in slice.batches {
            disk.write(batch)?;
        }
    }
    Ok(Calm {
        output,
        places,
        counts: joining.joiner.take_counts().iter().collect(),
        disk,
    })
}

/// A position is a state: whatever led to it, the tables hold what the log, applied from its beginning up to there, makes of nothing.
pub(crate) fn check_state(work: &Work<'_>, disk: &Disk) -> Result<(), Failure> {
    let held = Joiner::open(disk, work.retention())?.position();
    let mut fresh = Memory::default();
    let mut joiner = Joiner::open(&fresh, work.retention())?.with_alert_updates(work.settings.alert_updates());
    // So that it stops behind every output.
    let mut outbox = Outbox::new(Limit {
        outputs: 1,
        bytes: usize::MAX,
    });
    let mut txn = Txn::new(&fresh);
    'log: for (offset, bytes) in (0..).zip(&work.log.bytes) {
        if joiner.position() >= held {
            break;
        }
        let Some(bytes) = bytes else { continue };
        joiner.begin(offset, LogRecord::decode(bytes).unwrap(), &mut txn)?;
        loop {
            let done = joiner.step(&mut txn, &mut outbox)?;
            outbox.drain();
            if joiner.position() == held {
                break 'log;
            }
            if done {
                break;
            }
        }
    }
    Failure::unless(joiner.position() == held, "deterministic", || {
        format!("a store stands at {held:?}, where the log has no place")
    })?;
    if !disk.is_empty() {
        joiner.save(&mut txn)?;
    }
    let batch = txn.into_batch();
    fresh.write(batch)?;
    for table in Table::ALL {
        Failure::unless(all(disk, table)? == all(&fresh, table)?, "deterministic", || {
            format!("at {held:?} the table {table:?} is not what the log makes of nothing")
        })?;
    }
    Ok(())
}

fn all(base: &impl Base, table: Table) -> Result<Vec<Pair>, Failure> {
    let everything = Span {
        from: Vec::new(),
        to: vec![0xff; 64],
    };
    Ok(base.scan(table, everything, Direction::Forward).collect::<Result<_, _>>()?)
}
