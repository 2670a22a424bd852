//! Finds the files of messages in a folder, as exports to storage leave them.

use std::collections::BTreeSet;
use std::fs::FileType;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::capture;
use super::file::Error;
use super::format::{CaptureFormat, StartTime};

/// File name extensions of message files, without those of compressed files.
const TEXT: [&str; 3] = [".json", ".jsonl", ".ndjson"];
/// Extensions of compressed files, which follow the others.
const COMPRESSIONS: [&str; 2] = [".gz", ".zst"];
/// Extension of tables, which are read only if they are named.
const TABLE: &str = ".csv";
/// Extension of Event Hubs Capture files, which compress their blocks.
const AVRO: &str = ".avro";

/// The maximum nesting of folders. An export nests about twenty.
const MAX_DEPTH: usize = 64;
/// The maximum number of files that are read from folders in one command.
const MAX_FILES: usize = 1_000_000;
/// The maximum number of files that a warning names.
const MAX_NAMES: usize = 3;

/// Files that the user named, and files in folders that the user named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    /// The paths, in the order in which they were named. The files of a folder are in the order of their paths.
    /// Consecutive files with a known time are sorted by it, also across folders.
    pub paths: Vec<PathBuf>,
    /// The number of other files in the folders.
    pub skipped: u64,
    /// Warnings about the files for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// The means of finding the time of a file of Event Hubs Capture.
pub struct Times<'a> {
    /// The format of the file names, if the user gave one.
    pub format: Option<&'a CaptureFormat>,
    /// Returns the time of a message as text that sorts in the order of time.
    pub message_time: &'a mut dyn FnMut(&[u8]) -> Option<String>,
}

/// Finds all files that `paths` name. In a folder and its subfolders, these are the files whose names end like those of
/// message files, except hidden ones. A folder to which several links lead is read once. Fails if a folder cannot be
/// read or contains no such file.
pub fn find_files(paths: &[PathBuf], mut times: Times<'_>) -> Result<Files, Error> {
    let mut found = Vec::new();
    let mut files = Files::default();
    let mut special = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => walk(path, &mut times, &mut found, &mut files, &mut special)?,
            false => found.push(FoundFile {
                sort_key: None,
                path: path.clone(),
            }),
        }
    }
    // Capture puts the partition before the date. In the order of paths, the second partition would come after the
    // watermark that the first one has moved, so files are sorted by time.
    for dated in found.chunk_by_mut(|one, next| one.sort_key.is_some() && next.sort_key.is_some()) {
        dated.sort_by(|one, other| one.sort_key.cmp(&other.sort_key));
    }
    files.paths = found.into_iter().map(|file| file.path).collect();
    files.warnings.extend(warning(&special));
    Ok(files)
}

/// Adds the files of a folder to those found.
fn walk(
    path: &Path,
    times: &mut Times<'_>,
    found: &mut Vec<FoundFile>,
    files: &mut Files,
    special: &mut Vec<(PathBuf, &'static str)>,
) -> Result<(), Error> {
    let (before, mut mismatched, mut repeated, mut tables) = (found.len(), 0, 0, 0);
    let special_before = special.len();
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut folders = BTreeSet::new();
    let mut walk = WalkDir::new(path).sort_by_file_name().follow_links(true).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            // A link to one of its own parent folders.
            Err(error) if error.loop_ancestor().is_some() => {
                repeated += 1;
                continue;
            }
            // A broken link that is not named like a message file.
            Err(error)
                if error
                    .path()
                    .is_some_and(|path| path.is_symlink() && !path.exists() && !has_message_extension(path)) =>
            {
                files.skipped += 1;
                continue;
            }
            entry => entry.map_err(|error| Error::new(error.path().unwrap_or(path), error.to_string()))?,
        };
        let kind = entry.file_type();
        if kind.is_dir() {
            let meta = entry
                .metadata()
                .map_err(|error| Error::new(entry.path(), error.to_string()))?;
            let is_hidden = entry.depth() > 0 && is_hidden(&entry);
            let is_new = is_hidden || folders.insert((meta.dev(), meta.ino()));
            repeated += u64::from(!is_new);
            if is_hidden || !is_new {
                walk.skip_current_dir();
            } else if entry.depth() > MAX_DEPTH {
                let cause = format!("it is nested more than {MAX_DEPTH} folders deep; pass a folder further down to --input");
                return Err(Error::new(entry.path(), cause));
            }
        } else if !is_hidden(&entry) {
            if !has_message_extension(entry.path()) {
                files.skipped += 1;
                tables += u64::from(has_extension(entry.path(), &[TABLE]));
            } else if !kind.is_file() {
                special.push((entry.into_path(), kind_name(kind)));
            } else if found.len() == MAX_FILES {
                let cause = format!("it has more than {MAX_FILES} files; pass some of its subfolders at a time");
                return Err(Error::new(path, cause));
            } else {
                // The path of the folder itself may contain a date that is not the date of the files.
                let relative = entry.path().strip_prefix(path).unwrap_or(entry.path());
                let sort_key = sort_key(entry.path(), relative, &canonical.join(relative), times);
                mismatched += u64::from(sort_key.as_ref().is_some_and(|sort_key| sort_key.mismatched));
                found.push(FoundFile {
                    sort_key,
                    path: entry.into_path(),
                });
            }
        }
    }
    if found.len() == before {
        return Err(Error::new(
            path,
            nothing_found(special.get(special_before..).unwrap_or_default(), tables),
        ));
    }
    let folder = path.display();
    if repeated > 0 {
        files.warnings.push(format!(
            "links in {folder} lead to {repeated} folders that are read already; each folder is read once"
        ));
    }
    if mismatched > 0 {
        let text = format!(
            "{mismatched} Capture files in {folder} do not match --capture-format; they are sorted by the times of their records"
        );
        files.warnings.push(text);
    }
    Ok(())
}

/// Returns why a folder that has these files, and this number of CSV files, cannot be read.
fn nothing_found(special: &[(PathBuf, &'static str)], tables: u64) -> String {
    let mut cause = match named(special) {
        Some(named) => format!("it is a folder without a file that can be read: {named}; {ONLY_REGULAR}"),
        None => format!(
            "it is a folder without a file whose name ends in {}, compressed or not, or in {AVRO}",
            TEXT.join(", ")
        ),
    };
    if tables > 0 {
        let (files, are, each) = match tables {
            1 => (" file", "is", "it"),
            _ => (" files", "are", "each of them"),
        };
        cause += &format!("; it has {tables} CSV{files}, which {are} only read if --input names {each}");
    }
    cause
}

/// Returns the name of a kind of file that is not read.
fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_fifo() => "pipe",
        kind if kind.is_socket() => "socket",
        _ => "device",
    }
}

/// The rule about other files than regular ones.
const ONLY_REGULAR: &str = "only regular files are read from a folder; pass a pipe to --input itself to read it";

/// Returns the warning about files that are not read, if there are any.
fn warning(special: &[(PathBuf, &'static str)]) -> Option<String> {
    named(special).map(|named| format!("{named} and was skipped: {ONLY_REGULAR}"))
}

/// Returns the names of files that are not read, each with its kind, if there are any.
fn named(special: &[(PathBuf, &'static str)]) -> Option<String> {
    let named = special.iter().take(MAX_NAMES);
    let named: Vec<String> = named.map(|(path, kind)| format!("{} is a {kind}", path.display())).collect();
    let more = match special.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| named.join(", ") + &more)
}

struct FoundFile {
    sort_key: Option<SortKey>,
    path: PathBuf,
}

/// The time at which a file begins. The fields are compared in this order.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct SortKey {
    start: StartTime,
    partition: u32,
    first_message: Option<String>,
    /// Whether the file's name does not have the format that the user gave.
    mismatched: bool,
}

/// Returns the time at which a file begins: from its name if that is unambiguous, otherwise from the records of a
/// Capture file.
fn sort_key(path: &Path, relative: &Path, canonical: &Path, times: &mut Times<'_>) -> Option<SortKey> {
    let by_name = start_time(relative).map(|start| SortKey {
        start,
        ..SortKey::default()
    });
    if !is_capture_file(path) {
        return by_name;
    }
    match times.format {
        Some(format) => {
            if let Some(path_time) = format.read(canonical) {
                return Some(SortKey {
                    start: path_time.start,
                    partition: path_time.partition,
                    ..SortKey::default()
                });
            }
        }
        None if is_unambiguous(relative) => return by_name,
        None => {}
    }
    let mismatched = times.format.is_some();
    // A file that cannot be read is sorted by its path, and its error is reported when its messages are read.
    let Ok(Some(event)) = capture::first_event(path) else {
        return by_name.map(|sort_key| SortKey { mismatched, ..sort_key });
    };
    let first_message = (times.message_time)(&event.body);
    let start = event.enqueued.or_else(|| start_time(Path::new(first_message.as_ref()?)))?;
    Some(SortKey {
        start,
        partition: 0,
        first_message,
        mismatched,
    })
}

/// Returns the time in a path: `y=2026/m=03/d=01/h=10/m=00`, `2026/03/01/10/00/00`, or with other separators and names.
fn start_time(path: &Path) -> Option<StartTime> {
    let path = path.to_string_lossy();
    let numbers = numbers(&path);
    (0..numbers.len()).find_map(|at| parse_start_time(numbers.get(at..)?))
}

/// Returns whether exactly hour, minute and second follow the date in a path. Otherwise one of the numbers may be the
/// partition, and the path does not show which.
fn is_unambiguous(path: &Path) -> bool {
    let path = path.to_string_lossy();
    let numbers = numbers(&path);
    let date = (0..numbers.len()).find(|at| numbers.get(*at..).and_then(parse_start_time).is_some());
    let rest = date.and_then(|at| numbers.get(at + 3..)).unwrap_or_default();
    rest.len() == 3 && rest.iter().all(|number| number.len() == 2)
}

fn numbers(path: &str) -> Vec<&str> {
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric());
    parts
        .filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

fn parse_start_time(numbers: &[&str]) -> Option<StartTime> {
    let (year, rest) = numbers.split_first()?;
    let mut start = StartTime::default();
    let (first, others) = start.split_first_mut()?;
    *first = year.parse().ok().filter(|_| year.len() == 4)?;
    for (part, number) in others.iter_mut().zip(rest.iter().take_while(|number| number.len() == 2)) {
        *part = number.parse().ok()?;
    }
    let [_, month, day, ..] = start;
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(start)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_capture_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("avro"))
}

fn has_message_extension(path: &Path) -> bool {
    is_capture_file(path) || has_extension(path, &TEXT)
}

/// Returns whether the name ends in one of `endings`, compressed or not.
fn has_extension(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let text = COMPRESSIONS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    endings.iter().any(|ending| text.ends_with(ending))
}

#[cfg(test)]
mod tests;
