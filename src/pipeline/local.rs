//! ROUTE and JOIN over a log in memory: no broker.

use std::time::Duration;

use crate::emit::{Emitted, Emitter};
use crate::join::{self, Joiner, Limit, Outbox};
use crate::log::LogRecord;
use crate::route::{Arrival, Routed, Router, Seen};
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::store::{self, Base, Txn};

/// What takes the records that come out.
pub trait Output {
    /// Takes the value of one record. `kind` tells rows from summaries.
    fn record(&mut self, kind: crate::emit::Kind, value: &[u8]) -> std::io::Result<()>;
    /// Takes a record that cannot be used.
    fn dead_letter(&mut self, letter: DeadLetter<'_>) -> std::io::Result<()>;
}

/// Why a local run stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The output.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// Everything that happened in a local run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Activities with a time.
    pub activities: u64,
    /// Of those, the ones that can join.
    pub keyed: u64,
    /// Activities without a key and without a time.
    pub timeless: u64,
    /// Alert versions.
    pub alerts: u64,
    /// Alert versions whose window is empty.
    pub empty_windows: u64,
    /// Records of other tables.
    pub other_tables: std::collections::BTreeMap<String, u64>,
    /// Dead letters by reason.
    pub dead_letters: std::collections::BTreeMap<&'static str, u64>,
    /// Re-delivered activities.
    pub duplicates: u64,
    /// Records of a second tenant, while tenants are not told apart.
    pub second_tenant: u64,
    /// Pairs.
    pub pairs: u64,
}

/// One partition of everything.
pub struct Local<B, O> {
    router: Router,
    joiner: Joiner,
    base: B,
    emitter: Emitter,
    output: O,
    offset: i64,
    seq: i64,
    outbox: Outbox,
    totals: Totals,
}

impl<B: Base, O: Output> Local<B, O> {
    /// A run that begins with the state of `base`.
    pub fn new(router: Router, base: B, retention: Option<Duration>, emitter: Emitter, output: O) -> Result<Self, Error> {
        Ok(Self {
            joiner: Joiner::open(&base, retention)?.with_related(emitter.format.related()),
            router,
            base,
            emitter,
            output,
            offset: 0,
            seq: 0,
            outbox: Outbox::new(Limit::default()),
            totals: Totals::default(),
        })
    }

    /// Takes in messages of one file, each with its offset.
    pub fn messages<'m>(
        &mut self,
        file: &str,
        messages: impl Iterator<Item = (i64, &'m [u8])>,
        arrival: Arrival,
    ) -> Result<(), Error> {
        let mut txn = Txn::new(&self.base);
        for (offset, message) in messages {
            let mut failed = Ok(());
            let seen = self.router.route(Some(message), arrival, &mut |routed| {
                if failed.is_ok() {
                    failed = match routed {
                        Routed::Record { record, .. } => {
                            let at = self.offset;
                            self.offset += 1;
                            self.joiner.begin(at, record, &mut txn).map_err(Error::from).and_then(|()| {
                                work(&mut self.joiner, &mut txn, &mut self.outbox, &mut |outbox| {
                                    deliver(outbox, &self.emitter, &mut self.seq, &mut self.output)
                                })
                            })
                        }
                        Routed::Rejected { index, reject } => {
                            *self.totals.dead_letters.entry(reject.reason.as_str()).or_default() += 1;
                            let address = Address {
                                topic: file,
                                partition: 0,
                                offset,
                                index,
                            };
                            self.output.dead_letter(DeadLetter::of(reject, address)).map_err(Error::from)
                        }
                        Routed::OtherTable(table) => {
                            *self.totals.other_tables.entry(table.into_owned()).or_default() += 1;
                            Ok(())
                        }
                        Routed::SecondTenant => {
                            self.totals.second_tenant += 1;
                            Ok(())
                        }
                    };
                }
            });
            failed?;
            self.totals.add(seen);
        }
        let batch = txn.into_batch();
        self.base.write(batch)?;
        Ok(())
    }

    /// Closes every window; what happened in all, or `None` when asked to stop before the end.
    pub fn end(mut self, shutdown: &Shutdown) -> Result<Option<(Totals, O)>, Error> {
        let mut begun = false;
        let mut done = false;
        while !done {
            if shutdown.is_requested() {
                return Ok(None);
            }
            let mut txn = Txn::new(&self.base);
            if !begun {
                self.joiner.begin(self.offset, LogRecord::EndOfInput, &mut txn)?;
                begun = true;
            }
            // Written after every full outbox: the alerts' new states must not pile up in memory.
            done = self.joiner.step(&mut txn, &mut self.outbox)?;
            deliver(&mut self.outbox, &self.emitter, &mut self.seq, &mut self.output)?;
            let batch = txn.into_batch();
            self.base.write(batch)?;
        }
        let counts: join::Counts = self.joiner.take_counts();
        self.totals.duplicates = counts.duplicate_activities;
        self.totals.empty_windows = counts.empty_windows;
        self.totals.pairs = counts.upserts - counts.deletes;
        Ok(Some((self.totals, self.output)))
    }
}

fn work<B: Base>(
    joiner: &mut Joiner,
    txn: &mut Txn<'_, B>,
    outbox: &mut Outbox,
    deliver: &mut dyn FnMut(&mut Outbox) -> Result<(), Error>,
) -> Result<(), Error> {
    while !joiner.step(txn, outbox)? {
        deliver(outbox)?;
    }
    if !outbox.is_empty() {
        deliver(outbox)?;
    }
    Ok(())
}

fn deliver<O: Output>(outbox: &mut Outbox, emitter: &Emitter, seq: &mut i64, output: &mut O) -> Result<(), Error> {
    let mut value = Vec::new();
    for (_, item) in outbox.drain() {
        // There is no limit in a file: nothing is too large.
        if let Emitted::Record(headers) | Emitted::TooLarge(headers) = emitter.emit(&item, *seq, &mut value) {
            *seq += 1;
            output.record(headers.kind, &value)?;
        }
    }
    Ok(())
}

impl Totals {
    fn add(&mut self, seen: Seen) {
        self.activities += seen.activities;
        self.keyed += seen.keyed;
        self.timeless += seen.timeless;
        self.alerts += seen.alerts;
    }
}
