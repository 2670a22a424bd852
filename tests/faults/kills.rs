//! SIGKILL, at random points and at critical ones.

use std::time::{Duration, Instant};

use crate::oracle::{Expected, Output};
use crate::proxy::Rules;
use crate::report::{Mode, Report, in_every_mode, seed, size};
use crate::rng::Rng;
use crate::support::world::Counted;
use crate::support::{Instance, World, activity, alert};
use crate::test_broker::test_broker;

in_every_mode!(
    a12_random_kills,
    a05_killed_right_after_an_output,
    a09_killed_in_the_middle_of_one_large_emission
);

/// The maximum number of outputs after which JOIN writes its state: no crash repeats more outputs of one partition.
pub(crate) const OUTBOX: usize = 2_000;
/// The number of partitions of the repartition topic.
pub(crate) const PARTITIONS: usize = 3;
/// The shortest session that brokers allow.
const SESSION: &str = "\"session.timeout.ms\" = \"6000\"";

pub(crate) fn configure(world: &mut World, mode: Mode) {
    world.set("output", &format!("delivery = \"{}\"", mode.name()));
    world.set("kafka.properties", SESSION);
}

/// An instance that may be down, and the time at which it starts again.
struct Slot {
    name: &'static str,
    instance: Option<Instance>,
    up_at: Instant,
}

impl Slot {
    fn start_when_due(&mut self, world: &World) {
        match &mut self.instance {
            Some(instance) => instance.assert_runs(),
            None if Instant::now() >= self.up_at => self.instance = Some(world.start(self.name)),
            None => {}
        }
    }
}

fn a12_random_kills(mode: Mode) {
    let Some(mut world) = World::new("a12") else { return };
    let mut report = Report::new("A12", mode);
    let (seed, kills) = (seed(), size("KILLS", 12));
    report.fact("seed", seed);
    configure(&mut world, mode);
    let mut rng = Rng::new(seed, 1);
    let mut output = Output::open(&world, mode);
    let feed = crate::feed::Feed::start(&world, seed, size("RATE", 150));
    let now = Instant::now();
    let mut slots: Vec<Slot> = ["a", "b", "c"]
        .into_iter()
        .map(|name| Slot {
            name,
            instance: None,
            up_at: now,
        })
        .collect();
    let (mut done, mut long, mut pauses_with_progress) = (0, 0, 0);
    while done < kills {
        let until = Instant::now() + Duration::from_millis(u64::try_from(rng.between(0, 3_000)).unwrap());
        loop {
            slots.iter_mut().for_each(|slot| slot.start_when_due(&world));
            if Instant::now() >= until {
                break;
            }
            output.catch_up(Duration::from_millis(20));
        }
        let up: Vec<usize> = (0..slots.len()).filter(|&n| slots[n].instance.is_some()).collect();
        if up.is_empty() {
            continue;
        }
        let slot = &mut slots[*rng.pick(&up)];
        slot.instance.take().unwrap().kill();
        let outage = if rng.percent(10) {
            long += 1;
            rng.between(7_000, 9_000)
        } else {
            rng.between(0, 300)
        };
        slot.up_at = Instant::now() + Duration::from_millis(u64::try_from(outage).unwrap());
        done += 1;
        // The group needs a session timeout to notice a death, so without occasional pauses the kills would hit only
        // idle instances.
        if done % 4 == 0 {
            let before = output.len();
            let began = Instant::now();
            while output.len() < before + 20 {
                slots.iter_mut().for_each(|slot| slot.start_when_due(&world));
                output.catch_up(Duration::from_millis(20));
                assert!(
                    began.elapsed() < Duration::from_secs(120),
                    "no progress between kills for two minutes"
                );
            }
            pauses_with_progress += 1;
        }
    }
    let at_last_kill = output.len();
    let sent = feed.finish();
    report.fact("kills", done);
    report.fact("long_outages", long);
    report.fact("messages", sent);
    for slot in &mut slots {
        slot.up_at = Instant::now();
        slot.start_when_due(&world);
    }
    let expected = Expected::compute(&world);
    let mut running: Vec<&mut Instance> = slots.iter_mut().filter_map(|slot| slot.instance.as_mut()).collect();
    output.wait_for(&expected, Duration::from_secs(240), &mut running);
    report.fact("pairs", expected.len());
    report.fact("repeats", output.repeats());
    report.assert_happened(
        "work between the kills and after the last",
        pauses_with_progress > 0 && output.len() > at_last_kill,
    );
    report.ok();
}

pub(crate) const WINDOW: (&str, &str) = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");

/// Sends activities of one key inside [`WINDOW`], and then the alert.
pub(crate) fn send_large_alert(world: &mut World, name: &str, count: usize) {
    let activities: Vec<Vec<u8>> = (0..count)
        .map(|n| {
            let time = format!("2026-03-01T10:{:02}:{:02}.{:03}Z", n / 60_000 % 60, n / 1_000 % 60, n % 1_000);
            activity(name, &time, &n.to_string())
        })
        .collect();
    world.send("activities", 4, activities.iter().map(Vec::as_slice));
    let alert = alert(name, name, WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::Yes, [alert.as_slice()]);
}

/// Returns the number of outputs that were produced again but not sent, because they had already been sent.
fn suppressed(log: &str) -> usize {
    let counts = log.lines().filter(|line| line.contains("caught up with the log"));
    counts
        .filter_map(|line| {
            line.split("suppressed=")
                .nth(1)?
                .split_whitespace()
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum()
}

fn a05_killed_right_after_an_output(mode: Mode) {
    const ROWS: usize = 1_500;
    const ATTEMPTS: usize = 8;
    let Some(test_broker) = test_broker() else { return };
    let mut report = Report::new("A5", mode);
    let mut world = test_broker.world("a05");
    configure(&mut world, mode);
    // Small batches: the first rows of an alert arrive while the others are not yet acknowledged.
    world.set("kafka.properties", "\"batch.num.messages\" = \"50\"");
    let mut output = Output::open(&world, mode);
    let mut proven_kills = 0;
    for attempt in 1..=ATTEMPTS {
        let name = format!("p{attempt}");
        test_broker.proxy.rule(Rules::default());
        let mut instance = world.start("a");
        instance.wait_for_log(" joining ");
        // Others see an output long before the processor receives its acknowledgement.
        test_broker.proxy.rule(Rules {
            client: "-join".to_owned(),
            delay: Duration::from_millis(100),
            ..Rules::default()
        });
        let before = (output.len(), output.repeats(), suppressed(&instance.log()));
        send_large_alert(&mut world, &name, ROWS);
        let began = Instant::now();
        while output.len() == before.0 {
            output.catch_up(Duration::from_millis(1));
            instance.assert_runs();
            assert!(began.elapsed() < crate::support::TIMEOUT, "no output\n{}", instance.log());
        }
        instance.kill();
        test_broker.proxy.rule(Rules::default());
        let mut instance = world.start("a");
        output.wait("all rows", Duration::from_secs(90), &mut [&mut instance], |output| {
            output.pairs_of(&name) == ROWS
        });
        output.catch_up(Duration::from_secs(1));
        let suppressed = suppressed(&instance.log()) - before.2;
        instance.kill();
        let repeats = output.repeats() - before.1;
        assert!(repeats <= OUTBOX, "{repeats} repeats");
        proven_kills += usize::from(match mode {
            Mode::AtLeastOnce => repeats > 0,
            Mode::ExactlyOnce => suppressed > 0,
        });
        if proven_kills > 0 {
            report.fact("attempts", attempt);
            report.fact("suppressed", suppressed);
            break;
        }
    }
    report.fact("repeats", output.repeats());
    report.assert_happened("a kill between an output and its state", proven_kills > 0);
    let mut instance = world.start("a");
    output.wait_for(&Expected::compute(&world), Duration::from_secs(60), &mut [&mut instance]);
    report.ok();
}

fn a09_killed_in_the_middle_of_one_large_emission(mode: Mode) {
    let Some(test_broker) = test_broker() else { return };
    let mut report = Report::new("A9", mode);
    let rows = size("ROWS", 20_000);
    let mut world = test_broker.world("a09");
    configure(&mut world, mode);
    let batch = (rows / 2_000).max(1);
    world.set("kafka.properties", &format!("\"batch.num.messages\" = \"{batch}\""));
    send_large_alert(&mut world, "p", rows);
    let mut output = Output::open(&world, mode);
    // Shows how far the emission is: with exactly-once delivery, its rows do not count until their transaction ends.
    let mut sent = Output::uncommitted(&world);
    let slow = |bytes_per_second| Rules {
        client: "-join".to_owned(),
        bytes_per_second,
        ..Rules::default()
    };
    let mut in_the_middle = 0;
    for (thousandths, wait_from) in [(100, 90), (500, 490), (999, 990)] {
        let (target, near) = (rows * thousandths / 1_000, rows * wait_from / 1_000);
        test_broker.proxy.rule(Rules::default());
        let mut instance = world.start("a");
        while sent.len() < near {
            sent.catch_up(Duration::from_millis(1));
            instance.assert_runs();
            // Fast at first, then slow enough to stop at the right place.
            if sent.len() + 4 * OUTBOX >= near {
                test_broker.proxy.rule(slow(Some(2_000_000)));
            }
        }
        let began = Instant::now();
        let mut again = sent.repeats();
        while sent.len() < target {
            let batches = match sent.repeats() > again {
                // On a busy machine the transfer was even slower, and the broker aborted the transaction: its records
                // are sent again, at full speed.
                true => 1_000,
                // Ten batches a second, and two when the target is close.
                false if sent.len() + 4 * batch < target => 10,
                false => 2,
            };
            test_broker.proxy.rule(slow(Some((batch * batches * 800) as u64)));
            let before = sent.len();
            sent.catch_up(Duration::from_millis(1));
            if sent.len() > before {
                again = sent.repeats();
            }
            instance.assert_runs();
            let is_in_time = began.elapsed() < Duration::from_secs(180);
            assert!(is_in_time, "{} of {target} rows:\n{}", sent.len(), instance.log());
        }
        instance.kill();
        sent.catch_up(Duration::from_millis(300));
        report.fact(&format!("killed_at_{thousandths}"), sent.len());
        in_the_middle += usize::from(sent.len() < rows);
    }
    // A busy machine may be too late for the last of the three kills.
    report.assert_happened("two kills before the last row", in_the_middle >= 2);
    test_broker.proxy.rule(Rules::default());
    let mut instance = world.start("a");
    output.wait_for(&Expected::compute(&world), Duration::from_secs(120), &mut [&mut instance]);
    sent.catch_up(Duration::from_secs(1));
    report.fact("rows", output.len());
    report.fact("repeats", output.repeats());
    report.fact("sent_again", sent.repeats());
    assert_eq!(output.len(), rows);
    // If it began from the start each time, it would send more than all rows together.
    assert!(
        sent.repeats() <= 3 * OUTBOX,
        "{} sent again: it started over\n{}",
        sent.repeats(),
        instance.log()
    );
    report.ok();
}
