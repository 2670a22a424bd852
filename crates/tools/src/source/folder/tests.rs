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

/// Finds files. The text of a message counts as its time.
fn find(named: &[PathBuf], format: Option<&CaptureFormat>) -> Result<Files, Error> {
    let message_time = &mut |message: &[u8]| Some(String::from_utf8_lossy(message).into_owned());
    find_files(named, Times { format, message_time })
}

fn found(folder: &tempfile::TempDir) -> (Vec<String>, u64) {
    found_in(folder, &[""])
}

/// Returns the files that are found if these paths in the folder are named, and the number of other files.
fn found_in(folder: &tempfile::TempDir, named: &[&str]) -> (Vec<String>, u64) {
    let named: Vec<PathBuf> = named.iter().map(|path| folder.path().join(path)).collect();
    let files = find(&named, None).unwrap();
    let inside = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
    (files.paths.iter().map(inside).collect(), files.skipped)
}

#[test]
fn hourly_exports_are_ordered_by_time() {
    let hours = ["h=09/m=00/PT1H.json", "h=10/m=00/PT1H.json", "h=23/m=00/PT1H.json.gz"];
    let names: Vec<String> = ["y=2025/m=12/d=31", "y=2026/m=03/d=02", "y=2026/m=03/d=10"]
        .iter()
        .flat_map(|day| hours.map(|hour| format!("{day}/{hour}")))
        .collect();
    let backwards: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    assert_eq!(found(&folder(&backwards)), (names, 0));
}

#[test]
fn capture_partitions_are_merged_by_time() {
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
        "also in the order in which a shell names them"
    );
}

#[test]
fn only_files_with_a_start_time_are_reordered() {
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
fn the_start_time_of_a_file_is_read_from_its_path() {
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
        assert_eq!(start_time(Path::new(path)), expected, "{path}");
    }
}

#[test]
fn files_without_messages_are_skipped() {
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
    assert_eq!(found(&folder), (names.to_vec(), 4), "hidden files are not counted");
}

#[test]
fn a_folder_without_messages_is_an_error_but_a_named_file_is_read() {
    let folder = folder(&["notes.txt"]);
    let error = find(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(
        error.contains("it is a folder without a file whose name ends in .json, .jsonl"),
        "{error}"
    );
    let named = [
        folder.path().join("notes.txt"),
        PathBuf::from("-"),
        PathBuf::from("missing.json"),
    ];
    assert_eq!(find(&named, None).unwrap().paths, named);
}

#[test]
fn pipes_and_devices_are_skipped_with_a_warning() {
    let folder = folder(&["a.jsonl", "deep/b.jsonl"]);
    let at = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo")
        .args([at("p.jsonl"), at("q.txt")])
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("..", at("deep/round")).unwrap();
    std::os::unix::fs::symlink("deep", at("other")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("z.jsonl")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("notes")).unwrap();
    let files = find(&[folder.path().to_owned()], None).unwrap();
    assert_eq!(files.paths, [at("a.jsonl"), at("deep/b.jsonl")]);
    let [repeated, special] = files.warnings.as_slice() else {
        panic!("{:?}", files.warnings);
    };
    assert!(repeated.contains("lead to 2 folders that are read already"), "{repeated}");
    let expected = format!(
        "{} is a pipe, {} is a device",
        at("p.jsonl").display(),
        at("z.jsonl").display()
    );
    assert!(special.starts_with(&expected), "{special}");
    assert_eq!(files.skipped, 2, "a pipe and a link that are not named like message files");
    std::os::unix::fs::symlink("nowhere", at("gone.json")).unwrap();
    let error = find(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(
        error.contains("gone.json"),
        "a broken link that would be read is an error: {error}"
    );
}

#[test]
fn the_error_for_a_folder_names_pipes_and_counts_csv_files() {
    let folder = folder(&["a.csv", "deep/b.CSV.gz", "notes.txt"]);
    let error = || find(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(
        error().ends_with("in .avro; it has 2 CSV files, which are only read if --input names each of them"),
        "{}",
        error()
    );
    let pipe = folder.path().join("x.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::remove_file(folder.path().join("a.csv")).unwrap();
    std::fs::remove_file(folder.path().join("deep/b.CSV.gz")).unwrap();
    let expected = format!(
        "it is a folder without a file that can be read: {} is a pipe; only regular files are read from a folder; \
         pass a pipe to --input itself to read it",
        pipe.display()
    );
    assert!(error().ends_with(&expected), "{}", error());
}

#[test]
fn folders_may_be_nested_up_to_a_limit() {
    let deep = format!("{}a.json", "d/".repeat(MAX_DEPTH));
    assert_eq!(found(&folder(&[&deep])).0, [deep]);
    let folder = folder(&[&format!("{}a.json", "d/".repeat(MAX_DEPTH + 1))]);
    let error = find(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(error.contains("it is nested more than 64 folders deep"), "{error}");
}

/// Names with the partition after the date, each with the time and the body of its event.
const PARTITION_INSIDE: [(&str, &str, &str); 5] = [
    ("hub/2026/11/20/0/08/05/00.avro", "11/20/2026 8:06:00 AM", "1"),
    ("hub/2026/11/20/3/08/05/00.avro", "11/20/2026 8:07:00 AM", "2"),
    ("hub/2026/11/20/12/08/05/00.avro", "11/20/2026 8:07:00 AM", "3"),
    ("hub/2026/11/20/0/09/05/00.avro", "11/20/2026 9:06:00 AM", "4"),
    ("hub/2026/11/20/12/09/05/00.avro", "11/20/2026 12:07:00 PM", "0"),
];

#[test]
fn ambiguous_names_are_sorted_by_their_records() {
    let names = PARTITION_INSIDE.map(|(name, ..)| name);
    let folder = folder(&names);
    for (name, enqueued, body) in PARTITION_INSIDE {
        capture::tests::write(&folder.path().join(name), enqueued, body.as_bytes());
    }
    assert_eq!(found(&folder).0, names);
    // A file that cannot be read is sorted by its path.
    std::fs::write(folder.path().join(names[4]), "Obj").unwrap();
    assert_eq!(found(&folder).0.len(), 5);
}

#[test]
fn a_format_describes_where_the_start_time_is() {
    let names = PARTITION_INSIDE.map(|(name, ..)| name);
    let folder = folder(&[&names[..], &["x/a.avro"]].concat());
    let format = "{EventHub}/{Year}/{Month}/{Day}/{PartitionId}/{Hour}/{Minute}/{Second}";
    let files = find(&[folder.path().to_owned()], Some(&format.parse().unwrap())).unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(files.paths, [names.map(at).as_slice(), &[at("x/a.avro")]].concat());
    assert_eq!(files.warnings, [""; 0], "a file without a time keeps its position");
}
