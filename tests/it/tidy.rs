//! The rules that the source code keeps: which module may use which, how long a file may be, where the clock is read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum number of lines of a file, so that it can be read in one sitting.
const MAX_LINES: usize = 500;

/// The maximum number of columns of a comment, so that two files fit beside each other.
const MAX_COLUMNS: usize = 120;

/// A module, with the others of its crate that it may use.
type Module = (&'static str, &'static [&'static str]);

/// The sources of each crate, and what its modules may use of each other. A record passes them in this order, and a
/// stage sees the earlier ones only by their data. The compiler keeps the order of the crates: a crate can use only
/// those that its manifest names.
const CRATES: [(&str, &[Module]); 4] = [
    ("crates/core/src", &CORE),
    ("crates/node/src", &NODE),
    ("crates/tools/src", &TOOLS),
    ("src", &PROGRAM),
];

const CORE: [Module; 9] = [
    ("time", &[]),
    ("json", &[]),
    ("record", &["time"]),
    ("repartition", &["record", "time"]),
    ("decode", &["json", "record", "time"]),
    ("store", &["record", "time"]),
    ("route", &["decode", "repartition", "record", "time"]),
    ("join", &["repartition", "record", "store", "time"]),
    ("emit", &["decode", "join", "json", "record", "time"]),
];

const NODE: [Module; 14] = [
    ("clock", &[]),
    ("words", &[]),
    ("open", &[]),
    ("heartbeat", &["clock"]),
    ("shutdown", &["clock"]),
    ("sink", &[]),
    ("store", &[]),
    ("query", &["store", "words"]),
    ("config", &["open", "words"]),
    ("check", &["config", "words"]),
    ("metrics", &["check", "store"]),
    ("kafka", &["check", "clock", "config", "shutdown"]),
    (
        "pipeline",
        &[
            "check",
            "clock",
            "config",
            "heartbeat",
            "kafka",
            "metrics",
            "query",
            "shutdown",
            "sink",
            "store",
        ],
    ),
    (
        "http",
        &[
            "clock", "config", "metrics", "pipeline", "query", "shutdown", "store", "words",
        ],
    ),
];

const TOOLS: [Module; 9] = [
    ("source", &[]),
    ("term", &[]),
    ("generate", &["term"]),
    ("capacity", &["generate", "source", "term"]),
    ("replay", &["source", "term"]),
    ("correlate", &["replay", "source", "term"]),
    ("verify", &["replay", "source", "term"]),
    ("redrive", &["term"]),
    ("demo", &["generate", "term"]),
];

const PROGRAM: [Module; 1] = [("cli", &[])];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files under `folder` with this extension, with their paths from the root.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    let folder = root().join(folder);
    if folder.is_dir() {
        walk(&folder, &mut paths);
    }
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

fn rust_files() -> Vec<(String, String)> {
    let others = ["tests", "benches"].into_iter().flat_map(|folder| files(folder, "rs"));
    sources().into_iter().chain(others).collect()
}

fn sources() -> Vec<(String, String)> {
    CRATES.into_iter().flat_map(|(folder, _)| files(folder, "rs")).collect()
}

/// Returns the lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Returns the module of its crate that a path belongs to.
fn unit(path: &str) -> &str {
    let (_, inside) = path.split_once("src/").unwrap();
    inside.split(['/', '.']).next().unwrap()
}

/// Returns the modules of the crate that a file names: `x` of every `crate::x` and of every `crate::{x, …}`.
fn used_modules(text: &str) -> BTreeSet<String> {
    let text: String = code(text).map(|line| line.to_owned() + "\n").collect();
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect() };
    let mut used_modules = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(used_modules.insert(word(rest))),
            Some(list) => used_modules.extend(top_level(list).map(|item| word(item.trim()))),
        }
    }
    used_modules
}

/// Returns the items of a list of imports whose opening brace has been read.
fn top_level(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let end = list.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth < 0
    });
    let mut depth = 0;
    list[..end.unwrap_or(list.len())].split(move |c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
}

/// Asserts that nothing is wrong, and lists all violations.
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn imports_are_found() {
    let text = "use crate::a::B;\n// crate::no\nuse crate::{c, d::{E, f}, g};\n    crate::h::i();\n";
    let found: Vec<String> = used_modules(text).into_iter().collect();
    assert_eq!(found, ["a", "c", "d", "g", "h"]);
}

#[test]
fn a_module_uses_only_the_modules_it_may() {
    let mut wrong = Vec::new();
    for (folder, modules) in CRATES {
        for (path, text) in files(folder, "rs") {
            let unit = unit(&path);
            if ["lib", "main"].contains(&unit) {
                continue;
            }
            let Some((_, allowed)) = modules.iter().find(|(name, _)| *name == unit) else {
                wrong.push(format!("{path}: list in tests/it/tidy.rs which modules {unit} may use"));
                continue;
            };
            for used in used_modules(&text) {
                let is_in_crate = modules.iter().any(|(name, _)| *name == used);
                if is_in_crate && used != unit && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{path}: {unit} may not use {used}"));
                }
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn the_join_takes_only_types_from_the_log() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        // ROUTE decides which partition owns a key.
        if unit(&path) == "join" && code(&text).any(|line| line.contains("partition_of")) {
            wrong.push(format!("{path}: the join does not decide where a key belongs"));
        }
    }
    assert_none(wrong);
}

#[test]
fn the_core_is_pure() {
    let impure = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "std::process",
        "HashMap",
        "HashSet",
        "async fn",
        "tracing::",
    ];
    let mut wrong = Vec::new();
    for (path, text) in files("crates/core/src", "rs")
        .into_iter()
        .chain(files("crates/node/src/query", "rs"))
    {
        for word in impure {
            if code(&text).any(|line| line.contains(word)) {
                wrong.push(format!("{path}: {word}"));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn the_clock_is_read_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for clock in ["SystemTime::now", "Instant::now", "Utc::now", "Local::now"] {
            if path != "crates/node/src/clock.rs" && code(&text).any(|line| line.contains(clock)) {
                wrong.push(format!("{path}: {clock}; crates/node/src/clock.rs is the place"));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn a_file_can_be_read_in_one_sitting() {
    let long = rust_files().into_iter().filter(|(_, text)| text.lines().count() > MAX_LINES);
    assert_none(
        long.map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
            .collect(),
    );
}

#[test]
fn comments_fit_beside_another_file() {
    let mut wide = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in (1..).zip(text.lines()) {
            let is_comment = ["// ", "/// ", "//! "].iter().any(|mark| line.trim_start().starts_with(mark));
            if is_comment && line.chars().count() > MAX_COLUMNS {
                wide.push(format!("{path}:{number}"));
            }
        }
    }
    assert_none(wide);
}

#[test]
fn every_folder_and_crate_begins_with_a_description() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        // The unit tests of a folder belong to the module that they test.
        let is_folder = path.ends_with("/mod.rs") && !path.ends_with("/tests/mod.rs");
        let is_crate = path.ends_with("/main.rs") || path.ends_with("/lib.rs");
        if (is_folder || is_crate) && !text.starts_with("//! ") {
            wrong.push(format!("{path}: begins without //!"));
        }
    }
    assert_none(wrong);
}

#[test]
fn no_reminders_are_left_in_the_code() {
    // The words are put together here, so that this file passes its own test.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut wrong = Vec::new();
    let texts = ["toml", "md", "yml"].into_iter().flat_map(|ending| {
        ["config", "tests", "docs"]
            .into_iter()
            .flat_map(move |folder| files(folder, ending))
    });
    for (path, text) in rust_files().into_iter().chain(texts) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| has_word(line, word)) {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none(wrong);
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|found| found == word)
}

#[test]
fn every_configuration_is_toml() {
    let files = files("config", "toml");
    assert!(files.len() >= 4, "{files:?}");
    let wrong = files.into_iter().filter_map(|(path, text)| {
        let error = text.parse::<toml::Table>().err()?;
        Some(format!("{path}: {error}"))
    });
    assert_none(wrong.collect());
}

#[test]
fn every_example_configuration_is_valid() {
    let files = files("config", "toml").into_iter();
    // A preset is a layer below other files, not a complete file.
    let files = files.filter(|(path, _)| !path.starts_with("config/preset-"));
    assert_none(files.filter_map(|(path, text)| wrong_configuration(&path, &text)).collect());
}

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let pages = files("docs", "md").into_iter();
    let pages = pages.chain([("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap())]);
    let mut count = 0;
    let mut wrong = Vec::new();
    for (path, text) in pages {
        for block in text.split("```toml\n").skip(1) {
            count += 1;
            let block = block.split("```").next().unwrap();
            wrong.extend(wrong_configuration(&path, block));
        }
    }
    assert!(count > 10, "{count} blocks");
    assert!(wrong_configuration("a page", "[output]\nformta = \"ecs\"\n").is_some());
    assert_none(wrong);
}

/// Returns the errors of a configuration, with some value for each of its variables.
fn wrong_configuration(path: &str, text: &str) -> Option<String> {
    let connection_string = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k";
    let variables = text.split("${").skip(1).map(|rest| {
        let name = rest.split('}').next().unwrap().to_owned();
        let value = if name.contains("CONNECTION") {
            connection_string
        } else {
            "value"
        };
        (name, value.to_owned())
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let errors = alerttrail::config::Config::load(Some(file.path()), variables).err()?;
    Some(format!("{path}: {errors}\n{text}"))
}

#[test]
fn every_page_is_in_the_book() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let pages = files("docs", "md").into_iter().map(|(path, _)| path);
    let pages = pages.filter(|path| path != "docs/SUMMARY.md" && !path.ends_with("/000-template.md"));
    let missing = pages.filter(|path| !summary.contains(&format!("({})", path.trim_start_matches("docs/"))));
    assert_none(missing.map(|path| format!("{path} is not in docs/SUMMARY.md")).collect());
}

#[test]
fn there_is_a_changelog() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap_or_default();
    assert!(
        text.contains("Unreleased"),
        "CHANGELOG.md, with a part named Unreleased, is missing"
    );
}
