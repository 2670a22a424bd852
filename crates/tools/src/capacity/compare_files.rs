//! `alerttrail capacity compare`: compares two tests.

use std::path::{Path, PathBuf};

use crate::capacity::compare::{Line, compare, differences};
use crate::capacity::result::{Report, SCHEMA};
use crate::open;
use crate::term::{Failure, print_line};

/// Maximum size of a result file, in bytes. A search that takes a day writes a few MiB.
const MAX_FILE: usize = 64 << 20;

/// The tests to compare.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Result file of the first test
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// Result file of the second test
    #[arg(value_name = "B.json")]
    b: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    for difference in differences(&a, &b) {
        print_line(&format!("note: {difference}"));
    }
    for line in table(&args.a, &args.b, &compare(&a, &b)) {
        print_line(&line);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Report, Failure> {
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "cannot read {}: {cause}; name the JSON file of a capacity test",
            path.display()
        ))
    };
    let text = open::text(path, MAX_FILE).map_err(|cause| failed(&cause))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|cause| failed(&cause))?;
    match value.get("schema").and_then(serde_json::Value::as_str) {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|cause| failed(&cause)),
        Some(other) => Err(failed(&format!("its schema is {other:?}, this program reads {SCHEMA:?}"))),
        None => Err(failed(&"it has no schema")),
    }
}

/// Returns the lines of the table.
fn table(a: &Path, b: &Path, lines: &[Line]) -> Vec<String> {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut rows = vec![[
        "".to_owned(),
        name(a),
        name(b),
        "change".to_owned(),
        "noise".to_owned(),
        "".to_owned(),
    ]];
    for line in lines {
        let change = line.change.map_or_else(String::new, |change| format!("{change:+.1} %"));
        let noise = line.noise.map_or_else(|| "?".to_owned(), |noise| format!("±{noise:.1} %"));
        rows.push([
            line.name.to_owned(),
            line.a.clone(),
            line.b.clone(),
            change,
            noise,
            line.word.to_owned(),
        ]);
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let pad = |row: &[String; 6]| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            // Names and words are left-aligned, figures right-aligned.
            match at {
                0 => line.push_str(&format!("{cell}{space}")),
                5 => line.push_str(&format!("  {cell}")),
                _ => line.push_str(&format!("  {space}{cell}")),
            }
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(pad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let line = |name, change| Line {
            name,
            a: "1".into(),
            b: "22".into(),
            change,
            noise: change.map(|_| 0.5),
            word: "worse",
        };
        let lines = table(
            Path::new("x/before.json"),
            Path::new("after.json"),
            &[line("rate", Some(1.25)), line("memory", None)],
        );
        assert_eq!(
            lines,
            [
                "        before  after  change   noise",
                "rate         1     22  +1.2 %  ±0.5 %  worse",
                "memory       1     22               ?  worse",
            ]
        );
    }

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, part) in [
            ("{}", "it has no schema"),
            ("{\"schema\":\"alerttrail.capacity/9\"}", "its schema is"),
            ("x", "expected value"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let failure = read(file.path()).unwrap_err();
            assert!(failure.message.contains(part) && failure.status == 1, "{}", failure.message);
        }
    }
}
