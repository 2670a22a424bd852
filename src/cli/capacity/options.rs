//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;

use super::super::Failure;
use crate::capacity::schedule::{self, Schedule};
use crate::capacity::search::Plan;
use crate::capacity::verdict::Stress;
use crate::config::Delivery;

/// Where the broker is, what load to put on, and what counts as sustained.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Options {
    /// Take the broker (and the settings of [state], [repartition] and [watermark].interval) from this configuration; everything else is the
    /// test's own: topics, state, positions
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The broker, host:port
    #[arg(long, value_name = "SERVERS")]
    pub(super) bootstrap_servers: Option<String>,
    /// A broker inside this process, for a first impression: it keeps 5 MiB of a partition, so a second of lag is too much
    #[arg(long, conflicts_with_all = ["config", "bootstrap_servers"])]
    pub(super) embedded: bool,
    /// The course of the load
    #[arg(long, value_enum, default_value_t = Shape::Search)]
    pub(super) shape: Shape,
    /// Records per second; the greatest of a ramp, the ordinary one of a spike. Not for a search
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<f64>,
    /// The first rate of a search, in records per second
    #[arg(long, value_name = "N", default_value_t = 5_000.0)]
    pub(super) from: f64,
    /// No rate of a search is above this
    #[arg(long, value_name = "N", default_value_t = 1_000_000.0)]
    pub(super) most: f64,
    /// By which factor the rate of a search rises until one is not sustained
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    pub(super) growth: f64,
    /// How near the rate that is sustained and the one that is not must be
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub(super) precision: f64,
    /// How often the rate that was found is tried again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) repeats: usize,
    /// How long the broker is warmed up before the first trial: one that was started a moment ago is slow at first; 0s for not at all
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub(super) broker_warm_up: Duration,
    /// How long each trial runs before it counts
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) warm_up: Duration,
    /// How long each trial then counts [default: 20s; 30m for a soak]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) hold: Option<Duration>,
    /// The most that 99 of 100 rows may take from the close of their window
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = humantime::parse_duration)]
    pub(super) p99: Duration,
    /// The most resident memory that a processor may take
    #[arg(long, value_name = "SIZE", default_value = "2GB")]
    pub(super) memory_limit: ByteSize,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) instances: u16,
    /// How often a row may come [default: what the configuration says]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) delivery: Option<Mode>,
    /// Kill a processor, and start it again at once, every so often
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) kill_every: Option<Duration>,
    /// How long all processors are away in an outage
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) outage: Duration,
    /// By which factor the rate rises in a spike
    #[arg(long, value_name = "FACTOR", default_value_t = 3.0)]
    pub(super) spike: f64,
    /// Typical size of a record, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 2_650)]
    pub(super) record_size: usize,
    /// Share of activities with a correlation id
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share)]
    pub(super) keyed_share: f64,
    /// Alert policies, and so distinct correlation ids
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) policies: u32,
    /// Alerts per second
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    pub(super) alerts_per_second: f64,
    /// From StartTime to EndTime of an alert
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(super) window: Duration,
    /// Partitions of the topic of activities
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) partitions: u32,
    /// Take the bodies of the records from these files, as `correlate` reads them, rather than from the generator
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) recording: Vec<PathBuf>,
    /// What all choices of the traffic follow from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// How long the rest of the answer is waited for behind each trial
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) drain: Duration,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "capacity.html")]
    pub(super) html: PathBuf,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "capacity.json")]
    pub(super) json: PathBuf,
    /// Leave topics, state and logs of the processors where they are, and say where
    #[arg(long)]
    pub(super) keep: bool,
}

/// The course of the load.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Find the highest rate that is sustained
    Search,
    /// One rate
    Constant,
    /// From a tenth of the rate up to it
    Ramp,
    /// The rate, a multiple of it for a sixth of the hold, the rate again
    Spike,
    /// One rate, and for a while no processor
    Outage,
    /// One rate for long
    Soak,
}

/// How often a row may come.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[value(rename_all = "snake_case")]
pub(super) enum Mode {
    /// After a crash perhaps again
    AtLeastOnce,
    /// Once, by transactions
    ExactlyOnce,
}

impl Mode {
    pub(super) fn of(delivery: Delivery) -> Self {
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
    /// Fails, with a sentence, where options do not fit together.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let wrong = |text: &str| Err(Failure::usage(text));
        if self.config.is_none() && self.bootstrap_servers.is_none() && !self.embedded {
            return wrong(
                "no broker is named: give --bootstrap-servers HOST:PORT, or --config FILE, or --embedded for a first impression",
            );
        }
        match (self.shape, self.rate) {
            (Shape::Search, Some(_)) => {
                return wrong("--rate is not for a search, which finds the rate; give --from, or --shape constant");
            }
            (Shape::Search, None) => {}
            (_, None) => return wrong("this shape needs a rate: give --rate N, in records per second"),
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
                    "{name} is {value}: give a number above 0, at most 10000000"
                )));
            }
        }
        if self.growth <= 1.05 || self.spike <= 1.0 || self.growth > 100.0 || self.spike > 100.0 {
            return wrong("--growth and --spike are factors: give more than 1.05, at most 100");
        }
        if self.precision < 0.005 {
            return wrong("--precision is finer than a hold can tell: give 0.5% or more");
        }
        if self.hold() < 2 * self.window || self.hold() < Duration::from_secs(5) {
            return wrong("--hold is too short: give at least 5s, and at least twice the --window");
        }
        if self.window < Duration::from_millis(100) {
            return wrong("--window is too short: give 100ms or more");
        }
        if self.shape == Shape::Outage && self.outage + Duration::from_secs(5) > self.hold() * 3 / 4 {
            return wrong("--outage does not fit into three quarters of --hold with 5 s to spare: raise --hold");
        }
        if self.kill_every.is_some_and(|every| every < Duration::from_secs(1)) {
            return wrong("--kill-every is too short: a processor takes about a second to start; give 1s or more");
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

    /// The load that warms up the broker, at the first rate, and that rate; `None` when it is not wanted.
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
            most: self.most.max(self.from),
            growth: self.growth,
            precision: self.precision,
            repeats: self.repeats,
        }
    }

    pub(super) fn schedule(&self, rate: f64) -> Schedule {
        let shape = match self.shape {
            Shape::Ramp => schedule::Shape::Ramp,
            Shape::Spike => schedule::Shape::Spike(self.spike),
            _ => schedule::Shape::Constant,
        };
        Schedule::of_shape(shape, rate, self.warm_up, self.hold())
    }

    pub(super) fn stress(&self) -> Stress {
        match (self.shape, self.kill_every) {
            (Shape::Search | Shape::Constant | Shape::Soak, None) => Stress::None,
            _ => Stress::Expected,
        }
    }

    /// When the processors are away, from when to when.
    pub(super) fn outage(&self) -> Option<(Duration, Duration)> {
        let from = self.warm_up + self.hold() / 4;
        (self.shape == Shape::Outage).then_some((from, from + self.outage))
    }

    /// When the disturbance ends from which the processor has to catch up.
    pub(super) fn calm_from(&self) -> Option<Duration> {
        match self.shape {
            Shape::Outage => self.outage().map(|(_, to)| to),
            Shape::Spike => Some(self.warm_up + self.hold() / 2),
            _ => None,
        }
    }
}

/// A share as `0.05` or as `5%`.
fn share(text: &str) -> Result<f64, String> {
    let parsed = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse::<f64>(),
    };
    match parsed {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a share from 0 to 1, or from 0% to 100%".to_owned()),
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
    fn the_defaults_fit_together() {
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
    fn what_does_not_fit_is_told() {
        for (line, part) in [
            (&[] as &[&str], "no broker is named"),
            (&["--embedded", "--rate", "5"], "--rate is not for a search"),
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
    fn an_outage_lies_in_the_hold() {
        let options = parse(&["--embedded", "--shape", "outage", "--rate", "9"]);
        let (from, to) = options.outage().unwrap();
        assert!(from >= options.warm_up && to < options.warm_up + options.hold());
        assert_eq!(options.calm_from(), Some(to));
    }
}
