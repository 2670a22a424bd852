//! A broker that dies, freezes, or throttles its clients.

use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::kills::{OUTBOX, PARTITIONS, members, one_large_answer};
use crate::lab::lab;
use crate::oracle::{Expected, Output};
use crate::rng::Rng;
use crate::support::World;
use crate::trial::{Mode, Trial, in_every_mode, seed, size};

in_every_mode!(c01_broker_killed, c02_broker_frozen, c05_throttled_by_quotas);

fn c01_broker_killed(mode: Mode) {
    let Some(lab) = lab() else { return };
    let mut trial = Trial::new("C1", mode);
    let (seed, kills) = (seed(), size("BROKER_KILLS", 2));
    trial.fact("seed", seed);
    let mut rng = Rng::new(seed, 3);
    let mut world = lab.world("c01");
    world.served = world.broker.clone();
    members(&mut world, mode);
    let mut output = Output::of(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let feed = Feed::start(&world, seed, 300);
    for _ in 0..kills {
        let before = output.len();
        output.wait("progress", Duration::from_secs(90), &mut [&mut instance], |output| {
            output.len() > before + 50
        });
        lab.kill();
        std::thread::sleep(Duration::from_millis(u64::try_from(rng.between(500, 6_000)).unwrap()));
        instance.assert_runs();
        lab.up();
    }
    let before = output.len();
    output.wait(
        "progress behind the last",
        Duration::from_secs(90),
        &mut [&mut instance],
        |output| output.len() > before + 50,
    );
    trial.fact("kills", kills);
    trial.fact("messages", feed.finish());
    let expected = Expected::of(&world);
    output.wait_for(&expected, Duration::from_secs(120), &mut [&mut instance]);
    trial.fact("pairs", expected.len());
    trial.fact("repeats", output.repeats());
    // A session that ends meanwhile may repeat the outputs that each partition had in flight, but no more.
    assert!(output.repeats() <= kills * PARTITIONS * OUTBOX, "{}", instance.log());
    trial.ok();
}

/// A broker that thaws ends the transactions that were open when it froze after some time. Readers of committed records
/// wait for that.
const THAWED: Duration = Duration::from_secs(180);

fn c02_broker_frozen(mode: Mode) {
    let Some(lab) = lab() else { return };
    let mut trial = Trial::new("C2", mode);
    let seconds = size("FROZEN_SECONDS", 20);
    let mut world = lab.world("c02");
    members(&mut world, mode);
    let mut output = Output::of(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let feed = Feed::start(&world, seed(), 300);
    output.wait("work", Duration::from_secs(60), &mut [&mut instance], |output| {
        output.len() > 50
    });
    trial.proves("a stop of the broker", lab.signal("STOP"));
    std::thread::sleep(Duration::from_secs(1));
    output.catch_up(Duration::from_millis(500));
    let (before, began) = (output.len(), Instant::now());
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        output.catch_up(Duration::from_millis(200));
        instance.assert_runs();
    }
    trial.proves("silence of the broker", output.len() == before);
    assert!(lab.signal("CONT"));
    output.wait("progress behind it", THAWED, &mut [&mut instance], |output| {
        output.len() > before + 50
    });
    trial.fact("frozen_seconds", seconds);
    trial.fact("messages", feed.finish());
    let expected = Expected::of(&world);
    output.wait_for(&expected, THAWED, &mut [&mut instance]);
    trial.fact("pairs", expected.len());
    trial.fact("repeats", output.repeats());
    assert!(output.repeats() <= PARTITIONS * OUTBOX, "{}", instance.log());
    trial.ok();
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
    let mut trial = Trial::new("C5", mode);
    members(&mut world, mode);
    // A quota delays the request after the one that exceeded it, so there must be many requests.
    world.set("kafka.properties", "\"batch.num.messages\" = \"50\"");
    let mut output = Output::of(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    let mut answer = |world: &mut World, name: &str| {
        let began = Instant::now();
        one_large_answer(world, name, ROWS);
        output.wait("answer", Duration::from_secs(120), &mut [&mut instance], |output| {
            output.pairs_of(name) == ROWS
        });
        began.elapsed()
    };
    let free = answer(&mut world, "free");
    quota(&world, "join", "producer_byte_rate=60000");
    quota(&world, "route", "consumer_byte_rate=30000");
    let held = answer(&mut world, "held");
    trial.fact("free_ms", free.as_millis());
    trial.fact("throttled_ms", held.as_millis());
    trial.proves("throttling", held > free + Duration::from_secs(4));
    let expected = Expected::of(&world);
    output.wait_for(&expected, Duration::from_secs(60), &mut [&mut instance]);
    trial.fact("repeats", output.repeats());
    assert_eq!(output.repeats(), 0);
    trial.ok();
}
