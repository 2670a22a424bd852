//! Connections that lose a response, are closed, half open, or slow.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::kills::{OUTBOX, PARTITIONS, configure};
use crate::membership::joined;
use crate::oracle::{Expected, Output};
use crate::proxy::{END_TXN, PRODUCE, Rules};
use crate::report::{Mode, Report, in_every_mode, seed, size};
use crate::support::{Instance, World};
use crate::test_broker::{TestBrokerGuard, test_broker};

in_every_mode!(
    c08_response_lost_after_the_append,
    c09_idle_connections_closed,
    c10_slow_sink,
    c11_half_open_and_reset
);

/// A running instance whose connections go through the proxy.
struct ProxiedInstance {
    report: Report,
    test_broker: TestBrokerGuard,
    world: World,
    output: Output,
    instance: Instance,
    feed: Feed,
}

impl ProxiedInstance {
    fn start(id: &'static str, mode: Mode) -> Option<Self> {
        let test_broker = test_broker()?;
        let report = Report::new(id, mode);
        let mut world = test_broker.world(&id.to_lowercase());
        configure(&mut world, mode);
        world.set("kafka.properties", "\"max.poll.interval.ms\" = \"15000\"");
        let mut output = Output::open(&world, mode);
        let mut instance = world.start("a");
        instance.wait_for_log(" joining ");
        let feed = Feed::start(&world, seed(), 300);
        output.wait("work", Duration::from_secs(60), &mut [&mut instance], |output| {
            output.len() > 50
        });
        Some(Self {
            report,
            test_broker,
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

    /// Asserts that the result is correct and that at most `max_repeats` records were repeated, and ends the test.
    fn ok(mut self, max_repeats: usize) {
        self.test_broker.proxy.rule(Rules::default());
        self.progress();
        self.report.fact("messages", self.feed.finish());
        let expected = Expected::compute(&self.world);
        self.output
            .wait_for(&expected, Duration::from_secs(120), &mut [&mut self.instance]);
        self.report.fact("pairs", expected.len());
        self.report.fact("repeats", self.output.repeats());
        assert!(
            self.output.repeats() <= max_repeats,
            "{} repeats\n{}",
            self.output.repeats(),
            self.instance.log()
        );
        self.report.ok();
    }
}

fn c08_response_lost_after_the_append(mode: Mode) {
    let Some(mut test) = ProxiedInstance::start("C8", mode) else {
        return;
    };
    let cut = |test: &ProxiedInstance| test.test_broker.proxy.counts().cut.load(Ordering::SeqCst);
    let before = cut(&test);
    let mut losses = vec![("-join", PRODUCE), ("-route", PRODUCE), ("-join", PRODUCE)];
    if mode == Mode::ExactlyOnce {
        losses.push(("-join", END_TXN));
    }
    // One response at a time: everything else on the same connection is lost as well.
    for (client, request) in losses.repeat(2) {
        let (so_far, began) = (cut(&test), Instant::now());
        test.test_broker.proxy.rule(Rules {
            client: client.to_owned(),
            cut_responses: (request, 1),
            ..Rules::default()
        });
        while cut(&test) == so_far && began.elapsed() < Duration::from_secs(30) {
            test.output.catch_up(Duration::from_millis(50));
            test.instance.assert_runs();
        }
        test.report.assert_happened("the loss of a response", cut(&test) > so_far);
    }
    let cut = cut(&test) - before;
    test.report.fact("responses_cut", cut);
    test.ok(0);
}

fn c09_idle_connections_closed(mode: Mode) {
    let Some(mut test) = ProxiedInstance::start("C9", mode) else {
        return;
    };
    let before = test.test_broker.proxy.counts().closed_idle.load(Ordering::SeqCst);
    test.test_broker.proxy.rule(Rules {
        close_idle: Some(Duration::from_millis(300)),
        ..Rules::default()
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        test.output.catch_up(Duration::from_millis(100));
        test.instance.assert_runs();
    }
    test.progress();
    let closed = test.test_broker.proxy.counts().closed_idle.load(Ordering::SeqCst) - before;
    test.report.fact("closed", closed);
    test.report.assert_happened("a closed connection", closed > 0);
    test.ok(0);
}

/// Returns the resident memory of the process in bytes.
fn resident(instance: &Instance) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

fn c10_slow_sink(mode: Mode) {
    const MAX_MEMORY: u64 = 400 << 20;
    let Some(mut test) = ProxiedInstance::start("C10", mode) else {
        return;
    };
    let seconds = size("SLOW_SECONDS", 25);
    let slowed = test.test_broker.proxy.counts().slowed_bytes.load(Ordering::SeqCst);
    test.test_broker.proxy.rule(Rules {
        client: "-join".to_owned(),
        bytes_per_second: Some(50_000),
        ..Rules::default()
    });
    // Reads the records that were already being sent.
    test.output.catch_up(Duration::from_millis(500));
    let (joins_before, before) = (joined(&test.instance), test.output.len());
    let (began, mut peak) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds as u64) {
        test.output.catch_up(Duration::from_millis(200));
        test.instance.assert_runs();
        peak = peak.max(resident(&test.instance));
    }
    let slowed = test.test_broker.proxy.counts().slowed_bytes.load(Ordering::SeqCst) - slowed;
    test.report.fact("slow_seconds", seconds);
    test.report.fact("slow_bytes", slowed);
    test.report.fact("peak_memory_mb", peak >> 20);
    test.report
        .assert_happened("a slow sink", slowed > 500_000 && slowed < 250_000 * seconds as u64);
    assert!(peak < MAX_MEMORY, "{peak} bytes of memory");
    test.report.fact("rows_meanwhile", test.output.len() - before);
    assert!(
        test.output.len() > before,
        "a slow sink stops the output: no rows in {seconds} s\n{}",
        test.instance.log()
    );
    test.test_broker.proxy.rule(Rules::default());
    test.progress();
    // The wait was longer than max.poll.interval.ms: an instance that waits for the sink must stay in its group.
    assert_eq!(
        joined(&test.instance),
        joins_before,
        "it lost its membership in the group:\n{}",
        test.instance.log()
    );
    test.ok(0);
}

fn c11_half_open_and_reset(mode: Mode) {
    let Some(mut test) = ProxiedInstance::start("C11", mode) else {
        return;
    };
    let dropped = test.test_broker.proxy.counts().dropped.load(Ordering::SeqCst);
    test.test_broker.proxy.rule(Rules {
        drop: true,
        ..Rules::default()
    });
    std::thread::sleep(Duration::from_secs(8));
    test.instance.assert_runs();
    test.test_broker.proxy.reset();
    test.test_broker.proxy.rule(Rules {
        delay: Duration::from_millis(50),
        ..Rules::default()
    });
    test.progress();
    let dropped = test.test_broker.proxy.counts().dropped.load(Ordering::SeqCst) - dropped;
    let reset = test.test_broker.proxy.counts().reset.load(Ordering::SeqCst);
    test.report.fact("dropped_frames", dropped);
    test.report.fact("reset", reset);
    test.report
        .assert_happened("a network without traffic, and a reset", dropped > 0 && reset > 0);
    // The instance sent nothing for longer than its session, so it is no longer a member of the group.
    test.ok(PARTITIONS * OUTBOX);
}
