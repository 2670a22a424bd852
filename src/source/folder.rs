//! The files of messages in a folder, as exports to storage leave them.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::file::Error;

/// How names of files of messages end, compressed or not.
const TEXT: [&str; 3] = [".json", ".jsonl", ".ndjson"];
/// What a compressed file has behind that.
const COMPRESSIONS: [&str; 2] = [".gz", ".zst"];
/// How names of files of Event Hubs Capture end, which compresses inside.
const AVRO: &str = ".avro";

/// Files that were named, or found in folders that were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    /// In the order in which they were named, those of a folder in the order of their paths; but where files follow each other whose paths
    /// say when they begin, they come in that order, also those of several folders.
    pub paths: Vec<PathBuf>,
    /// How many others were in the folders.
    pub passed_over: u64,
}

/// All files that `paths` name. Of a folder and those in it they are the ones whose names end as files of messages do, without hidden ones.
/// Fails when a folder cannot be read, or has none.
pub fn files(paths: &[PathBuf]) -> Result<Files, Error> {
    let mut found: Vec<Found> = Vec::new();
    let mut passed_over = 0;
    for path in paths {
        if !path.is_dir() {
            found.push(Found {
                begin: None,
                path: path.clone(),
            });
            continue;
        }
        let before = found.len();
        let walk = WalkDir::new(path).sort_by_file_name().follow_links(true);
        for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
            let entry = entry.map_err(|error| Error::new(error.path().unwrap_or(path), error.to_string()))?;
            if entry.file_type().is_dir() {
                continue;
            }
            if !holds_messages(entry.path()) {
                passed_over += 1;
                continue;
            }
            // Only what is below the folder: where it was put says nothing of what is in it.
            let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
            found.push(Found {
                begin: begin(below),
                path: entry.into_path(),
            });
        }
        if found.len() == before {
            let cause = format!(
                "it is a folder without a file whose name ends in {}, compressed or not, or in {AVRO}",
                TEXT.join(", ")
            );
            return Err(Error::new(path, cause));
        }
    }
    // Capture puts the partition before the date: in the order of paths all hours of one partition would come before the first of the next,
    // and behind the watermark that the first one moved.
    for dated in found.chunk_by_mut(|one, next| one.begin.is_some() && next.begin.is_some()) {
        dated.sort_by_key(|file| file.begin);
    }
    Ok(Files {
        paths: found.into_iter().map(|file| file.path).collect(),
        passed_over,
    })
}

struct Found {
    begin: Option<Begin>,
    path: PathBuf,
}

/// Year, month, day, and as much of hour, minute and second as there is.
type Begin = [u16; 6];

/// When a file begins, by its path: `y=2026/m=03/d=01/h=10/m=00`, `2026/03/01/10/00/00`, or with other separators and names of the parts.
fn begin(path: &Path) -> Option<Begin> {
    let path = path.to_string_lossy();
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let numbers: Vec<&str> = words
        .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    (0..numbers.len()).find_map(|at| begin_of(numbers.get(at..)?))
}

fn begin_of(numbers: &[&str]) -> Option<Begin> {
    let (year, rest) = numbers.split_first()?;
    let mut begin = Begin::default();
    let (first, others) = begin.split_first_mut()?;
    *first = year.parse().ok().filter(|_| year.len() == 4)?;
    for (part, number) in others.iter_mut().zip(rest.iter().take_while(|number| number.len() == 2)) {
        *part = number.parse().ok()?;
    }
    let [_, month, day, ..] = begin;
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(begin)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn holds_messages(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let text = COMPRESSIONS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    name.ends_with(AVRO) || TEXT.iter().any(|ending| text.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}\n").unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir) -> (Vec<String>, u64) {
        found_in(folder, &[""])
    }

    /// What is found when these paths in the folder are named.
    fn found_in(folder: &tempfile::TempDir, named: &[&str]) -> (Vec<String>, u64) {
        let named: Vec<PathBuf> = named.iter().map(|path| folder.path().join(path)).collect();
        let files = files(&named).unwrap();
        let inside = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
        (files.paths.iter().map(inside).collect(), files.passed_over)
    }

    #[test]
    fn exports_by_the_hour_come_in_the_order_of_time() {
        let hours = ["h=09/m=00/PT1H.json", "h=10/m=00/PT1H.json", "h=23/m=00/PT1H.json.gz"];
        let names: Vec<String> = ["y=2025/m=12/d=31", "y=2026/m=03/d=02", "y=2026/m=03/d=10"]
            .iter()
            .flat_map(|day| hours.map(|hour| format!("{day}/{hour}")))
            .collect();
        let backwards: Vec<&str> = names.iter().rev().map(String::as_str).collect();
        assert_eq!(found(&folder(&backwards)), (names, 0));
    }

    #[test]
    fn partitions_of_capture_come_side_by_side_by_time() {
        let names = [
            "hub/0/2026/03/01/09/55/00.avro",
            "hub/1/2026/03/01/10/00/00.avro",
            "hub/0/2026/03/01/10/00/10.avro",
            "hub/10/2026/03/01/10/05/00.avro",
            "hub/0/2026/03/02/00/00/00.avro",
        ];
        let folder = folder(&names);
        assert_eq!(found(&folder).0, names);
        assert_eq!(
            found_in(&folder, &["hub/10", "hub/0", "hub/1"]).0,
            names,
            "as a shell names them too"
        );
    }

    #[test]
    fn only_files_that_say_when_they_begin_change_places() {
        let folder = folder(&["b/2026-03-02.json", "b/2026-03-01.json", "a.json", "c/z.json", "c/a.json"]);
        let named = ["c", "b/2026-03-02.json", "a.json", "b"];
        let expected = [
            "c/a.json",
            "c/z.json",
            "b/2026-03-02.json",
            "a.json",
            "b/2026-03-01.json",
            "b/2026-03-02.json",
        ];
        assert_eq!(found_in(&folder, &named).0, expected);
    }

    #[test]
    fn a_path_says_when_its_file_begins() {
        for (path, expected) in [
            (
                "resourceId=/SUBSCRIPTIONS/0AB1C2D3-2026-0304-8888-000000000012/y=2026/m=03/d=01/h=10/m=05/PT1H.json",
                Some([2026, 3, 1, 10, 5, 0]),
            ),
            ("ns/hub/12/2026/12/31/23/59/58.avro", Some([2026, 12, 31, 23, 59, 58])),
            ("ns_hub_7_2026_12_31.avro", Some([2026, 12, 31, 0, 0, 0])),
            ("ns/2026/13/01/a.avro", None),
            ("ns/2026/01/a.avro", None),
            ("01/02/2026.json", None),
            ("PT1H.json", None),
        ] {
            assert_eq!(begin(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_holds_no_messages_is_passed_over() {
        let folder = folder(&[
            "a.AVRO",
            "b.jsonl.zst",
            "c.ndjson",
            "_SUCCESS",
            "notes.txt",
            "d.gz",
            "e.avro.gz",
            ".hidden.json",
            ".git/x.json",
        ]);
        let names = ["a.AVRO", "b.jsonl.zst", "c.ndjson"].map(str::to_owned);
        assert_eq!(found(&folder), (names.to_vec(), 4), "hidden ones are not even counted");
    }

    #[test]
    fn a_folder_without_messages_is_an_error_and_a_file_is_taken_at_its_word() {
        let folder = folder(&["notes.txt"]);
        let error = files(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("it is a folder without a file whose name ends in .json, .jsonl"),
            "{error}"
        );
        let named = [
            folder.path().join("notes.txt"),
            PathBuf::from("-"),
            PathBuf::from("missing.json"),
        ];
        assert_eq!(files(&named).unwrap().paths, named);
    }
}
