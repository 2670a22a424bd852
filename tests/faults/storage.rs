//! Disks that are full, and folders that are gone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::kills::{WINDOW, configure};
use crate::oracle::{Expected, Output};
use crate::report::{Mode, Report, in_every_mode};
use crate::support::world::Counted;
use crate::support::{World, activity, alert};

in_every_mode!(b03_disk_full, b07_state_deleted_under_the_process);

/// A small disk in memory, mounted until it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(&at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(at))
    }

    /// Makes room for everything that follows.
    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=512m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// Returns the free space in kilobytes.
fn free(path: &Path) -> usize {
    let output = Command::new("df").args(["-k", "--output=avail"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

const KEYS: usize = 12;

/// Sends activities of many keys inside the window, so that every partition of the repartition topic has some. Each has
/// 3 kB that do not compress.
fn send_activities(world: &mut World, note: &str, count: usize) {
    let digits = |number: usize| format!("{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let filler = |n: usize| (0..175).map(|part| digits(n * 1_000 + part)).collect::<String>();
    let activities: Vec<Vec<u8>> = (0..count)
        .map(|n| {
            activity(
                &format!("p{}", n % KEYS),
                "2026-03-01T10:00:00Z",
                &format!("{note} {n} {}", filler(n)),
            )
        })
        .collect();
    world.send("activities", 4, activities.iter().map(Vec::as_slice));
}

fn send_alerts(world: &World) {
    for n in 0..KEYS {
        let alert = alert(&format!("A{n}"), &format!("p{n}"), WINDOW.0, WINDOW.1, "2026-03-01T11:05:00Z");
        world.send_to("alerts", 0, Counted::Yes, [alert.as_slice()]);
    }
}

fn b03_disk_full(mode: Mode) {
    let Some(mut world) = World::new("b03") else { return };
    let mut report = Report::new("B3", mode);
    let Some(disk) = Disk::mount(world.folder.path().join("disk")) else {
        return report.skip("mounting_a_tmpfs_is_not_allowed_here");
    };
    configure(&mut world, mode);
    // So little that the data does not stay in memory for long.
    world.set("state", "memory = \"8MB\"");
    world.states = disk.0.clone();
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    send_activities(&mut world, "before", 300);
    send_alerts(&world);
    output.wait("first rows", Duration::from_secs(60), &mut [&mut instance], |output| {
        output.len() == 300
    });
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; (free(&disk.0).saturating_sub(2_000)) << 10]).unwrap();
    report.fact("free_kb", free(&disk.0));
    send_activities(&mut world, "full", 4_000);
    let status = instance.ended_within(Duration::from_secs(90));
    let log = instance.log();
    // RocksDB's reserved space is free again once the process has ended, so the disk itself no longer shows that it was
    // full.
    let full = |line: &str| line.contains("no space is left") || line.contains("No space left");
    if !log.lines().any(full) {
        println!("{log}");
    }
    report.assert_happened("a full disk", log.lines().any(full));
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    let path = disk.0.display().to_string();
    let names_the_cause = |line: &str| line.contains("error") && full(line) && line.contains(&path);
    assert!(
        log.lines().any(names_the_cause),
        "the log does not contain the cause of the stop:\n{log}"
    );
    std::fs::remove_file(ballast).unwrap();
    disk.grow();
    let mut instance = world.start("a");
    let expected = Expected::compute(&world);
    output.wait_for(&expected, Duration::from_secs(90), &mut [&mut instance]);
    report.fact("pairs", expected.len());
    report.fact("repeats", output.repeats());
    report.ok();
}

fn b07_state_deleted_under_the_process(mode: Mode) {
    let Some(mut world) = World::new("b07") else { return };
    let mut report = Report::new("B7", mode);
    configure(&mut world, mode);
    let mut output = Output::open(&world, mode);
    let mut instance = world.start("a");
    instance.wait_for_log(" joining ");
    send_activities(&mut world, "before", 300);
    send_alerts(&world);
    output.wait("first rows", Duration::from_secs(60), &mut [&mut instance], |output| {
        output.len() == 300
    });
    std::fs::remove_dir_all(world.states.join("a")).unwrap();
    send_activities(&mut world, "behind", 300);
    let began = Instant::now();
    instance.wait_for_log("the state folder was removed; the state is rebuilt from the repartition topic");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it noticed late:\n{}",
        instance.log()
    );
    report.fact("noticed_ms", began.elapsed().as_millis());
    output.wait_for(&Expected::compute(&world), Duration::from_secs(60), &mut [&mut instance]);
    report.fact("repeats", output.repeats());
    report.ok();
}
