//! A broker that dies, freezes, or throttles its clients.

use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::kills::{OUTBOX, PARTITIONS, configure, send_large_alert};
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode, seed, size};
use crate::rng::Rng;
use crate::support::{Instance, World};
use crate::test_broker::test_broker;

in_every_mode!(c01_broker_killed, c02_broker_frozen, c05_throttled_by_quotas);

fn c01_broker_killed(mode: Mode) {
    let Some(test_broker) = test_broker() else { return };
    let mut report = Report::new("C1", mode);
    let (seed, kills) = (seed(), size("BROKER_KILLS", 2));
    report.fact("seed", seed);
    let mut rng = Rng::new(seed, 3);
    let mut world = test_broker.world("c01");
    world.served = world.broker.clone();
    configure(&mut world, mode);
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let feed = Feed::start(&world, seed, 300);
    let has_lost_transactions = || mode == Mode::ExactlyOnce && test_broker.has_lost_transactions();
    let progress = |output: &mut Output, instance: &mut Instance| {
        let before = output.len();
        output.wait("progress", Duration::from_secs(90), &mut [instance], |output| {
            output.len() > before + 50 || has_lost_transactions()
        });
    };
    for kill in 0..=kills {
        progress(&mut output, &mut instance);
        if has_lost_transactions() {
            report.fact("kills", kill);
            return report.skip("the broker lost the end of a transaction");
        }
        if kill < kills {
            test_broker.kill();
            std::thread::sleep(Duration::from_millis(u64::try_from(rng.between(500, 6_000)).unwrap()));
            instance.assert_runs();
            test_broker.up();
        }
    }
    report.fact("kills", kills);
    report.fact("messages", feed.finish());
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(120), &mut [&mut instance]);
    report.fact("pairs", expected.len());
    report.fact("repeats", output.repeats());
    // A session that ends meanwhile may repeat the outputs of each partition that were not acknowledged, but no more.
    assert!(output.repeats() <= kills * PARTITIONS * OUTBOX, "{}", instance.log());
    report.ok();
}

/// A broker that continues after a freeze takes some time to end the transactions that were open. Readers of committed
/// records wait for that.
const RESUME_TIMEOUT: Duration = Duration::from_secs(180);

fn c02_broker_frozen(mode: Mode) {
    let Some(test_broker) = test_broker() else { return };
    let mut report = Report::new("C2", mode);
    let seconds = size("FROZEN_SECONDS", 20);
    let mut world = test_broker.world("c02");
    configure(&mut world, mode);
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let feed = Feed::start(&world, seed(), 300);
    output.wait("work", Duration::from_secs(60), &mut [&mut instance], |output| {
        output.len() > 50
    });
    report.assert_happened("a stop of the broker", test_broker.signal("STOP"));
    std::thread::sleep(Duration::from_secs(1));
    output.catch_up(Duration::from_millis(500));
    let (before, began) = (output.len(), Instant::now());
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        output.catch_up(Duration::from_millis(200));
        instance.assert_runs();
    }
    report.assert_happened("a broker without responses", output.len() == before);
    assert!(test_broker.signal("CONT"));
    output.wait("progress after the freeze", RESUME_TIMEOUT, &mut [&mut instance], |output| {
        output.len() > before + 50
    });
    report.fact("frozen_seconds", seconds);
    report.fact("messages", feed.finish());
    let expected = Expected::compute(&world);
    output.wait_for(&expected, RESUME_TIMEOUT, &mut [&mut instance]);
    report.fact("pairs", expected.len());
    report.fact("repeats", output.repeats());
    assert!(output.repeats() <= PARTITIONS * OUTBOX, "{}", instance.log());
    report.ok();
}

fn quota(world: &World, stage: &str, setting: &str) {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/broker");
    let output = std::process::Command::new(script)
        .args([
            "tool",
            "kafka.admin.ConfigCommand",
            "--bootstrap-server",
            &world.broker,
            "--alter",
        ])
        .args(["--add-config", setting, "--entity-type", "clients", "--entity-name"])
        .arg(format!("{}-{stage}", world.name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn c05_throttled_by_quotas(mode: Mode) {
    const ROWS: usize = 1_300;
    let Some(mut world) = World::new("c05") else { return };
    let mut report = Report::new("C5", mode);
    configure(&mut world, mode);
    // A quota delays the request after the one that exceeded it, so there must be many requests.
    world.set("kafka.properties", "\"batch.num.messages\" = \"50\"");
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let mut time_until_rows = |world: &mut World, name: &str| {
        let began = Instant::now();
        send_large_alert(world, name, ROWS);
        output.wait("rows", Duration::from_secs(120), &mut [&mut instance], |output| {
            output.pairs_of(name) == ROWS
        });
        began.elapsed()
    };
    let free = time_until_rows(&mut world, "free");
    quota(&world, "join", "producer_byte_rate=60000");
    quota(&world, "route", "consumer_byte_rate=30000");
    let throttled = time_until_rows(&mut world, "held");
    report.fact("free_ms", free.as_millis());
    report.fact("throttled_ms", throttled.as_millis());
    report.assert_happened("throttling", throttled > free + Duration::from_secs(4));
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(60), &mut [&mut instance]);
    report.fact("repeats", output.repeats());
    assert_eq!(output.repeats(), 0);
    report.ok();
}
