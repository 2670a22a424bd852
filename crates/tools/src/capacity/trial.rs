//! One trial: starts new processors with new topics, applies the load, waits for the rest of the output, and measures.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::environment::{EMBEDDED_BYTES, Environment, OUT_OF_ORDERNESS};
use super::options::{Mode, Options};
use super::processors::{Processors, cpu_seconds};
use super::progress::Progress;
use super::reader::{self, OutputReader, ReaderState, Received, SharedReaderState, Times};
use super::sender::{self, SenderState};
use crate::capacity::oracle::Repeats;
use crate::capacity::result::{Limits, Sample, Step};
use crate::capacity::schedule::LoadSchedule;
use crate::capacity::search::Purpose;
use crate::capacity::template::Pool;
use crate::capacity::traffic::{Mix, Traffic};
use crate::capacity::verdict::{self, Stress};
use crate::clock;
use crate::shutdown::Shutdown;
use crate::term::Failure;
use crate::time::WallTime;

/// Interval between samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// How long the processors may take until all partitions are assigned.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for unexpected rows after all expected ones have arrived.
const QUIET_PERIOD: Duration = Duration::from_secs(1);
/// Watermark updates come at least once a second: after this time without one, a partition is not being read.
const STALE_AFTER: Duration = Duration::from_millis(1_500);
/// A trial is abandoned when its backlog reaches this many seconds of the load.
const ABANDON_LAG_SECONDS: f64 = 5.0;
/// The share of the embedded broker's capacity of a partition that may be unread.
const EMBEDDED_SHARE: f64 = 0.5;
/// Half of the maximum number of samples of a trial: when twice as many are reached, every second one is dropped.
const MAX_SAMPLES: usize = 2_400;

/// State shared by all trials.
pub(super) struct TestContext<'b> {
    pub(super) options: &'b Options,
    pub(super) pool: &'b Pool,
    pub(super) record_size: f64,
    pub(super) shutdown: &'b Shutdown,
    pub(super) folder: &'b Path,
    pub(super) name: &'b str,
}

/// A running trial.
struct Trial<'t> {
    context: &'t TestContext<'t>,
    environment: &'t Environment,
    schedule: LoadSchedule,
    times: Times,
    link: Arc<SenderState>,
    reader_state: SharedReaderState,
    step: Step,
    /// CPU seconds of the processors and of the driver when the hold began.
    cpu_at_hold: Option<(Option<f64>, Option<f64>)>,
    last_cpu: Option<(f64, f64)>,
    next_kill: Option<Duration>,
    is_out: bool,
}

impl TestContext<'_> {
    /// Runs one trial. Prints a warning about topics that cannot be deleted afterwards.
    pub(super) fn run(
        &self,
        number: usize,
        purpose: Purpose,
        rate: f64,
        progress: &mut Progress,
    ) -> Result<(Step, Environment), Failure> {
        let id = format!("{}-{number}", self.name);
        let environment = Environment::open(self.options, &id, self.folder)?;
        let step = self.on(&environment, number, purpose, rate, progress);
        if !self.options.keep
            && let Err(failure) = environment.delete()
        {
            crate::term::eprint_line(&format!("warning: {}", failure.message));
        }
        Ok((step?, environment))
    }

    fn on(
        &self,
        environment: &Environment,
        number: usize,
        purpose: Purpose,
        rate: f64,
        progress: &mut Progress,
    ) -> Result<Step, Failure> {
        let mut processors = Processors::start(environment, self.options.instances)?;
        let reader_state = SharedReaderState::default();
        let reader = self.ready(environment, &mut processors, &reader_state)?;
        let schedule = self.options.schedule(rate);
        let hold = (self.options.warm_up, self.options.warm_up + self.options.hold());
        let times = reader::begin(hold);
        let traffic = Traffic::new(schedule.clone(), self.pool.clone(), self.mix(), times.event);
        let link = Arc::new(SenderState::default());
        let (windows, expected) = sync_channel(10_000);
        let reading = reader.start(times, expected, Arc::clone(&link))?;
        let sending = sender::start(environment, traffic, times.begin, windows, &link);
        let mut trial = Trial {
            context: self,
            environment,
            schedule,
            times,
            link: Arc::clone(&link),
            reader_state,
            step: Step {
                number,
                purpose: Some(purpose),
                rate,
                hold_from: hold.0.as_secs_f64(),
                hold_to: hold.1.as_secs_f64(),
                ..Step::default()
            },
            cpu_at_hold: None,
            last_cpu: None,
            next_kill: self.options.kill_every.map(|every| self.options.warm_up + every),
            is_out: false,
        };
        let ran = sending.and_then(|sending| {
            let ran = trial
                .load(&mut processors, progress)
                .and_then(|()| trial.drain(&mut processors));
            link.over.store(true, Ordering::Relaxed);
            drop(sending.join());
            ran
        });
        link.over.store(true, Ordering::Relaxed);
        let received = reading.join().unwrap_or_default();
        let is_judged = ran?;
        // A user who interrupts does not want to wait; the processors end with this function.
        if !self.shutdown.is_requested() {
            processors.stop();
        }
        Ok(trial.finish_step(&received, is_judged, &mut processors))
    }

    fn mix(&self) -> Mix {
        Mix {
            seed: self.options.seed,
            partitions: self.options.partitions,
            keyed_share: self.options.keyed_share,
            alerts: self.options.alerts_per_second,
            window: self.options.window,
            out_of_orderness: OUT_OF_ORDERNESS,
        }
    }

    /// Waits until every partition of the repartition topic is assigned and every source partition is read.
    fn ready(
        &self,
        environment: &Environment,
        processors: &mut Processors<'_>,
        reader_state: &SharedReaderState,
    ) -> Result<OutputReader, Failure> {
        let began = clock::start();
        let partitions = u64::from(environment.config.repartition.partitions);
        let sources = self.options.partitions as usize + 1;
        let mut reader = None;
        loop {
            if self.shutdown.is_requested() {
                return Err(Failure::failed("interrupted before the load began"));
            }
            if let Some(last) = processors.ended() {
                return Err(Failure::failed(format!(
                    "a processor ended before the load began; its last log line: {last}"
                )));
            }
            if processors.owned() >= partitions {
                if reader.is_none() {
                    reader = Some(OutputReader::new(environment, self.options.seed, reader_state.clone())?);
                }
                reader.iter().for_each(OutputReader::poll_positions);
            }
            match reader.take_if(|_| reader_state.lock().positions.len() >= sources) {
                Some(reader) => return Ok(reader),
                None if began.elapsed() > READY_TIMEOUT => {
                    return Err(Failure::failed(format!(
                        "not all partitions were assigned within {} s; use --keep and check the processors' logs",
                        READY_TIMEOUT.as_secs()
                    )));
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// The decision whether to continue a trial.
#[derive(PartialEq, Eq)]
enum Control {
    Continue,
    Stop,
}

impl Trial<'_> {
    fn now(&self) -> Duration {
        self.times.begin.elapsed()
    }

    /// Takes samples while the schedule runs.
    fn load(&mut self, processors: &mut Processors<'_>, progress: &mut Progress) -> Result<(), Failure> {
        let lasts = self.schedule.lasts();
        let interval = if self.environment.is_embedded() {
            SAMPLE_INTERVAL / 2
        } else {
            SAMPLE_INTERVAL
        };
        let mut next = interval;
        let mut control = Control::Continue;
        while self.now() < lasts && control == Control::Continue {
            self.context.shutdown.sleep(next.saturating_sub(self.now()));
            next = self.now() + interval;
            self.disturb(processors)?;
            control = self.sample(processors)?;
            if let Some(sample) = self.step.samples.last() {
                progress.sample(&self.step, sample, lasts);
            }
            if self.context.shutdown.is_requested() {
                self.step.failures.push("interrupted".to_owned());
                control = Control::Stop;
            }
        }
        self.link.cut.store(true, Ordering::Relaxed);
        if self.is_out {
            processors.start_all()?;
        }
        // The hold of an interrupted trial ends at the last sample.
        let now = self.step.samples.last().map_or(0.0, |sample| sample.at);
        self.step.hold_to = self.step.hold_to.min(now);
        self.step.hold_from = self.step.hold_from.min(now / 2.0);
        self.measure_hold(processors);
        Ok(())
    }

    /// Kills processors, and begins and ends an outage.
    fn disturb(&mut self, processors: &mut Processors<'_>) -> Result<(), Failure> {
        let now = self.now();
        if let (Some(at), Some(every)) = (self.next_kill, self.context.options.kill_every)
            && now >= at
            && now + every / 2 < self.schedule.lasts()
        {
            processors.kill_one(at.as_millis() as u64 / 7)?;
            self.next_kill = Some(now + every);
        }
        if let Some((from, to)) = self.context.options.outage() {
            if !self.is_out && now >= from && now < to {
                processors.kill_all();
                self.is_out = true;
            } else if self.is_out && now >= to {
                processors.start_all()?;
                self.is_out = false;
            }
        }
        Ok(())
    }

    fn sample(&mut self, processors: &mut Processors<'_>) -> Result<Control, Failure> {
        let applied = processors.applied().clone();
        let usage = processors.usage();
        let now = self.now();
        let mut sample = self.lags(&applied, now);
        if let Some(cpu) = usage.cpu {
            let (before, at) = self.last_cpu.unwrap_or((0.0, 0.0));
            let passed = sample.at - at;
            sample.cores = (self.last_cpu.is_some() && passed > 0.0).then(|| ((cpu - before) / passed).max(0.0));
            self.last_cpu = Some((cpu, sample.at));
        }
        sample.memory = usage.memory;
        self.step.memory_peak = self.step.memory_peak.max(usage.peak);
        if sample.at >= self.step.hold_from && self.cpu_at_hold.is_none() {
            self.cpu_at_hold = Some((usage.cpu, cpu_seconds("self")));
        }
        self.keep(sample);
        if let Some(last) = processors.ended() {
            self.step
                .failures
                .push(format!("a processor ended by itself; its last log line: {last}"));
            if !self.environment.is_embedded() {
                // The restarted processors must do the unfinished work, or it counts as missing.
                processors.kill_all();
                processors.start_all()?;
            }
            return Ok(Control::Stop);
        }
        let max_lag = self.max_lag(sample.offered);
        if verdict::is_hopeless(&sample, max_lag) {
            self.step
                .failures
                .push(format!("abandoned: {:.0} records behind", sample.lag()));
            return Ok(Control::Stop);
        }
        Ok(Control::Continue)
    }

    /// Returns the seconds of lag at which a trial is abandoned.
    fn max_lag(&self, offered: f64) -> f64 {
        if self.environment.is_embedded() {
            let kept = EMBEDDED_BYTES * f64::from(self.context.options.partitions) / self.context.record_size.max(1.0);
            return EMBEDDED_SHARE * kept / offered.max(1.0);
        }
        match self.context.options.stress() {
            Stress::None => ABANDON_LAG_SECONDS,
            Stress::Expected => f64::INFINITY,
        }
    }

    /// Measures the messages and records that are due and not processed at this moment.
    fn lags(&self, applied: &std::collections::BTreeMap<i32, i64>, now: Duration) -> Sample {
        let mut state = self.reader_state.lock();
        let route_lag = self.route_lag(&state, now);
        let join_lag: i64 = state
            .log_ends
            .iter()
            .map(|(partition, end)| (end - applied.get(partition).copied().unwrap_or(0)).max(0))
            .sum();
        let recent = std::mem::take(&mut state.recent);
        drop(state);
        let due = self.schedule.due_at(now);
        let sent = self.link.sent.load(Ordering::Relaxed) as f64;
        let in_flight = self.link.in_flight.load(Ordering::Relaxed) as f64;
        let mut sample = Sample {
            at: now.as_secs_f64(),
            offered: self.schedule.rate_at(now),
            route_lag,
            join_lag: join_lag as f64,
            unsent: (due - sent + in_flight).max(0.0),
            close_p50_ms: recent.percentile(0.5),
            close_max_ms: recent.percentile(1.0),
            ..Sample::default()
        };
        let before = self.step.samples.last().copied().unwrap_or_default();
        let passed = sample.at - before.at;
        if passed > 0.0 {
            let read = |sample: &Sample| self.schedule.due_at(Duration::from_secs_f64(sample.at)) - sample.route_lag;
            sample.achieved = ((read(&sample) - read(&before)) / passed).max(0.0);
        }
        sample
    }

    /// Returns the number of messages that are due and not read. For each partition, it is computed for the time at
    /// which its position was reported, because a position that is a fifth of a second old does not include what was
    /// sent after it.
    fn route_lag(&self, state: &ReaderState, now: Duration) -> f64 {
        let partitions = self.context.options.partitions;
        let begin = self.times.event.to_wall();
        let lag = |partition: u32| {
            let (position, wall) = state.positions.get(&(true, partition)).copied().unwrap_or((0, WallTime(0)));
            let finish_step = wall.since(begin).min(now);
            let at = if now.saturating_sub(finish_step) > STALE_AFTER {
                now
            } else {
                finish_step
            };
            (self.schedule.due_at(at) / f64::from(partitions) - position as f64).max(0.0)
        };
        (0..partitions).map(lag).sum()
    }

    fn keep(&mut self, sample: Sample) {
        let samples = &mut self.step.samples;
        samples.push(sample);
        if samples.len() >= 2 * MAX_SAMPLES {
            let mut number = 0;
            samples.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
    }

    fn measure_hold(&mut self, processors: &mut Processors<'_>) {
        let step = &mut self.step;
        let held: Vec<Sample> = verdict::in_hold(step).copied().collect();
        if let (Some(first), Some(last)) = (held.first(), held.last())
            && last.at > first.at
        {
            let due = |sample: &Sample| self.schedule.due_at(Duration::from_secs_f64(sample.at));
            let passed = last.at - first.at;
            step.offered = (due(last) - due(first)) / passed;
            step.achieved = (due(last) - last.route_lag - due(first) + first.route_lag) / passed;
            if let (Some((Some(before), _)), Some(after)) = (self.cpu_at_hold, processors.usage().cpu) {
                let messages = step.achieved * passed;
                step.cpu_seconds = Some(after - before);
                step.cpu_seconds_per_million = (messages > 0.0).then(|| (after - before) / messages * 1e6);
            }
            if let (Some((_, Some(before))), Some(after)) = (self.cpu_at_hold, cpu_seconds("self")) {
                step.driver_cpu_seconds = Some(after - before);
            }
        }
        step.state_bytes = processors.state_bytes();
        if let Some(calm) = self.context.options.calm_from() {
            step.catch_up = verdict::catch_up(&step.samples, calm.as_secs_f64());
        }
        if self.context.options.shape == super::options::Shape::Ramp {
            step.fell_behind_at = verdict::fell_behind_at(&step.samples);
        }
    }

    /// Waits for the rest of the output. Returns whether it can be judged.
    fn drain(&mut self, processors: &mut Processors<'_>) -> Result<bool, Failure> {
        let began = clock::start();
        let mut complete_since = None;
        let mut is_judged = true;
        while began.elapsed() < self.context.options.drain {
            if self.context.shutdown.is_requested() {
                is_judged = false;
                break;
            }
            if let Some(last) = processors.ended() {
                if self.environment.is_embedded() {
                    // Most likely the broker has dropped messages that were not read yet, so the output cannot be
                    // judged.
                    is_judged = false;
                    self.step.notes.push(format!("the embedded broker lost records: {last}"));
                    break;
                }
                self.step
                    .failures
                    .push(format!("a processor ended by itself; its last log line: {last}"));
                processors.kill_all();
                processors.start_all()?;
            }
            let is_complete = self.link.settled.load(Ordering::Acquire) && self.reader_state.lock().is_complete;
            match (is_complete, complete_since) {
                (false, _) => complete_since = None,
                (true, None) => complete_since = Some(clock::start()),
                (true, Some(since)) if since.elapsed() >= QUIET_PERIOD => break,
                (true, Some(_)) => {}
            }
            self.context.shutdown.sleep(Duration::from_millis(50));
        }
        self.step.drain = began.elapsed().as_secs_f64();
        Ok(is_judged)
    }

    /// Returns the trial with its results.
    fn finish_step(mut self, received: &Received, is_judged: bool, processors: &mut Processors<'_>) -> Step {
        let options = self.context.options;
        let repeats = match Mode::from_delivery(self.environment.config.output.delivery) {
            Mode::AtLeastOnce => Repeats::Allowed,
            Mode::ExactlyOnce => Repeats::Forbidden,
        };
        let step = &mut self.step;
        step.answer = received.output.judge(repeats, is_judged);
        step.close = received.close.summary();
        step.ingest = received.ingest.summary();
        step.messages = self.link.sent.load(Ordering::Relaxed);
        step.sent_bytes = self.link.bytes.load(Ordering::Relaxed);
        step.refused = self.link.refused.load(Ordering::Relaxed);
        if let Some(why) = self.link.refusal() {
            step.notes.push(format!("the broker refused a message: {why}"));
        }
        {
            let state = self.reader_state.lock();
            step.log_bytes = state.log_bytes;
            step.output_bytes = state.output_bytes;
            step.rows = state.rows;
        }
        step.kills = processors.kills;
        let limits = Limits {
            p99_ms: options.p99.as_secs_f64() * 1_000.0,
            memory: options.memory_limit.as_u64(),
        };
        verdict::judge(step, limits, options.stress());
        if options.calm_from().is_some() && step.catch_up.is_none() {
            step.failures
                .push("the backlog was not worked off within the hold".to_owned());
        }
        self.step
    }
}
