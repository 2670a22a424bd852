//! Connections that lose a response, are closed, half open, or slow.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::kills::{OUTBOX, PARTITIONS, members};
use crate::lab::{Bench, lab};
use crate::membership::joined;
use crate::oracle::{Expected, Output};
use crate::proxy::{END_TXN, PRODUCE, Rules};
use crate::support::{Instance, World};
use crate::trial::{Mode, Trial, in_every_mode, seed, size};

in_every_mode!(
    c08_response_lost_behind_the_append,
    c09_idle_connections_closed,
    c10_slow_sink,
    c11_half_open_and_reset
);

/// A running instance whose connections go through the proxy.
struct Behind {
    trial: Trial,
    lab: Bench,
    world: World,
    output: Output,
    instance: Instance,
    feed: Feed,
}

impl Behind {
    fn proxy(id: &'static str, mode: Mode) -> Option<Self> {
        let lab = lab()?;
        let trial = Trial::new(id, mode);
        let mut world = lab.world(&id.to_lowercase());
        members(&mut world, mode);
        world.set("kafka.properties", "\"max.poll.interval.ms\" = \"15000\"");
        let mut output = Output::of(&world, mode);
        let mut instance = world.start("a");
        instance.wait_for_log(" joining ");
        let feed = Feed::start(&world, seed(), 300);
        output.wait("work", Duration::from_secs(60), &mut [&mut instance], |output| {
            output.len() > 50
        });
        Some(Self {
            trial,
            lab,
            world,
            output,
            instance,
            feed,
        })
    }

    fn progress(&mut self) {
        let before = self.output.len();
        self.output
            .wait("progress", Duration::from_secs(90), &mut [&mut self.instance], |output| {
                output.len() > before + 50
            });
    }

    /// Asserts that the result is correct and that at most `most_repeats` records came again, and ends the trial.
    fn ok(mut self, most_repeats: usize) {
        self.lab.proxy.rule(Rules::default());
        self.progress();
        self.trial.fact("messages", self.feed.finish());
        let expected = Expected::of(&self.world);
        self.output
            .wait_for(&expected, Duration::from_secs(120), &mut [&mut self.instance]);
        self.trial.fact("pairs", expected.len());
        self.trial.fact("repeats", self.output.repeats());
        assert!(
            self.output.repeats() <= most_repeats,
            "{} repeats\n{}",
            self.output.repeats(),
            self.instance.log()
        );
        self.trial.ok();
    }
}

fn c08_response_lost_behind_the_append(mode: Mode) {
    let Some(mut test) = Behind::proxy("C8", mode) else { return };
    let cut = |test: &Behind| test.lab.proxy.counts().cut.load(Ordering::SeqCst);
    let before = cut(&test);
    let mut losses = vec![("-join", PRODUCE), ("-route", PRODUCE), ("-join", PRODUCE)];
    if mode == Mode::ExactlyOnce {
        losses.push(("-join", END_TXN));
    }
    // One response at a time: everything else in flight on the same connection is lost as well.
    for (client, request) in losses.repeat(2) {
        let (so_far, began) = (cut(&test), Instant::now());
        test.lab.proxy.rule(Rules {
            client: client.to_owned(),
            cut_responses: (request, 1),
            ..Rules::default()
        });
        while cut(&test) == so_far && began.elapsed() < Duration::from_secs(30) {
            test.output.catch_up(Duration::from_millis(50));
            test.instance.assert_runs();
        }
        test.trial.proves("the loss of a response", cut(&test) > so_far);
    }
    let cut = cut(&test) - before;
    test.trial.fact("responses_cut", cut);
    test.ok(0);
}

fn c09_idle_connections_closed(mode: Mode) {
    let Some(mut test) = Behind::proxy("C9", mode) else { return };
    let before = test.lab.proxy.counts().closed_idle.load(Ordering::SeqCst);
    test.lab.proxy.rule(Rules {
        close_idle: Some(Duration::from_millis(300)),
        ..Rules::default()
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        test.output.catch_up(Duration::from_millis(100));
        test.instance.assert_runs();
    }
    test.progress();
    let closed = test.lab.proxy.counts().closed_idle.load(Ordering::SeqCst) - before;
    test.trial.fact("closed", closed);
    test.trial.proves("a closed connection", closed > 0);
    test.ok(0);
}

/// Returns the resident memory of the process in bytes.
fn resident(instance: &Instance) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

fn c10_slow_sink(mode: Mode) {
    const MOST: u64 = 400 << 20;
    let Some(mut test) = Behind::proxy("C10", mode) else { return };
    let seconds = size("SLOW_SECONDS", 25);
    let slowed = test.lab.proxy.counts().slowed_bytes.load(Ordering::SeqCst);
    test.lab.proxy.rule(Rules {
        client: "-join".to_owned(),
        bytes_per_second: Some(50_000),
        ..Rules::default()
    });
    // Reads the records that were already in flight.
    test.output.catch_up(Duration::from_millis(500));
    let (taken_on, before) = (joined(&test.instance), test.output.len());
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        test.output.catch_up(Duration::from_millis(200));
        test.instance.assert_runs();
        most = most.max(resident(&test.instance));
    }
    let slowed = test.lab.proxy.counts().slowed_bytes.load(Ordering::SeqCst) - slowed;
    test.trial.fact("slow_seconds", seconds);
    test.trial.fact("slow_bytes", slowed);
    test.trial.fact("most_memory_mb", most >> 20);
    test.trial.proves(
        "a sink that holds back",
        slowed > 500_000 && slowed < 250_000 * seconds as u64,
    );
    assert!(most < MOST, "{most} bytes of memory");
    test.trial.fact("rows_meanwhile", test.output.len() - before);
    assert!(
        test.output.len() > before,
        "a slow sink is a stop: nothing went out in {seconds} s\n{}",
        test.instance.log()
    );
    test.lab.proxy.rule(Rules::default());
    test.progress();
    // The wait was longer than max.poll.interval.ms: an instance that waits for the sink must stay in its group.
    assert_eq!(
        joined(&test.instance),
        taken_on,
        "it fell out of its group:\n{}",
        test.instance.log()
    );
    test.ok(0);
}

fn c11_half_open_and_reset(mode: Mode) {
    let Some(mut test) = Behind::proxy("C11", mode) else { return };
    let dropped = test.lab.proxy.counts().dropped.load(Ordering::SeqCst);
    test.lab.proxy.rule(Rules {
        drop: true,
        ..Rules::default()
    });
    std::thread::sleep(Duration::from_secs(8));
    test.instance.assert_runs();
    test.lab.proxy.reset();
    test.lab.proxy.rule(Rules {
        delay: Duration::from_millis(50),
        ..Rules::default()
    });
    test.progress();
    let dropped = test.lab.proxy.counts().dropped.load(Ordering::SeqCst) - dropped;
    let reset = test.lab.proxy.counts().reset.load(Ordering::SeqCst);
    test.trial.fact("held_frames", dropped);
    test.trial.fact("reset", reset);
    test.trial.proves("a silent network, and a reset", dropped > 0 && reset > 0);
    // The instance was silent for longer than its session, so it is no longer a member of the group.
    test.ok(PARTITIONS * OUTBOX);
}
