//! The simulation: whole worlds, each drawn from one seed, with the failures that can happen in them.
//!
//! A world has settings, activities and alerts, and the times at which they are written to the input topics (`world`,
//! `inputs`, `rows`). Routers (`router`) read them, end between any two effects (`route_effects`), and pass partitions
//! to one another (`group`); the result is the log (`routing`).
//!
//! The log of each partition is joined three times: once without disruptions (`joining`), and once under each delivery
//! guarantee (`plan`) by processes that die between any two effects, freeze while another takes over, and lose what
//! they wrote (`cluster`, `partition_task`, `disk`), on a broker that fences, aborts and does not always respond
//! (`broker`). It is the program's own code that routes, joins and emits. Its own
//! [`RouteTask`](alerttrail::route::RouteTask) and [`JoinTask`](alerttrail::join::JoinTask) order the effects; the
//! simulation only performs them.
//!
//! Half of all worlds have links besides the query (`links`), each with its own keys, window and retention.
//!
//! The output without disruptions is compared with the query's result over the inputs, and with what each repartition
//! record must cause (`oracle`, `model`); the other outputs are compared with that one, as readers see them
//! (`readers`). `faults` plants faults: a simulation is only as good as the faults that it finds.
//!
//! `SEED=7 cargo test --no-default-features --test sim worlds` repeats one world and prints everything that happens in
//! it if it fails. `SEEDS=100000` tries that many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test")]

mod broker;
mod clock;
mod closed_windows;
mod cluster;
mod disk;
mod due;
mod faults;
mod group;
mod hits;
mod inputs;
mod joining;
mod links;
mod model;
mod oracle;
mod partition_task;
mod plan;
mod readers;
mod rng;
mod route_effects;
mod router;
mod routing;
mod rows;
mod state;
mod trace;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alerttrail::join::Delivery;
use cluster::Disturbed;
use faults::{FAULTS, Fault};
use hits::Hits;
use joining::Work;
use plan::Plan;
use rng::Rng;
use router::Log;
use trace::Trace;
use world::World;

/// The number of worlds in a run.
const SEEDS: u64 = 1_500;
/// The number of worlds within which every planted fault must be found.
const SEEDS_FOR_A_FAULT: u64 = 1_000;

/// The delivery guarantees. The log of every partition is joined under each of them.
const DELIVERIES: [Delivery; 2] = [Delivery::AtLeastOnce, Delivery::ExactlyOnce];

/// A violated invariant.
#[derive(Debug)]
struct Failure {
    invariant: &'static str,
    details: String,
}

impl Failure {
    fn new(invariant: &'static str, details: String) -> Self {
        Self { invariant, details }
    }

    fn unless(is_kept: bool, invariant: &'static str, details: impl FnOnce() -> String) -> Result<(), Self> {
        match is_kept {
            true => Ok(()),
            false => Err(Self::new(invariant, details())),
        }
    }
}

impl From<alerttrail::store::Error> for Failure {
    fn from(error: alerttrail::store::Error) -> Self {
        Self::new("sound", error.to_string())
    }
}

/// The result of a world.
struct Run {
    logs: Vec<Log>,
    /// By delivery, then by partition of the log.
    joined: [Vec<Disturbed>; 2],
}

/// Runs the world of `seed` and checks it against every invariant.
fn run(seed: u64, fault: Option<Fault>, hits: &mut Hits, trace: &mut Trace) -> Result<Run, Failure> {
    let world = World::new(seed);
    let logs = routing::run(&world, fault, &mut Rng::new(seed, 3), hits, trace)?;
    let mut reader = oracle::Reader::new(&world);
    let mut joined = DELIVERIES.map(|_| Vec::new());
    let mut rng = Rng::new(seed, 4);
    for (number, log) in logs.iter().enumerate() {
        trace.note(|| format!("partition {number} of the log is joined"));
        let undisturbed = joining::undisturbed(&world.settings, log, fault, hits)?;
        let expected = model::expect(&world, number, log, hits);
        reader.check(&undisturbed.output, &expected.due)?;
        readers::check_alternation(&undisturbed.output, &world.settings)?;
        oracle::check_left(&undisturbed.disk, &expected)?;
        Failure::unless(undisturbed.counts == expected.counts, "sound", || {
            format!("counted {:?}, not {:?}", undisturbed.counts, expected.counts)
        })?;
        for (joined, delivery) in joined.iter_mut().zip(DELIVERIES) {
            let plan = Plan::draw(delivery, &mut rng, fault);
            let settings = &world.settings;
            let work = Work { settings, log, plan };
            let foreign = joined.last().map(|disturbed: &Disturbed| disturbed.disk.past());
            let disturbed = cluster::run(&work, &undisturbed, foreign.as_ref(), &mut rng, hits, trace)?;
            readers::check_stable(&disturbed, &undisturbed.output)?;
            if let Some(seen) = &disturbed.seen_once {
                readers::check_once(seen, &undisturbed.output)?;
            }
            oracle::check_left(&disturbed.disk, &expected)?;
            joined.push(disturbed);
        }
    }
    for joined in &joined {
        let pairs = oracle::check_query_result(&world, &reader.fold(joined)?)?;
        hits.add("pairs of the query", pairs as u64);
    }
    hits.add("records of the log", logs.iter().map(|log| log.journal.len() as u64).sum());
    Ok(Run { logs, joined })
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does the same, and turns a panic of the program into a failure.
fn attempt(seed: u64, fault: Option<Fault>, hits: &mut Hits, trace: &mut Trace) -> Result<Run, Failure> {
    QUIET.set(true);
    let attempted = catch_unwind(AssertUnwindSafe(|| run(seed, fault, hits, trace)));
    QUIET.set(false);
    attempted.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Failure::new("sound", format!("a panic: {}", text.unwrap_or_default())))
    })
}

/// Suppresses the messages of panics that are caught.
fn silence_caught_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                print(panic);
            }
        }));
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("SEED and SEEDS are numbers"))
}

#[test]
fn worlds_keep_every_invariant() {
    silence_caught_panics();
    if let Some(seed) = number("SEED") {
        let mut trace = Trace::on();
        if let Err(Failure { invariant, details }) = attempt(seed, None, &mut Hits::default(), &mut trace) {
            let lines = trace.lines.unwrap_or_default().join("\n");
            panic!("SEED={seed} is not {invariant}: {details}\n{lines}\nSEED={seed} is not {invariant}: {details}");
        }
        return;
    }
    let mut hits = Hits::default();
    for seed in 0..number("SEEDS").unwrap_or(SEEDS) {
        if let Err(Failure { invariant, details }) = attempt(seed, None, &mut hits, &mut Trace::default()) {
            panic!("SEED={seed} is not {invariant}: {details}");
        }
    }
    println!("{hits}");
    assert!(hits.missing().is_empty(), "no world met {:?}", hits.missing());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..50 {
        let [one, other] = [(); 2].map(|()| run(seed, None, &mut Hits::default(), &mut Trace::default()).unwrap());
        for (one, other) in one.logs.iter().zip(&other.logs) {
            assert!(one.bytes == other.bytes, "SEED={seed} gives two logs");
        }
        for (one, other) in one.joined.iter().flatten().zip(other.joined.iter().flatten()) {
            assert!(
                one.topic == other.topic && one.seen_once == other.seen_once,
                "SEED={seed} gives two outputs"
            );
        }
    }
}

#[test]
fn every_planted_fault_is_found() {
    silence_caught_panics();
    let mut unseen = Vec::new();
    for fault in FAULTS {
        let found = (0..SEEDS_FOR_A_FAULT).find_map(|seed| {
            let failure = attempt(seed, Some(fault), &mut Hits::default(), &mut Trace::default()).err()?;
            Some((seed, failure.invariant))
        });
        match found {
            Some((seed, invariant)) => println!("{fault:?} is found by seed {seed}: not {invariant}"),
            None => unseen.push(fault),
        }
    }
    assert!(unseen.is_empty(), "not found within {SEEDS_FOR_A_FAULT} seeds: {unseen:?}");
}
