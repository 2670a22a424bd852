//! The files of messages in a folder, as exports to storage leave them.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::file::Error;

/// How names of files of messages end, compressed or not.
const ENDINGS: [&str; 4] = [".json", ".jsonl", ".ndjson", ".avro"];
/// What a compressed file has behind that.
const COMPRESSIONS: [&str; 2] = [".gz", ".zst"];

/// Files that were named, or found in folders that were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    /// In the order in which they were named; those of a folder in the order of their paths, which in exports by the hour is that of time.
    pub paths: Vec<PathBuf>,
    /// How many others were in the folders.
    pub passed_over: u64,
}

/// All files that `paths` name. Of a folder and those in it they are the ones whose names end as files of messages do, without hidden ones.
/// Fails when a folder cannot be read, or has none.
pub fn files(paths: &[PathBuf]) -> Result<Files, Error> {
    let mut files = Files::default();
    for path in paths {
        if !path.is_dir() {
            files.paths.push(path.clone());
            continue;
        }
        let before = files.paths.len();
        let walk = WalkDir::new(path).sort_by_file_name().follow_links(true);
        for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
            let entry = entry.map_err(|error| Error::new(error.path().unwrap_or(path), error.to_string()))?;
            if entry.file_type().is_dir() {
                continue;
            }
            match holds_messages(entry.path()) {
                true => files.paths.push(entry.into_path()),
                false => files.passed_over += 1,
            }
        }
        if files.paths.len() == before {
            let cause = format!(
                "it is a folder without a file whose name ends in {}, compressed or not",
                ENDINGS.join(", ")
            );
            return Err(Error::new(path, cause));
        }
    }
    Ok(files)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn holds_messages(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = COMPRESSIONS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    ENDINGS.iter().any(|ending| name.ends_with(ending))
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
        let files = files(&[folder.path().to_owned()]).unwrap();
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
    fn what_holds_no_messages_is_passed_over() {
        let folder = folder(&[
            "a.AVRO",
            "b.jsonl.zst",
            "c.ndjson",
            "_SUCCESS",
            "notes.txt",
            "d.gz",
            ".hidden.json",
            ".git/x.json",
        ]);
        let names = ["a.AVRO", "b.jsonl.zst", "c.ndjson"].map(str::to_owned);
        assert_eq!(found(&folder), (names.to_vec(), 3), "hidden ones are not even counted");
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
