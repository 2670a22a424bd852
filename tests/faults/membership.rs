//! Members that freeze and resume.

use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::kills::configure;
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode, seed, size};
use crate::rng::Rng;
use crate::support::{Instance, World};

in_every_mode!(d02_frozen_beyond_its_session);

/// Returns how often the instance was assigned a partition of the repartition topic.
pub(crate) fn joined(instance: &Instance) -> usize {
    instance.log().lines().filter(|line| line.contains(" joining ")).count()
}

fn d02_frozen_beyond_its_session(mode: Mode) {
    let Some(mut world) = World::new("d02") else { return };
    let mut report = Report::new("D2", mode);
    let (seed, freezes) = (seed(), size("FREEZES", 1));
    report.fact("seed", seed);
    configure(&mut world, mode);
    let mut rng = Rng::new(seed, 2);
    let mut output = Output::open(&world, mode);
    let mut instances: Vec<Instance> = ["a", "b", "c"].into_iter().map(|name| world.start(name)).collect();
    for instance in &mut instances {
        // There are three partitions and three instances: each has one, or will have one.
        instance.wait_for_log(" joining ");
    }
    let feed = Feed::start(&world, seed, 300);
    for _ in 0..freezes {
        let before = output.len();
        let mut all: Vec<&mut Instance> = instances.iter_mut().collect();
        output.wait("work", Duration::from_secs(60), &mut all, |output| output.len() > before + 50);
        std::thread::sleep(Duration::from_millis(u64::try_from(rng.between(0, 500)).unwrap()));
        let frozen = rng.below(3);
        let others_before: usize = (0..3).filter(|&n| n != frozen).map(|n| joined(&instances[n])).sum();
        let joins_before = joined(&instances[frozen]);
        instances[frozen].signal("STOP");
        let began = Instant::now();
        // Twice the session, and until the others have the partition of the frozen instance.
        let taken_over = loop {
            output.catch_up(Duration::from_millis(100));
            let others_now: usize = (0..3).filter(|&n| n != frozen).map(|n| joined(&instances[n])).sum();
            if began.elapsed() > Duration::from_secs(12)
                && (others_now > others_before || began.elapsed() > Duration::from_secs(60))
            {
                break others_now > others_before;
            }
        };
        report.assert_happened("a takeover of the frozen instance's partition", taken_over);
        let during = output.len();
        let mut others: Vec<&mut Instance> = instances
            .iter_mut()
            .enumerate()
            .filter_map(|(n, instance)| (n != frozen).then_some(instance))
            .collect();
        output.wait("progress without it", Duration::from_secs(60), &mut others, |output| {
            output.len() > during
        });
        instances[frozen].signal("CONT");
        let began = Instant::now();
        while joined(&instances[frozen]) == joins_before {
            instances[frozen].assert_runs();
            output.catch_up(Duration::from_millis(100));
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the resumed instance gets no partition"
            );
        }
    }
    report.fact("freezes", freezes);
    report.fact("messages", feed.finish());
    let expected = Expected::compute(&world);
    let mut all: Vec<&mut Instance> = instances.iter_mut().collect();
    output.wait_for(&expected, Duration::from_secs(120), &mut all);
    report.fact("pairs", expected.len());
    report.fact("repeats", output.repeats());
    report.ok();
}
