//! Measures what the HTTP API costs the data path, and how fast the API responds at the same time.
//!
//! `cargo bench --bench api -- --bootstrap-servers ADDRESS`, with a broker from `scripts/broker up`. Generated traffic
//! with many alerts is in the broker. A processor reads the alerts; then, started again, it reads the activities as
//! fast as it can. From the first tenth of the activities to the last, half-second turns alternate in the order alone,
//! requests, requests, alone, so that other load on the machine affects both kinds. In a turn with requests, one client
//! requests `GET /api/v1/alerts/{id}` for one alert after another.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]
#![expect(clippy::disallowed_methods, reason = "it measures by the clock")]
#![expect(clippy::print_stdout, reason = "it is a program of its own")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use serde_json::Value;

/// The time after which anything counts as hung.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The interval at which the bench checks the processor's progress.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Parser)]
struct Args {
    /// The broker
    #[arg(long)]
    bootstrap_servers: String,
    /// The program that is measured
    #[arg(long, default_value = env!("CARGO_BIN_EXE_alerttrail"))]
    binary: PathBuf,
    /// Activities that are read in each run
    #[arg(long, default_value_t = 1_000_000)]
    activities: u64,
    /// Alerts that the processor stores
    #[arg(long, default_value_t = 100_000)]
    alerts: u64,
    /// Rounds, each with its own processor, log and state
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of a turn, with requests or without, in milliseconds
    #[arg(long, default_value_t = 500)]
    turn: u64,
    /// Pause of the client between a response and its next request, in milliseconds
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// Address at which the processor listens
    #[arg(long, default_value = "127.0.0.1:18686")]
    listen: String,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// The topics and files of this bench.
struct Bench {
    args: Args,
    folder: tempfile::TempDir,
    /// The prefix of its topics.
    name: String,
    ids: Arc<[String]>,
    /// The number of requests so far: the next client continues after them.
    requests: Arc<AtomicUsize>,
}

impl Bench {
    fn new(args: Args) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self {
            name: format!("api-{}", std::process::id()),
            args,
            folder,
            ids: Arc::default(),
            requests: Arc::default(),
        };
        let data = bench.folder.path().join("data");
        let (activities, alerts) = (bench.args.activities.to_string(), bench.args.alerts.to_string());
        // One message for each alert, so that the number of messages read is the number of stored alerts.
        let plain = ["--alert-updates", "0", "--duplicates", "0", "--malformed", "0"];
        let generate = [
            "generate",
            "--activities",
            &activities,
            "--alerts",
            &alerts,
            "--output",
            text(&data),
        ];
        bench.call(&[&generate[..], &plain].concat());
        bench.ids = ids(&data.join("securityalert.jsonl"));
        let config = bench.configure("load", &["activities", "alerts"]);
        bench.call(&["topics", "create", "--config", text(&config), "--with-inputs"]);
        for (file, table) in [("cloudappevents.jsonl", "activities"), ("securityalert.jsonl", "alerts")] {
            let (file, topic) = (data.join(file), format!("{}-{table}", bench.name));
            let servers = bench.args.bootstrap_servers.as_str();
            bench.call(&[
                "replay",
                "--bootstrap-servers",
                servers,
                "--input",
                text(&file),
                "--topic",
                &topic,
            ]);
        }
        std::fs::remove_dir_all(data).unwrap();
        bench
    }

    fn call(&self, arguments: &[&str]) {
        let output = Command::new(&self.args.binary).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Writes a configuration that reads these topics, with its own state, log and output.
    fn configure(&self, run: &str, tables: &[&str]) -> PathBuf {
        let (name, servers, listen) = (&self.name, &self.args.bootstrap_servers, &self.args.listen);
        let path = self.folder.path().join(format!("{run}.toml"));
        let state = self.folder.path().join(format!("state-{run}"));
        let topics: Vec<String> = tables.iter().map(|table| format!("\"{name}-{table}\"")).collect();
        let config = format!(
            r#"
[application]
id = "{name}-{run}"
[kafka]
bootstrap_servers = "{servers}"
[input]
topics = [{}]
[state]
dir = "{}"
retention = "3650d"
[watermark]
idle_timeout = "5s"
[output]
topic = "{name}-{run}-output"
dead_letter_topic = "{name}-{run}-dead"
[http]
listen = "{listen}"
"#,
            topics.join(", "),
            state.display()
        );
        std::fs::write(&path, config).unwrap();
        path
    }

    /// Reads all activities once, in turns with and without a client that sends requests all the time.
    fn run(&self, round: u32) -> Run {
        let name = round.to_string();
        let config = self.configure(&name, &["alerts"]);
        self.call(&["topics", "create", "--config", text(&config)]);
        let processor = self.start(&config);
        self.wait("all alerts to be stored", || {
            let stored = self.count("alerttrail_join_records_total{outcome=\"alert_version\"");
            (stored >= self.args.alerts).then_some(())
        });
        processor.stop();
        let processor = self.start(&self.configure(&name, &["activities", "alerts"]));
        let share = |percent: u64| self.args.activities * percent / 100;
        self.wait("the activities to be read", || (self.activities() >= share(10)).then_some(()));
        let mut run = Run::default();
        'read: loop {
            // Four turns count together or not at all: the rate falls as the state grows, and this must affect both
            // kinds equally.
            let [mut alone, mut with_requests] = [Turns::default(), Turns::default()];
            for has_client in [false, true, true, false] {
                let before = (Instant::now(), self.activities());
                let client = has_client.then(|| Client::start(self));
                std::thread::sleep(Duration::from_millis(self.args.turn));
                if let Some(response_times) = client.map(Client::stop) {
                    run.response_times.add(response_times).unwrap();
                }
                let after = (Instant::now(), self.activities());
                if after.1 > share(90) {
                    break 'read;
                }
                let turns = if has_client { &mut with_requests } else { &mut alone };
                turns.add(&Turns {
                    activities: after.1 - before.1,
                    seconds: after.0.duration_since(before.0).as_secs_f64(),
                });
            }
            run.alone.add(&alone);
            run.with_requests.add(&with_requests);
        }
        processor.stop();
        std::fs::remove_dir_all(self.folder.path().join(format!("state-{name}"))).unwrap();
        println!("round {round}: {run}");
        run
    }

    fn start(&self, config: &Path) -> Processor {
        let log = File::options()
            .create(true)
            .append(true)
            .open(config.with_extension("log"))
            .unwrap();
        let mut command = Command::new(&self.args.binary);
        command
            .args(["run", "--config", text(config)])
            .stderr(log)
            .stdout(Stdio::null());
        Processor(command.spawn().unwrap())
    }

    fn wait<T>(&self, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = poll() {
                return found;
            }
            assert!(
                began.elapsed() < TIMEOUT,
                "waited {TIMEOUT:?} for {what}; the logs are in {}",
                self.folder.path().display()
            );
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the number of activities that ROUTE has read so far.
    fn activities(&self) -> u64 {
        self.count("alerttrail_records_received_total{kind=\"activity")
    }

    /// Returns the sum of the metrics whose lines have this prefix; 0 while the processor does not respond.
    fn count(&self, metric: &str) -> u64 {
        let url = format!("http://{}/metrics", self.args.listen);
        let response = ureq::get(&url)
            .call()
            .and_then(|mut response| response.body_mut().read_to_string());
        let metrics = response.unwrap_or_default();
        let lines = metrics.lines().filter(|line| line.starts_with(metric));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns the alert ids in a file of generated messages.
fn ids(file: &Path) -> Arc<[String]> {
    let id = |record: &Value| {
        let row = record.get("properties").unwrap_or(record);
        Some(row["SystemAlertId"].as_str()?.to_owned())
    };
    let mut ids = Vec::new();
    for line in BufReader::new(File::open(file).unwrap()).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line.unwrap()) else {
            continue;
        };
        match message["records"].as_array() {
            Some(records) => ids.extend(records.iter().filter_map(id)),
            None => ids.extend(id(&message)),
        }
    }
    assert!(!ids.is_empty(), "no alert has an id");
    ids.into()
}

/// A processor that is killed when it is dropped.
struct Processor(Child);

impl Processor {
    /// Stops the processor as an operator does.
    fn stop(mut self) {
        let sent = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success() && self.0.wait().unwrap().success());
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // Both fail if the process has already ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Requests one alert after another until it is stopped.
struct Client {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Histogram<u64>>,
}

impl Client {
    fn start(bench: &Bench) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, ids, requests) = (Arc::clone(&is_over), Arc::clone(&bench.ids), Arc::clone(&bench.requests));
        let (url, pause) = (
            format!("http://{}/api/v1/alerts/", bench.args.listen),
            Duration::from_millis(bench.args.pause),
        );
        let thread = std::thread::spawn(move || {
            let agent = ureq::Agent::new_with_defaults();
            let mut micros = Histogram::new(3).unwrap();
            while !over.load(Ordering::Relaxed) {
                // A step that has no divisor in common with the number of ids visits all of them, in an order unrelated
                // to theirs.
                let id = &ids[requests.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919) % ids.len()];
                let began = Instant::now();
                let response = agent
                    .get(format!("{url}{id}"))
                    .call()
                    .and_then(|mut response| response.body_mut().read_to_string());
                assert!(
                    response.as_ref().is_ok_and(|response| response.contains(id.as_str())),
                    "{id}: {response:?}"
                );
                micros.record(u64::try_from(began.elapsed().as_micros()).unwrap()).unwrap();
                std::thread::sleep(pause);
            }
            micros
        });
        Self { is_over, thread }
    }

    fn stop(self) -> Histogram<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The activities that were read in the turns of one kind.
#[derive(Default)]
struct Turns {
    activities: u64,
    seconds: f64,
}

impl Turns {
    fn add(&mut self, other: &Self) {
        self.activities += other.activities;
        self.seconds += other.seconds;
    }

    /// Returns the number of activities read per second.
    fn rate(&self) -> f64 {
        self.activities as f64 / self.seconds
    }
}

struct Run {
    alone: Turns,
    with_requests: Turns,
    /// The response times, in microseconds.
    response_times: Histogram<u64>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            alone: Turns::default(),
            with_requests: Turns::default(),
            response_times: Histogram::new(3).unwrap(),
        }
    }
}

impl Run {
    /// Returns the rate with requests as a multiple of the rate without.
    fn ratio(&self) -> f64 {
        self.with_requests.rate() / self.alone.rate()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (alone, with_requests, ratio) = (self.alone.rate(), self.with_requests.rate(), self.ratio());
        let (idle, busy) = (self.alone.seconds, self.with_requests.seconds);
        write!(
            f,
            "{alone:.0} activities/s alone ({idle:.0} s), {with_requests:.0} asked ({busy:.0} s): {ratio:.3} times; {}",
            latency(&self.response_times)
        )
    }
}

fn latency(response_times: &Histogram<u64>) -> String {
    let at = |quantile| response_times.value_at_quantile(quantile) as f64 / 1e3;
    format!(
        "{} answers, p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, at the most {:.1} ms",
        response_times.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        response_times.max() as f64 / 1e3
    )
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let bench = Bench::new(Args::parse());
    let runs: Vec<Run> = (1..=bench.args.rounds).map(|round| bench.run(round)).collect();
    let mut all = Run::default();
    for run in &runs {
        all.alone.add(&run.alone);
        all.with_requests.add(&run.with_requests);
        all.response_times.add(&run.response_times).unwrap();
    }
    println!("all rounds: {all}");
    println!(
        "median of the rounds: {:.3} times",
        median(runs.iter().map(Run::ratio).collect())
    );
}
