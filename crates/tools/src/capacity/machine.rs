//! The machine on which the test ran.

use std::fs;

use crate::capacity::result::Machine;

/// Describes this machine, as far as the system reports it.
pub(super) fn describe() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory = memory.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    let name = read("/etc/os-release");
    let name = name.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    Machine {
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu: cpu
            .map_or(std::env::consts::ARCH, |line| line.trim_start_matches([' ', '\t', ':']))
            .to_owned(),
        memory: memory.unwrap_or(0) * 1_024,
        system: format!("{name} {}", kernel.trim()).trim().to_owned(),
        load: read("/proc/loadavg")
            .split_whitespace()
            .next()
            .and_then(|load| load.parse().ok()),
    }
}
