//! The guarantee of `state.memory`: the limit holds for all partitions together.

use std::path::Path;

use alerttrail::store::{Backend, Direction, Reads as _, Shared, Span, State, Table, Txn};

use super::joined_log::{Random, number};
use super::util::rerun_test;

/// The variable that gives a child of this test binary the folder for its stores.
const FOLDER: &str = "ALERTTRAIL_TEST_MEMORY";
const MIB: usize = 1 << 20;
const PARTITIONS: usize = 64;

/// Returns a line of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: usize = line
        .trim_start_matches(':')
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    kib << 10
}

#[test]
#[cfg(target_os = "linux")]
fn sixty_four_partitions_keep_to_the_memory_they_share() {
    let folder = tempfile::tempdir().unwrap();
    let child = rerun_test("storage::memory::writes_to_many_stores", FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    println!("{text}");
    let figure = |name: &str| -> usize {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{text}")).trim().parse().unwrap()
    };
    let (memory, peak) = (figure("memory MiB"), figure("peak MiB"));
    // More was written than the memory may hold, and the memory was used.
    assert!(figure("written MiB") > 3 * memory && peak > memory / 2, "{text}");
    // docs/state.md promises this limit.
    assert!(peak <= memory + 64 + PARTITIONS, "{text}");
    // Buffers that are nearly empty are not written to disk, because that would make thousands of small files.
    assert!(figure("table files") <= PARTITIONS * 60, "{text}");
}

/// Not a test of its own: a child process of another test runs it, so that the memory of the process is that of the
/// stores.
#[test]
fn writes_to_many_stores() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let memory = number("ALERTTRAIL_TEST_MEMORY_MIB", 128) * MIB;
    let rounds = number("ALERTTRAIL_TEST_MEMORY_ROUNDS", 40);
    let before = status("VmRSS");
    let shared = Shared::new(memory);
    let open = |partition: usize| State::open(&folder.join(partition.to_string()), &shared).unwrap();
    let mut backends: Vec<_> = (0..PARTITIONS).map(open).collect();
    let opened = status("VmRSS");
    let mut random = Random::new(1);
    let mut written = 0;
    for round in 0..rounds {
        for backend in &mut backends {
            let mut txn = Txn::new(backend);
            for _ in 0..100 {
                let mut key = random.below(usize::MAX).to_be_bytes().to_vec();
                key.extend([0; 40]);
                let row: Vec<u8> = (0..250).flat_map(|_| random.below(usize::MAX).to_le_bytes()).collect();
                written += row.len();
                txn.put(Table::Timers, key.clone(), Vec::new());
                txn.put(Table::Activities, key, row);
            }
            txn.put(Table::Alerts, round.to_be_bytes().to_vec(), vec![0; 300]);
            txn.put(Table::AlertRows, round.to_be_bytes().to_vec(), vec![0; 3000]);
            txn.put(Table::ClosedWindows, round.to_be_bytes().to_vec(), vec![0; 30]);
            txn.put(Table::Meta, b"progress".to_vec(), vec![0; 300]);
            let batch = txn.into_batch();
            backend.write(batch).unwrap();
            let from = (random.below(200) as u8).to_be_bytes().to_vec();
            let span = Span { from, to: vec![0xff] };
            let read = backend.scan(Table::Activities, span, Direction::Forward).take(200);
            assert!(read.map(Result::unwrap).count() <= 200);
        }
    }
    let mib = |bytes: usize| bytes / MIB;
    println!("\nmemory MiB {}", mib(memory));
    println!("written MiB {}", mib(written));
    println!("before MiB {}", mib(before));
    println!("opened MiB {}", mib(opened));
    println!("rss MiB {}", mib(status("VmRSS")));
    println!("peak MiB {}", mib(status("VmHWM") - before));
    let files = (0..PARTITIONS).flat_map(|partition| std::fs::read_dir(folder.join(partition.to_string())).unwrap());
    let tables = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sst"));
    println!("table files {}", tables.count());
}
