//! Compares criterion's measurements with the recorded figures, and lists those that have moved.
//!
//! `scripts/bench` runs it: `figures FOLDER [--record | --add]`. FOLDER is criterion's own. `--record` replaces
//! `benches/figures.json` with the measurements; `--add` merges them into it if it is of the same machine.
//!
//! A figure has moved if its median differs by more than the noise and the two confidence intervals do not overlap. The
//! interval alone is not enough: it shows how certain a median is within one run, but other work on the machine moves a
//! whole run.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program of its own")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The percentage by which results of the same code vary between runs on an otherwise idle machine.
const NOISE: f64 = 5.0;
/// The same on a machine with other work: two runs of decode and repartition differed by up to 28 %.
const NOISE_OF_A_BUSY_MACHINE: f64 = 30.0;
/// The number of cores that other work may keep busy on a machine that counts as idle.
const IDLE: f64 = 0.5;

/// A measured bench, and the minimum work on the same bytes.
const FLOORS: [(&str, &str); 3] = [
    ("decode/envelope/streaming", "decode/floor/memchr_quotes"),
    ("decode/envelope/streaming", "decode/floor/serde_json_validated"),
    ("decode/envelope/streaming", "decode/floor/serde_json_typed"),
];

/// The file with the recorded figures.
#[derive(Serialize, Deserialize)]
struct Recorded {
    machine: Machine,
    /// The number of cores that other work kept busy.
    others: f64,
    figures: BTreeMap<String, Figure>,
}

/// What figures depend on besides the code.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Machine {
    processor: String,
    cores: usize,
    system: String,
    rustc: String,
}

/// The duration of one iteration in nanoseconds: the median, and its 95 % confidence interval.
#[derive(Serialize, Deserialize)]
struct Figure {
    median: f64,
    low: f64,
    high: f64,
    /// The amount that one iteration processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
}

/// The throughput as criterion writes it.
#[derive(Serialize, Deserialize, Clone, Copy)]
enum Amount {
    Bytes(u64),
    Elements(u64),
}

/// The relevant parts of criterion's `benchmark.json` and `estimates.json`.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Amount>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures.json")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("cannot make sense of {}: {error}", path.display()))
}

/// Reads all results that criterion has written under `folder`.
fn measured(folder: &Path, into: &mut BTreeMap<String, Figure>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if !path.is_dir() {
            continue;
        }
        let benchmark = path.join("benchmark.json");
        if path.ends_with("new") && benchmark.is_file() {
            let benchmark: Benchmark = read(&benchmark)?;
            let Estimates { median } = read(&path.join("estimates.json"))?;
            let figure = Figure {
                median: median.point_estimate.round(),
                low: median.confidence_interval.lower_bound.round(),
                high: median.confidence_interval.upper_bound.round(),
                amount: benchmark.throughput,
            };
            into.insert(benchmark.full_id, figure);
        } else {
            measured(&path, into)?;
        }
    }
    Ok(())
}

fn machine() -> Machine {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = processor.lines().filter(|line| line.starts_with("model name"));
    let name = names.next().and_then(|line| line.split_once(':'));
    let rustc = Command::new("rustc").arg("-V").output();
    Machine {
        processor: name.map_or("unknown", |(_, name)| name.trim()).to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        rustc: rustc.map_or_else(
            |_| "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        ),
    }
}

/// Returns how many cores other work kept busy: the load of the last minute, less the core that measured.
fn others() -> f64 {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = loads.split(' ').next().and_then(|load| load.parse::<f64>().ok());
    load.map_or(0.0, |load| ((load - 1.0).max(0.0) * 10.0).round() / 10.0)
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores, {}, {}", self.processor, self.cores, self.system, self.rustc)
    }
}

/// Formats a time with one decimal and a unit.
fn time(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
    let fitting = units.into_iter().find(|(size, _)| nanoseconds >= *size);
    let (size, unit) = fitting.unwrap_or((1.0, "ns"));
    format!("{:.1} {unit}", nanoseconds / size)
}

impl Figure {
    fn rate(&self) -> String {
        match self.amount {
            None => String::new(),
            // Bytes per nanosecond are gigabytes per second.
            Some(Amount::Bytes(bytes)) => format!("{:.0} MB/s", bytes as f64 / self.median * 1e3),
            Some(Amount::Elements(elements)) => format!("{} each", time(self.median / elements as f64)),
        }
    }

    /// Returns by how many percent it is above `before`.
    fn change(&self, before: &Self) -> f64 {
        (self.median / before.median - 1.0) * 100.0
    }

    fn has_moved(&self, before: &Self, noise: f64) -> bool {
        let apart = self.low > before.high || self.high < before.low;
        apart && self.change(before).abs() > noise
    }
}

/// Prints a table. Returns the figures that have moved by more than `noise`.
fn print(now: &BTreeMap<String, Figure>, before: &BTreeMap<String, Figure>, noise: f64) -> Vec<String> {
    let mut moved = Vec::new();
    println!(
        "{:<36} {:>10} {:>10} {:>14} {:>9}",
        "bench", "recorded", "now", "rate", "change"
    );
    for (name, figure) in now {
        let (median, rate) = (time(figure.median), figure.rate());
        let Some(before) = before.get(name) else {
            println!("{name:<36} {:>10} {median:>10} {rate:>14} {:>9}", "-", "new");
            continue;
        };
        let change = figure.change(before);
        let verdict = match (figure.has_moved(before, noise), change > 0.0) {
            (false, _) => "",
            (true, true) => "  slower",
            (true, false) => "  faster",
        };
        let recorded = time(before.median);
        println!("{name:<36} {recorded:>10} {median:>10} {rate:>14} {change:>+8.1}%{verdict}");
        if figure.has_moved(before, noise) {
            moved.push(format!("{name} {change:+.1} %"));
        }
    }
    for (name, floor) in FLOORS {
        if let (Some(figure), Some(minimum)) = (now.get(name), now.get(floor)) {
            println!("{name} takes {:.1} times {floor}", figure.median / minimum.median);
        }
    }
    moved
}

/// Prints the table and its conclusion.
fn compare(now: &BTreeMap<String, Figure>, recorded: Option<&Recorded>, here: &Machine, others: f64) {
    let Some(recorded) = recorded else {
        print(now, &BTreeMap::new(), NOISE);
        println!("nothing is recorded to compare with: record with scripts/bench --record");
        return;
    };
    let busy = others.max(recorded.others) > IDLE;
    let noise = if busy { NOISE_OF_A_BUSY_MACHINE } else { NOISE };
    let moved = print(now, &recorded.figures, noise);
    println!("recorded on {}", recorded.machine);
    if *here != recorded.machine {
        println!("measured on {here}: what differs may be the machine's doing");
    }
    if busy {
        println!(
            "others kept {} cores busy at the recording, {others} now: small moves are not told",
            recorded.others
        );
    }
    match moved.as_slice() {
        [] => println!("nothing moved beyond the noise of {noise} %"),
        moved => println!("moved beyond the noise of {noise} %: {}", moved.join(", ")),
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let (folder, record) = match arguments {
        [folder] => (folder, None),
        [folder, "--record"] => (folder, Some(false)),
        [folder, "--add"] => (folder, Some(true)),
        _ => return Err("usage: figures FOLDER [--record | --add]".into()),
    };
    let mut now = BTreeMap::new();
    measured(Path::new(folder), &mut now)?;
    if now.is_empty() {
        return Err(format!(
            "criterion left no figures in {folder}: does any bench have the name that was asked for?"
        ));
    }
    let recorded: Option<Recorded> = match file().is_file() {
        true => Some(read(&file())?),
        false => None,
    };
    let machine = machine();
    let others = others();
    compare(&now, recorded.as_ref(), &machine, others);
    let Some(add) = record else { return Ok(()) };
    let mut record = match recorded {
        Some(recorded) if add && recorded.machine == machine => recorded,
        _ => Recorded {
            machine,
            others,
            figures: BTreeMap::new(),
        },
    };
    record.others = record.others.max(others);
    record.figures.extend(now);
    let text = serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?;
    fs::write(file(), text + "\n").map_err(|error| format!("cannot write {}: {error}", file().display()))?;
    println!("recorded in benches/figures.json");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
