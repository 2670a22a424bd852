//! The options of the command.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;

use crate::capacity::schedule::{self, LoadSchedule};
use crate::capacity::search::Plan;
use crate::capacity::verdict::Stress;
use crate::config::Delivery;
use crate::term::Failure;

/// The broker, the load, and the criteria for sustained.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Options {
    /// Use the broker (and [state], [repartition] and [watermark].interval) from this configuration; topics, state and
    /// positions are the test's own
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Broker address, host:port
    #[arg(long, value_name = "SERVERS")]
    pub(super) bootstrap_servers: Option<String>,
    /// Use a broker inside this process, for a first impression; it keeps 5 MiB per partition, so a trial fails at
    /// about a second of lag
    #[arg(long, conflicts_with_all = ["config", "bootstrap_servers"])]
    pub(super) embedded: bool,
    /// Course of the load
    #[arg(long, value_enum, default_value_t = Shape::Search)]
    pub(super) shape: Shape,
    /// Records per second; the maximum of a ramp, the base rate of a spike; not for a search
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<f64>,
    /// First rate of a search, in records per second
    #[arg(long, value_name = "N", default_value_t = 5_000.0)]
    pub(super) from: f64,
    /// Upper limit of the rates of a search
    #[arg(long, value_name = "N", default_value_t = 1_000_000.0)]
    pub(super) most: f64,
    /// Factor by which a search raises the rate until one is not sustained
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    pub(super) growth: f64,
    /// Relative precision of the search
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub(super) precision: f64,
    /// How often to repeat the rate that was found
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) repeats: usize,
    /// How long to warm up the broker before the first trial, because a new broker is slow at first; 0s to skip
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub(super) broker_warm_up: Duration,
    /// How long each trial warms up before it counts
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) warm_up: Duration,
    /// How long each trial is measured [default: 20s; 30m for a soak]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) hold: Option<Duration>,
    /// Limit of the 99th percentile of the close latency
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration)]
    pub(super) p99: Duration,
    /// Limit of the resident memory of a processor
    #[arg(long, value_name = "SIZE", default_value = "2GB")]
    pub(super) memory_limit: ByteSize,
    /// Number of processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) instances: u16,
    /// Delivery guarantee [default: that of the configuration]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) delivery: Option<Mode>,
    /// Interval at which to kill and restart a processor
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) kill_every: Option<Duration>,
    /// How long all processors are stopped in an outage
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) outage: Duration,
    /// Factor by which the rate rises in a spike
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0)]
    pub(super) spike: f64,
    /// Typical size of a record, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2_650)]
    pub(super) record_size: usize,
    /// Share of activities with a correlation id
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share)]
    pub(super) keyed_share: f64,
    /// Number of alert policies, which is the number of distinct correlation ids
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) policies: u32,
    /// Alerts per second
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    pub(super) alerts_per_second: f64,
    /// Time from StartTime to EndTime of an alert
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(super) window: Duration,
    /// Number of partitions of the topic of activities
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) partitions: u32,
    /// Use the bodies of the records in these files, in any format that `correlate` reads, instead of generated ones
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) recording: Vec<PathBuf>,
    /// Seed of all random choices of the traffic
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// How long to wait for the rest of the output after each trial
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) drain: Duration,
    /// File for the report
    #[arg(long, value_name = "FILE", default_value = "capacity.html")]
    pub(super) html: PathBuf,
    /// File for the figures
    #[arg(long, value_name = "FILE", default_value = "capacity.json")]
    pub(super) json: PathBuf,
    /// Keep topics, state and logs of the processors, and print their location
    #[arg(long)]
    pub(super) keep: bool,
}

/// The course of the load.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Find the highest sustained rate
    Search,
    /// One constant rate
    Constant,
    /// Increase from a tenth of the rate up to it
    Ramp,
    /// The rate, a multiple of it for a sixth of the hold, the rate again
    Spike,
    /// A constant rate, with all processors stopped for a while
    Outage,
    /// A constant rate for a long time
    Soak,
}

/// The delivery guarantee.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[value(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Rows may be repeated after a crash
    AtLeastOnce,
    /// Each row once, with transactions
    ExactlyOnce,
}

impl Mode {
    pub(super) fn from_delivery(delivery: Delivery) -> Self {
        match delivery {
            Delivery::AtLeastOnce => Self::AtLeastOnce,
            Delivery::ExactlyOnce => Self::ExactlyOnce,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }
}

impl Shape {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Constant => "constant",
            Self::Ramp => "ramp",
            Self::Spike => "spike",
            Self::Outage => "outage",
            Self::Soak => "soak",
        }
    }
}

impl Options {
    /// Fails if options contradict each other.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::usage(text));
        if self.config.is_none() && self.bootstrap_servers.is_none() && !self.embedded {
            return wrong(
                "no broker: pass --bootstrap-servers HOST:PORT, or --config FILE, or --embedded for a first impression",
            );
        }
        match (self.shape, self.rate) {
            (Shape::Search, Some(_)) => {
                return wrong("a search finds the rate and takes no --rate; use --from, or --shape constant");
            }
            (Shape::Search, None) => {}
            (_, None) => return wrong("this shape needs a rate: pass --rate N, in records per second"),
            (_, Some(_)) => {}
        }
        let positive = [
            ("--rate", self.rate.unwrap_or(1.0)),
            ("--from", self.from),
            ("--most", self.most),
            ("--alerts-per-second", self.alerts_per_second),
        ];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0 && value <= 1e7) {
                return Err(Failure::usage(format!(
                    "{name} is {value}: use a number above 0, at most 10000000"
                )));
            }
        }
        if self.growth <= 1.05 || self.spike <= 1.0 || self.growth > 100.0 || self.spike > 100.0 {
            return wrong("--growth and --spike are factors: use more than 1.05, at most 100");
        }
        if self.precision < 0.005 {
            return wrong("--precision is finer than a hold can measure: use 0.5% or more");
        }
        if self.hold() < 2 * self.window || self.hold() < Duration::from_secs(5) {
            return wrong("--hold is too short: use at least 5s, and at least twice the --window");
        }
        if self.window < Duration::from_millis(100) {
            return wrong("--window is too short: use 100ms or more");
        }
        if self.shape == Shape::Outage && self.outage + Duration::from_secs(5) > self.hold() * 3 / 4 {
            return wrong("--outage does not fit into three quarters of --hold with 5 s to spare: raise --hold");
        }
        if self.kill_every.is_some_and(|every| every < Duration::from_secs(1)) {
            return wrong("--kill-every is too short: a processor takes about a second to start; use 1s or more");
        }
        Ok(())
    }

    pub(super) fn hold(&self) -> Duration {
        self.hold.unwrap_or(match self.shape {
            Shape::Soak => Duration::from_secs(30 * 60),
            Shape::Outage => Duration::from_secs(40),
            _ => Duration::from_secs(20),
        })
    }

    /// Returns the load that warms up the broker at the first rate, and that rate. Returns `None` if the warm-up is
    /// disabled.
    pub(super) fn warming(&self) -> Option<(Self, f64)> {
        let warming = Self {
            shape: Shape::Constant,
            warm_up: Duration::ZERO,
            hold: Some(self.broker_warm_up),
            kill_every: None,
            drain: self.drain.min(Duration::from_secs(5)),
            ..self.clone()
        };
        let is_wanted = !self.embedded && !self.broker_warm_up.is_zero();
        is_wanted.then(|| (warming, self.rate.unwrap_or(self.from)))
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            from: self.from,
            max_rate: self.most.max(self.from),
            growth: self.growth,
            precision: self.precision,
            repeats: self.repeats,
        }
    }

    pub(super) fn schedule(&self, rate: f64) -> LoadSchedule {
        let shape = match self.shape {
            Shape::Ramp => schedule::Shape::Ramp,
            Shape::Spike => schedule::Shape::Spike(self.spike),
            _ => schedule::Shape::Constant,
        };
        LoadSchedule::with_shape(shape, rate, self.warm_up, self.hold())
    }

    pub(super) fn stress(&self) -> Stress {
        match (self.shape, self.kill_every) {
            (Shape::Search | Shape::Constant | Shape::Soak, None) => Stress::None,
            _ => Stress::Expected,
        }
    }

    /// Returns when the outage begins and ends.
    pub(super) fn outage(&self) -> Option<(Duration, Duration)> {
        let from = self.warm_up + self.hold() / 4;
        (self.shape == Shape::Outage).then_some((from, from + self.outage))
    }

    /// Returns when the disturbance ends, after which the processor has to catch up.
    pub(super) fn calm_from(&self) -> Option<Duration> {
        match self.shape {
            Shape::Outage => self.outage().map(|(_, to)| to),
            Shape::Spike => Some(self.warm_up + self.hold() / 2),
            _ => None,
        }
    }
}

/// Parses a share such as `0.05` or `5%`.
fn share(text: &str) -> Result<f64, String> {
    let parsed = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse::<f64>(),
    };
    match parsed {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("use a share from 0 to 1, or from 0% to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &[&str]) -> Options {
        Command::try_parse_from(["capacity"].iter().chain(line)).unwrap().options
    }

    #[test]
    fn the_defaults_are_consistent() {
        parse(&["--embedded"]).check().unwrap();
        for shape in ["constant", "ramp", "spike", "outage", "soak"] {
            let options = parse(&["--embedded", "--shape", shape, "--rate", "1000"]);
            options.check().unwrap();
            assert_eq!(options.shape.word(), shape);
        }
        assert_eq!(
            parse(&["--embedded", "--precision", "0.1", "--keyed-share", "12.5%"]).precision,
            0.1
        );
    }

    #[test]
    fn inconsistent_options_are_reported() {
        for (line, part) in [
            (&[] as &[&str], "no broker: pass"),
            (&["--embedded", "--rate", "5"], "takes no --rate"),
            (&["--embedded", "--shape", "soak"], "needs a rate"),
            (&["--embedded", "--hold", "1s"], "--hold is too short"),
            (&["--embedded", "--from", "0"], "--from is 0"),
            (
                &["--embedded", "--shape", "outage", "--rate", "9", "--outage", "30s"],
                "--outage does not fit",
            ),
            (&["--embedded", "--kill-every", "10ms"], "--kill-every is too short"),
        ] {
            let failure = parse(line).check().unwrap_err();
            assert!(
                failure.message.contains(part) && failure.status == 2,
                "{line:?}: {}",
                failure.message
            );
        }
        assert!(Command::try_parse_from(["capacity", "--keyed-share", "300%"]).is_err());
    }

    #[test]
    fn an_outage_is_within_the_hold() {
        let options = parse(&["--embedded", "--shape", "outage", "--rate", "9"]);
        let (from, to) = options.outage().unwrap();
        assert!(from >= options.warm_up && to < options.warm_up + options.hold());
        assert_eq!(options.calm_from(), Some(to));
    }
}
