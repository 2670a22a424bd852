//! The processors under test: starts, measures, kills and stops their processes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::environment::Environment;
use crate::clock;
use crate::term::Failure;

/// How long a processor may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a processor's metrics. The processor is on this machine.
const METRICS_TIMEOUT: Duration = Duration::from_millis(150);

/// All processors of a trial. They end with it.
pub(super) struct Processors<'s> {
    environment: &'s Environment,
    list: Vec<Processor>,
    http: ureq::Agent,
    /// The next offset to apply, for each partition of the repartition topic.
    applied: BTreeMap<i32, i64>,
    /// The number of processors that were killed.
    pub(super) kills: u64,
}

struct Processor {
    child: Option<Child>,
    port: u16,
    state: PathBuf,
    log: PathBuf,
    /// CPU seconds of the killed processes that this one replaces.
    cpu_before: f64,
    /// CPU seconds of this process at the last measurement.
    cpu: f64,
    peak: u64,
}

/// The resources that the processors use.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Usage {
    /// CPU seconds of all since the beginning, or `None` if the system does not report them.
    pub(super) cpu: Option<f64>,
    /// Resident memory of all.
    pub(super) memory: Option<u64>,
    /// The maximum resident memory of one.
    pub(super) peak: Option<u64>,
}

impl<'s> Processors<'s> {
    /// Starts this many processors.
    pub(super) fn start(environment: &'s Environment, count: u16) -> Result<Self, Failure> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(METRICS_TIMEOUT)).build();
        let mut processors = Self {
            environment,
            list: Vec::new(),
            http: agent.into(),
            applied: BTreeMap::new(),
            kills: 0,
        };
        for number in 1..=count {
            let state = environment.folder.join(format!("state-{number}"));
            processors.list.push(Processor {
                child: None,
                port: free_port().map_err(Failure::failed)?,
                state,
                log: environment.folder.join(format!("processor-{number}.log")),
                cpu_before: 0.0,
                cpu: 0.0,
                peak: 0,
            });
        }
        processors.start_all()?;
        Ok(processors)
    }

    /// Starts the processors that are not running.
    pub(super) fn start_all(&mut self) -> Result<(), Failure> {
        for processor in self.list.iter_mut().filter(|processor| processor.child.is_none()) {
            processor.start(self.environment)?;
        }
        Ok(())
    }

    /// Kills one processor and restarts it at once.
    pub(super) fn kill_one(&mut self, draw: u64) -> Result<(), Failure> {
        let at = usize::try_from(draw % self.list.len().max(1) as u64).unwrap_or(0);
        if let Some(processor) = self.list.get_mut(at) {
            processor.kill();
            self.kills += 1;
            processor.start(self.environment)?;
        }
        Ok(())
    }

    /// Kills all processors.
    pub(super) fn kill_all(&mut self) {
        for processor in &mut self.list {
            processor.kill();
            self.kills += 1;
        }
    }

    /// Requests all processors to stop, waits for them, and kills those that still run.
    pub(super) fn stop(&mut self) {
        for child in self.list.iter().filter_map(|processor| processor.child.as_ref()) {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // A process that has ended in the meantime needs no signal.
                rustix::process::kill_process(pid, Signal::TERM).ok();
            }
        }
        let began = clock::start();
        while began.elapsed() < STOP_TIMEOUT && self.list.iter_mut().any(Processor::runs) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.list.iter_mut().for_each(Processor::kill);
    }

    /// Returns the last log line of a processor that has ended without a request, if there is one.
    pub(super) fn ended(&mut self) -> Option<String> {
        let has_ended = |processor: &mut Processor| processor.child.is_some() && !processor.runs();
        let at = self.list.iter_mut().position(has_ended)?;
        let ended = self.list.get(at)?;
        let log = fs::read_to_string(&ended.log).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        Some(last.trim().chars().take(400).collect())
    }

    /// Returns the resources that the processors use now.
    pub(super) fn usage(&mut self) -> Usage {
        let mut usage = Usage {
            cpu: Some(0.0),
            memory: Some(0),
            peak: Some(0),
        };
        for processor in &mut self.list {
            let memory = processor.measure();
            let is_known = cfg!(target_os = "linux");
            usage.cpu = usage
                .cpu
                .filter(|_| is_known)
                .map(|cpu| cpu + processor.cpu_before + processor.cpu);
            usage.memory = usage.memory.filter(|_| is_known).map(|sum| sum + memory);
            usage.peak = usage.peak.filter(|_| is_known).map(|peak| peak.max(processor.peak));
        }
        usage
    }

    /// Returns the next offset to apply for each partition of the repartition topic, as reported by the processors. If
    /// one does not respond, its last report is used.
    pub(super) fn applied(&mut self) -> &BTreeMap<i32, i64> {
        for at in 0..self.list.len() {
            for (name, labels, value) in self.metrics(at) {
                if name == "alerttrail_join_offset"
                    && let Some(partition) = partition_of(&labels)
                {
                    let known = self.applied.entry(partition).or_default();
                    *known = (*known).max(value as i64);
                }
            }
        }
        &self.applied
    }

    /// Returns how many partitions of the repartition topic are assigned.
    pub(super) fn owned(&self) -> u64 {
        let owned = |at| -> u64 {
            let metrics = self.metrics(at);
            let mut found = metrics.iter().filter(|(name, _, _)| name == "alerttrail_partitions_owned");
            found.next().map_or(0, |(_, _, value)| *value as u64)
        };
        (0..self.list.len()).map(owned).sum()
    }

    /// Returns the bytes of state on disk.
    pub(super) fn state_bytes(&self) -> u64 {
        self.list.iter().map(|processor| bytes_below(&processor.state)).sum()
    }

    /// Returns the name, the labels and the value of every metric. Returns an empty list if the processor does not
    /// respond.
    fn metrics(&self, at: usize) -> Vec<(String, String, f64)> {
        let Some(processor) = self.list.get(at).filter(|processor| processor.child.is_some()) else {
            return Vec::new();
        };
        let mut request = self.http.get(format!("http://127.0.0.1:{}/metrics", processor.port));
        if let Some(token) = &self.environment.config.http.token {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        let response = request.call().and_then(|mut response| response.body_mut().read_to_string());
        response.map(|text| parsed(&text)).unwrap_or_default()
    }
}

impl Drop for Processors<'_> {
    fn drop(&mut self) {
        self.list.iter_mut().for_each(Processor::kill);
    }
}

impl Processor {
    fn start(&mut self, environment: &Environment) -> Result<(), Failure> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let started = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(&environment.file)
            .args(environment.is_embedded().then_some("--as-they-are"))
            .envs(environment.variables.iter().map(|(name, value)| (name, value)))
            .env("ALERTTRAIL_STATE__DIR", &self.state)
            .env("ALERTTRAIL_HTTP__LISTEN", format!("127.0.0.1:{}", self.port))
            // Ctrl-C is sent only to the driver, which stops the processors in its own order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_err(Failure::failed)?)
            .spawn();
        self.child = Some(started.map_err(|error| Failure::failed(format!("cannot start a processor: {error}")))?);
        Ok(())
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn kill(&mut self) {
        self.measure();
        if let Some(mut child) = self.child.take() {
            // A process that has already ended cannot be killed, but must still be waited for.
            drop(child.kill());
            drop(child.wait());
        }
        self.cpu_before += std::mem::take(&mut self.cpu);
    }

    /// Measures the resources that the process uses. Returns its resident memory.
    fn measure(&mut self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        if let Some(cpu) = cpu_seconds(&child.id().to_string()) {
            self.cpu = self.cpu.max(cpu);
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        self.peak = self.peak.max(field(&status, "VmHWM:"));
        field(&status, "VmRSS:")
    }
}

/// Returns the CPU seconds of a process, `self` for this one, or `None` if the system does not report them.
pub(super) fn cpu_seconds(process: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns the bytes of a field in `/proc/…/status`, which contains values in kB.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        _ => entry.metadata().map_or(0, |found| found.len()),
    });
    bytes.sum()
}

/// Parses Prometheus' text format: one metric per line, without comments.
fn parsed(text: &str) -> Vec<(String, String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let metric = |line: &str| {
        let (what, value) = line.rsplit_once(' ')?;
        let (name, labels) = what.split_once('{').unwrap_or((what, ""));
        Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
    };
    lines.filter_map(metric).collect()
}

fn partition_of(labels: &str) -> Option<i32> {
    let (_, rest) = labels.split_once("partition=\"")?;
    rest.split('"').next()?.parse().ok()
}

/// Returns a port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read() {
        let text = "# HELP a b\nalerttrail_join_offset{partition=\"7\"} 123\nalerttrail_partitions_owned 4\n";
        let found = parsed(text);
        assert_eq!(found.len(), 2);
        assert_eq!((partition_of(&found[0].1), found[0].2), (Some(7), 123.0));
        assert_eq!((found[1].0.as_str(), found[1].2), ("alerttrail_partitions_owned", 4.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_time_and_memory() {
        let began = cpu_seconds("self").unwrap();
        let mut sum = 0_u64;
        while cpu_seconds("self").unwrap() < began + 0.05 {
            sum = (0..100_000_u64).fold(sum, |sum, number| sum.wrapping_mul(31) ^ number);
        }
        assert_ne!(sum, 1);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(field(&status, "VmRSS:") > 1_000_000);
        assert_eq!(field(&status, "Nothing:"), 0);
    }
}
