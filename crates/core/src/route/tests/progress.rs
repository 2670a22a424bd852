use super::super::*;

const IDLENESS: Idleness = Idleness {
    timeout: Duration::from_millis(100),
    out_of_orderness: Duration::from_nanos(500),
};

fn at(millis: i64) -> WallTime {
    WallTime(millis)
}

fn idle(progress: &mut Progress, now: i64) -> bool {
    progress.source_watermarks(at(now), IDLENESS)[0].idle
}

#[test]
fn the_watermark_of_a_partition_is_its_greatest_time_less_the_out_of_orderness() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 0, at(0));
    assert_eq!(progress.source_watermarks(at(0), IDLENESS)[0].time, None);
    for ticks in [100, 90] {
        let read = progress.read("t", 0, 1).unwrap();
        read.activities(Some(EventTime::from_ticks(ticks)), at(0));
    }
    assert_eq!(
        progress.source_watermarks(at(0), IDLENESS)[0].time,
        Some(EventTime::from_ticks(95))
    );
}

#[test]
fn the_watermark_is_the_least_of_those_that_are_not_idle() {
    let mut progress = Progress::default();
    assert_eq!(progress.watermark(IDLENESS), None);
    for (partition, ticks) in [(0, 100), (1, 50)] {
        progress.assign("t", partition, 0, at(0));
        assert_eq!(
            progress.watermark(IDLENESS),
            None,
            "partition {partition} has reported nothing yet"
        );
        let read = progress.read("t", partition, 1).unwrap();
        read.activities(Some(EventTime::from_ticks(ticks)), at(0));
    }
    assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(45)));
    progress.ended_at("t", 1, 1, at(890));
    progress.ended_at("t", 1, 1, at(950));
    progress.read("t", 0, 2).unwrap().activities(None, at(1_000));
    progress.source_watermarks(at(1_000), IDLENESS);
    assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(95)));
    progress.read("t", 1, 2).unwrap().activities(None, at(1_000));
    assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(45)));
}

#[test]
fn dead_letters_are_told_once() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 0, at(0));
    progress.read("t", 0, 1).unwrap().rejected(2);
    progress.read("t", 0, 2).unwrap().rejected(1);
    let rejected = |progress: &mut Progress| progress.source_watermarks(at(0), IDLENESS)[0].rejected;
    assert_eq!(
        (rejected(&mut progress), rejected(&mut progress)),
        (3, 3),
        "nobody was told yet"
    );
    progress.mark_sent();
    assert_eq!(rejected(&mut progress), 0);
}

#[test]
fn silence_alone_is_no_proof_of_idleness() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 0, at(0));
    assert!(!idle(&mut progress, 1_000), "nobody has looked where the partition ends");
    progress.ended_at("t", 0, 7, at(950));
    assert!(!idle(&mut progress, 1_000), "seven records have not been read");
    progress.read("t", 0, 7).unwrap();
    assert!(idle(&mut progress, 1_000));
    assert!(!idle(&mut progress, 1_051), "the end is not known for the last 100 ms");
}

#[test]
fn records_that_came_since_do_not_matter() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 7, at(0));
    progress.ended_at("t", 0, 7, at(910));
    progress.ended_at("t", 0, 9, at(990));
    assert!(idle(&mut progress, 1_000));
}

#[test]
fn a_partition_that_comes_back_is_as_silent_as_before() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 0, at(0));
    progress
        .read("t", 0, 7)
        .unwrap()
        .activities(Some(EventTime::from_ticks(100)), at(5));
    let comes_back = |progress: &mut Progress, position| {
        progress.revoke("t", 0);
        progress.assign("t", 0, position, at(200));
        assert!(!idle(progress, 201), "its log-end offset is unknown");
        progress.ended_at("t", 0, position, at(201));
        idle(progress, 201)
    };
    assert!(comes_back(&mut progress, 7));
    assert_eq!(
        progress.source_watermarks(at(201), IDLENESS)[0].time,
        Some(EventTime::from_ticks(95))
    );
    assert!(comes_back(&mut progress, 4), "records are read again");
    assert!(
        !comes_back(&mut progress, 8),
        "another router has read a record, maybe an activity"
    );
}

#[test]
fn an_activity_ends_idleness() {
    let mut progress = Progress::default();
    progress.assign("t", 0, 0, at(0));
    progress.ended_at("t", 0, 0, at(95));
    assert!(idle(&mut progress, 100));
    progress.read("t", 0, 1).unwrap().activities(None, at(100));
    assert!(!idle(&mut progress, 150));
}
