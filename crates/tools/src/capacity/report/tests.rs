use super::html;
use crate::capacity::lag::Trend;
use crate::capacity::latency::Latencies;
use crate::capacity::oracle::Judgement;
use crate::capacity::result::{Limits, Machine, Report, SCHEMA, Sample, Settings, Step};
use crate::capacity::search::{Purpose, SearchResult};

/// Returns a trial at this rate of a processor that can handle 40,000/s.
fn step(number: usize, rate: f64, purpose: Purpose) -> Step {
    let over = (rate - 40_000.0).max(0.0);
    let mut close = Latencies::default();
    let mut ingest = Latencies::default();
    for draw in 0..4_000_u64 {
        let chance = (draw.wrapping_mul(2_654_435_761) % 10_000) as f64 / 10_000.0;
        let millis = 15.0 + 200.0 * chance + over * 0.1 * chance + if chance > 0.995 { 80.0 } else { 0.0 };
        close.record(std::time::Duration::from_secs_f64(millis / 1_000.0));
        ingest.record(std::time::Duration::from_secs_f64((4.0 + millis / 20.0) / 1_000.0));
    }
    let wave = |at: f64| 1.0 + 0.05 * (at * 7.0).sin();
    let sample = |quarter: u32| {
        let at = f64::from(quarter) / 4.0;
        Sample {
            at,
            offered: rate,
            achieved: rate.min(40_000.0) * wave(at),
            route_lag: 800.0 * wave(at * 1.3) + over * at,
            join_lag: 60.0 * wave(at),
            unsent: 20.0,
            memory: Some((180e6 * (1.0 - (-at / 4.0).exp()) + 6e7) as u64),
            cores: Some(rate.min(40_000.0) / 30_000.0),
            close_p50_ms: Some(115.0 * wave(at) + over * at / 500.0),
            close_max_ms: Some(215.0 * wave(at) + over * at / 300.0),
        }
    };
    let close = close.summary();
    Step {
        number,
        purpose: Some(purpose),
        rate,
        failures: if over > 0.0 {
            vec![format!("the lag grew by {over:.0} records/s")]
        } else {
            vec![]
        },
        offered: rate,
        achieved: rate.min(40_000.0),
        messages: (rate * 25.0) as u64,
        lag: Trend {
            slope: over,
            tolerance: rate / 200.0,
        },
        lag_max: 900.0 + over * 25.0,
        ingest: ingest.summary(),
        close,
        cpu_seconds: Some(20.0),
        cpu_seconds_per_million: Some(24.9),
        memory_peak: Some(241_000_000),
        state_bytes: 88_000_000,
        answer: Judgement {
            alerts: 120,
            pairs: 2_400,
            exact: Some(true),
            ..Judgement::default()
        },
        hold_from: 5.0,
        hold_to: 25.0,
        samples: (0..=100).map(sample).collect(),
        ..Step::default()
    }
}

/// Returns a realistic search.
pub(crate) fn report() -> Report {
    use Purpose::{Ramp, Repeat, Search};
    let rates = [
        (10_000.0, Ramp),
        (20_000.0, Ramp),
        (40_000.0, Ramp),
        (80_000.0, Ramp),
        (56_568.0, Search),
        (47_568.0, Search),
        (40_000.0, Repeat),
        (40_000.0, Repeat),
    ];
    let steps: Vec<Step> = rates
        .iter()
        .enumerate()
        .map(|(at, (rate, purpose))| step(at + 1, *rate, *purpose))
        .collect();
    let answer = steps.iter().map(|step| step.answer).reduce(Judgement::and);
    Report {
        schema: SCHEMA.to_owned(),
        version: "0.1.0".to_owned(),
        started: "2026-03-01T10:00:00Z".to_owned(),
        seconds: 312.0,
        interrupted: false,
        machine: Machine {
            cores: 8,
            cpu: "A <fast> CPU & more".to_owned(),
            memory: 32_000_000_000,
            system: "Linux 6.12".to_owned(),
            load: Some(0.12),
        },
        settings: Settings {
            shape: "search".to_owned(),
            broker: "127.0.0.1:9092".to_owned(),
            instances: 1,
            delivery: "at_least_once".to_owned(),
            seed: 7,
            records: "generated".to_owned(),
            record_size: 2_650.0,
            keyed_share: 0.03,
            policies: 100,
            alerts_per_second: 5.0,
            window: 2.0,
            partitions: 4,
            log_partitions: 8,
            watermark_interval_ms: 200.0,
            out_of_orderness_ms: 100.0,
            warm_up: 5.0,
            hold: 20.0,
            limits: Limits {
                p99_ms: 250.0,
                memory: 2_000_000_000,
            },
            precision: 0.05,
            kill_every: None,
            outage: None,
        },
        found: Some(SearchResult {
            rate: 40_000.0,
            low: 40_000.0,
            high: 40_000.0,
            runs: 3,
            bounded: true,
        }),
        answer: answer.unwrap_or_default(),
        steps,
    }
}

#[test]
fn the_page_shows_the_result() {
    let page = html(&report());
    for part in [
        "40,000 records/s",
        "median of 3 runs, 40,000 to 40,000",
        "Output exact: 19,200 pairs of 960 alerts",
        "the lag grew by 16568 records/s",
        "Saturation: achieved rate by offered rate",
        "Latency by percentile",
        "watermark",
        "Seed",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    assert!(page.contains("A &lt;fast&gt; CPU &amp; more"), "texts are escaped");
    // The test has plots of saturation, percentiles and latency. Each trial has plots of rate, lag, memory, CPU and
    // latency.
    assert_eq!(page.matches("<svg role=\"img\"").count(), 2 + 2 + 8 * 5);
    if let Ok(path) = std::env::var("ALERTTRAIL_TEST_PAGE") {
        std::fs::write(path, page).unwrap();
    }
}

#[test]
fn the_page_loads_nothing_and_defines_every_colour() {
    let page = html(&report());
    let beyond = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!beyond.contains(word), "{word}");
    }
    assert!(!page.contains("\"#01"), "a colour of the drawing is not one of the page");
    assert!(!page.contains("NaN") && !page.contains("\"inf"));
}

#[test]
fn wrong_output_and_interruptions_are_prominent() {
    let mut report = report();
    report.answer.exact = Some(false);
    report.answer.missing = 3;
    report.interrupted = true;
    let page = html(&report);
    assert!(page.contains("Output wrong: 3 missing"));
    assert!(page.contains("Interrupted"));
}

#[test]
fn a_page_can_be_created_from_incomplete_results() {
    let mut report = report();
    report.found = None;
    for steps in [vec![], vec![Step::default()], vec![Step::default(); 3]] {
        report.steps = steps;
        assert!(html(&report).contains("alerttrail capacity"));
    }
    report.steps = vec![step(1, 30_000.0, Purpose::Load)];
    report.settings.shape = "soak".to_owned();
    let page = html(&report);
    assert!(page.contains("soak: sustained") && !page.contains("<h2>Saturation"));
}

#[test]
fn the_document_is_read_back_as_it_was_written() {
    let mut report = report();
    for step in &mut report.steps {
        // Numbers with few digits.
        step.samples.truncate(1);
        step.samples.iter_mut().for_each(|sample| sample.cores = Some(0.5));
    }
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.starts_with("{\"schema\":\"alerttrail.capacity/1\""));
    let read = serde_json::from_str::<Report>(&text).unwrap();
    assert!(read == report, "another document came back");
}
