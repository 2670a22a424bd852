//! Counts the instructions of fixed pieces of work, and compares them with the recorded counts in
//! `benches/instructions.json`.
//!
//! `scripts/instructions` builds and runs it. A count shows nothing about caches, but it is the same on a busy machine
//! as on an idle one. So an increase of a tenth is a change of the code, not noise.
//!
//! Each piece runs twice in its own process under valgrind's cachegrind: once it is only set up, once it is set up and
//! done. The difference is the cost of doing it. Valgrind shows every program the same processor, whatever the real one
//! is, except for features that the real one lacks. Libraries that choose their code by these features have the same
//! counts where the features are the same, so the features are recorded.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program of its own")]

#[path = "../common/mod.rs"]
mod common;
mod work;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};
use work::{RECORDS, WORK};

/// How much a count may exceed the recorded one, in percent.
const TOLERANCE: f64 = 10.0;

/// The exit status if the counts of this machine cannot be compared with the recorded ones.
const NOT_COMPARABLE: u8 = 3;

/// The file with the recorded counts.
#[derive(Serialize, Deserialize)]
struct Recorded {
    conditions: Conditions,
    counts: BTreeMap<String, u64>,
}

/// What counts depend on besides the code.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Conditions {
    /// The version of the compiler.
    rustc: String,
    /// The target of the compiler.
    host: String,
    /// The features of the processor that valgrind shows.
    processor: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file() -> PathBuf {
    root().join("benches/instructions.json")
}

/// Returns the processor features by which libraries choose their code.
#[cfg(target_arch = "x86_64")]
fn processor() -> Vec<&'static str> {
    let features = [
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("sha", is_x86_feature_detected!("sha")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
    ];
    features
        .into_iter()
        .filter(|(_, is_detected)| *is_detected)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Vec<&'static str> {
    Vec::new()
}

/// Runs this program under valgrind. Returns its output and the number of instructions.
fn counted(arguments: &[&str]) -> Result<(String, u64), String> {
    let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(this)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}; scripts/setup --tests installs it"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let count = stderr.lines().find_map(|line| {
        let (_, count) = line.split_once("refs:")?;
        count.trim().replace(',', "").parse().ok()
    });
    match (output.status.success(), count) {
        (true, Some(count)) => Ok((String::from_utf8_lossy(&output.stdout).into_owned(), count)),
        _ => Err(format!("valgrind with {arguments:?} ended with {}:\n{stderr}", output.status)),
    }
}

/// Returns the number of instructions of a piece of work.
fn instructions(name: &str) -> Result<u64, String> {
    let (without, with) = std::thread::scope(|scope| {
        let without = scope.spawn(|| counted(&["--set-up", name]));
        let with = counted(&["--do", name]);
        (without.join().unwrap(), with)
    });
    let (_, without) = without?;
    let (_, with) = with?;
    Ok(with.saturating_sub(without))
}

fn conditions() -> Result<Conditions, String> {
    let output = Command::new("rustc").arg("-vV").current_dir(root()).output();
    let output = output.map_err(|error| format!("cannot run rustc: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |name: &str| {
        let mut lines = version.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let (shown, _) = counted(&["--processor"])?;
    Ok(Conditions {
        rustc: value("release:").ok_or("rustc does not tell its version")?,
        host: value("host:").ok_or("rustc does not tell what it compiles for")?,
        processor: shown.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Returns the pinned version of the compiler.
fn pinned() -> Option<String> {
    let text = fs::read_to_string(root().join("rust-toolchain.toml")).ok()?;
    let table: toml::Table = text.parse().ok()?;
    Some(table.get("toolchain")?.get("channel")?.as_str()?.to_owned())
}

fn read() -> Result<Recorded, String> {
    let text = fs::read_to_string(file());
    let text = text.map_err(|error| {
        format!(
            "cannot read {}: {error}; record with scripts/instructions --record",
            file().display()
        )
    })?;
    serde_json::from_str(&text).map_err(|error| format!("{} is damaged: {error}; record anew", file().display()))
}

/// Returns why counts made under `here` cannot be compared with those made under `recorded`, as an exit status and a
/// sentence.
fn difference(recorded: &Conditions, here: &Conditions) -> Option<(u8, String)> {
    if let Some(pinned) = pinned()
        && pinned != recorded.rustc
    {
        return Some((
            1,
            format!(
                "the counts were recorded with rustc {}, rust-toolchain.toml now says {pinned}: record anew with scripts/instructions --record, \
                 and look at what moved",
                recorded.rustc
            ),
        ));
    }
    let describe = |conditions: &Conditions| {
        let features = conditions.processor.join(" ");
        format!(
            "rustc {} for {} on a processor with {features}",
            conditions.rustc, conditions.host
        )
    };
    // If the pinned compiler is required, another compiler is an error; the processor cannot be chosen.
    let required = std::env::var("CI").is_ok_and(|value| value == "true") && recorded.rustc != here.rustc;
    let status = if required { 1 } else { NOT_COMPARABLE };
    (recorded != here).then(|| {
        let sentence = format!(
            "counts of this machine cannot be compared: recorded with {}; here is {}",
            describe(recorded),
            describe(here)
        );
        (status, sentence)
    })
}

/// Prints a table of the counts and the recorded ones. Returns what is wrong.
fn compare(recorded: &BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    println!(
        "{:<30} {:>13} {:>13} {:>11} {:>9}",
        "work", "recorded", "now", "a record", "change"
    );
    for (name, &now) in counts {
        let each = now / RECORDS;
        let Some(&before) = recorded.get(name) else {
            println!("{name:<30} {:>13} {now:>13} {each:>11} {:>9}", "-", "-");
            wrong.push(format!("{name} is not recorded: record anew"));
            continue;
        };
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        let verdict = match change {
            change if change > TOLERANCE => "  more",
            change if change < -TOLERANCE => "  less: record anew, so that it stays so",
            _ => "",
        };
        println!("{name:<30} {before:>13} {now:>13} {each:>11} {change:>+8.1}%{verdict}");
        if change > TOLERANCE {
            wrong.push(format!("{name} takes {change:.1} % more instructions than recorded"));
        }
    }
    let gone = recorded.keys().filter(|name| !counts.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} is recorded, but there is no such work: record anew")));
    wrong
}

fn check(record: bool) -> Result<u8, String> {
    let here = conditions()?;
    let recorded = if record { None } else { Some(read()?) };
    if let Some((status, sentence)) = recorded.as_ref().and_then(|recorded| difference(&recorded.conditions, &here)) {
        eprintln!("instructions: {sentence}");
        return Ok(status);
    }
    let mut counts = BTreeMap::new();
    for (name, _) in WORK {
        counts.insert(name.to_owned(), instructions(name)?);
    }
    let Some(recorded) = recorded else {
        compare(&read().map(|before| before.counts).unwrap_or_default(), &counts);
        let conditions = here;
        let text = serde_json::to_string_pretty(&Recorded { conditions, counts }).map_err(|error| error.to_string())?;
        fs::write(file(), text + "\n").map_err(|error| format!("cannot write {}: {error}", file().display()))?;
        println!("recorded in benches/instructions.json");
        return Ok(0);
    };
    let wrong = compare(&recorded.counts, &counts);
    for sentence in &wrong {
        eprintln!("instructions: {sentence}");
    }
    if wrong.is_empty() {
        return Ok(0);
    }
    eprintln!("instructions: if this is meant, record it with scripts/instructions --record and say why in the commit");
    Ok(1)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--processor"] => println!("{}", processor().join(" ")),
        [step @ ("--set-up" | "--do"), name] => {
            let (_, prepare) = WORK.iter().find(|(known, _)| known == name).unwrap();
            let mut work = prepare();
            if *step == "--do" {
                work();
            }
            // The work is not dropped, because the cost of that depends on what was done.
            std::mem::forget(work);
        }
        [] | ["--record"] => match check(!arguments.is_empty()) {
            Ok(status) => return ExitCode::from(status),
            Err(sentence) => {
                eprintln!("instructions: {sentence}");
                return ExitCode::FAILURE;
            }
        },
        _ => {
            eprintln!("instructions: usage: scripts/instructions [--record]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
