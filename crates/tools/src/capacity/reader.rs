//! The thread that reads what the processors write: the repartition topic to measure their progress, and the output
//! topic for their rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::environment::Environment;
use super::sender::SenderState;
use crate::capacity::latency::Latencies;
use crate::capacity::oracle::{ReceivedRow, TrialOutput};
use crate::capacity::traffic::{Expected, alert_of};
use crate::clock;
use crate::decode::parse_time;
use crate::kafka::clients::{self, Logged};
use crate::kafka::reading;
use crate::kafka::topics::Topics;
use crate::repartition::RepartitionRecord;
use crate::term::Failure;
use crate::time::{EventTime, WallTime};

/// How long one poll of the consumer takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Maximum number of messages to read before the shared state is updated.
const MAX_POLLS: usize = 500;

/// The state of the reader, which the trial may read while it runs.
#[derive(Default)]
pub(super) struct ReaderState {
    /// For each source partition (whether it has activities, and its number): the next offset that ROUTE reads, and the
    /// time of that report.
    pub(super) positions: BTreeMap<(bool, u32), (i64, WallTime)>,
    /// The log-end offset of each partition of the repartition topic, up to the records that were read.
    pub(super) log_ends: BTreeMap<i32, i64>,
    /// Bytes in the repartition topic.
    pub(super) log_bytes: u64,
    /// Bytes in the output topic.
    pub(super) output_bytes: u64,
    /// Rows in the output topic.
    pub(super) rows: u64,
    /// Close latencies since they were last taken.
    pub(super) recent: Latencies,
    /// Whether as many pairs have arrived as are expected so far.
    pub(super) is_complete: bool,
}

/// The data that was read in a whole trial.
#[derive(Default)]
pub(super) struct Received {
    pub(super) output: TrialOutput,
    /// Close latencies of the hold.
    pub(super) close: Latencies,
    /// Ingest latencies of the hold.
    pub(super) ingest: Latencies,
}

/// The state of the reader, shared with the thread that takes samples.
#[derive(Clone, Default)]
pub(super) struct SharedReaderState(Arc<Mutex<ReaderState>>);

impl SharedReaderState {
    pub(super) fn lock(&self) -> MutexGuard<'_, ReaderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of the trial, and the part of it that counts.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) begin: Instant,
    pub(super) event: EventTime,
    pub(super) hold: (Duration, Duration),
}

/// Reads the output of one trial.
pub(super) struct OutputReader {
    consumer: BaseConsumer<Logged>,
    rows: String,
    activities: String,
    seed: u64,
    reader_state: SharedReaderState,
}

impl OutputReader {
    /// Creates a reader of everything that the processors write from now on. The repartition topic must exist.
    pub(super) fn new(environment: &Environment, seed: u64, reader_state: SharedReaderState) -> Result<Self, Failure> {
        let config = &environment.config;
        let consumer: BaseConsumer<Logged> = clients::consumer(config, "capacity", None, Logged).map_err(Failure::failed)?;
        let topics = Topics::new(config).map_err(Failure::failed)?;
        let mut begins = Vec::new();
        for topic in [&config.output.topic, &config.repartition.topic] {
            for partition in 0..topics.partitions(topic).map_err(Failure::failed)?.unwrap_or(0) {
                begins.push((topic.as_str(), i32::try_from(partition).unwrap_or(0), Offset::Beginning));
            }
        }
        let begins = reading::offsets(begins).map_err(Failure::failed)?;
        consumer.assign(&begins).map_err(Failure::failed)?;
        Ok(Self {
            consumer,
            rows: config.output.topic.clone(),
            activities: environment.activities().to_owned(),
            seed,
            reader_state,
        })
    }

    /// Reads what arrives before the trial begins, to find out whether every source partition is read.
    pub(super) fn poll_positions(&self) {
        for _ in 0..MAX_POLLS {
            match self.consumer.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => self.log_record(&message, None, &mut Received::default()),
                _ => return,
            }
        }
    }

    /// Reads until the trial is over.
    pub(super) fn start(
        self,
        times: Times,
        expected: Receiver<Expected>,
        link: Arc<SenderState>,
    ) -> Result<JoinHandle<Received>, Failure> {
        let run = move || {
            let mut received = Received::default();
            while !link.over.load(std::sync::atomic::Ordering::Relaxed) {
                self.poll_once(times, &expected, &mut received);
            }
            received
        };
        std::thread::Builder::new()
            .name("reader".into())
            .spawn(run)
            .map_err(Failure::failed)
    }

    fn poll_once(&self, times: Times, expected: &Receiver<Expected>, received: &mut Received) {
        let mut wait = POLL_TIMEOUT;
        for _ in 0..MAX_POLLS {
            match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) => {
                    tracing::warn!(%error, "transient error while reading the output; retrying");
                    break;
                }
                Some(Ok(message)) if message.topic() == self.rows => {
                    let arrived = times.begin.elapsed();
                    self.row(&message, arrived, times, received);
                }
                Some(Ok(message)) => self.log_record(&message, Some(times), received),
            }
            wait = Duration::ZERO;
        }
        for window in expected.try_iter() {
            for (closed, took) in received.output.expect(window) {
                self.took(closed, took, times, received);
            }
        }
        let mut state = self.reader_state.lock();
        state.is_complete = received.output.is_complete();
        state.rows = received.output.rows();
    }

    fn took(&self, closed: Duration, took: Duration, times: Times, received: &mut Received) {
        if closed >= times.hold.0 && closed < times.hold.1 {
            received.close.record(took);
        }
        self.reader_state.lock().recent.record(took);
    }

    fn row(&self, message: &BorrowedMessage<'_>, arrived: Duration, times: Times, received: &mut Received) {
        /// The fields of a row that are needed.
        #[derive(serde::Deserialize)]
        struct Value<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
            seq: i64,
            #[serde(borrow)]
            op: Cow<'a, str>,
            #[serde(borrow)]
            system_alert_id: Cow<'a, str>,
            #[serde(borrow, default)]
            activity_time: Cow<'a, str>,
        }
        let payload = message.payload().unwrap_or_default();
        self.reader_state.lock().output_bytes += payload.len() as u64;
        // A row that cannot be parsed belongs to no alert and counts as unexpected.
        let value = serde_json::from_slice::<Value<'_>>(payload).ok();
        let row = ReceivedRow {
            id: value
                .as_ref()
                .and_then(|value| u128::from_str_radix(&value.id, 16).ok())
                .unwrap_or(0),
            seq: value.as_ref().map_or(0, |value| value.seq),
            is_there: value.as_ref().is_none_or(|value| value.op == "upsert"),
            alert: value.as_ref().and_then(|value| alert_of(self.seed, &value.system_alert_id)),
            activity: value
                .and_then(|value| parse_time(&value.activity_time))
                .map_or(0, EventTime::ticks),
        };
        if let Some((closed, took)) = received.output.row(row, arrived) {
            self.took(closed, took, times, received);
        }
    }

    fn log_record(&self, message: &BorrowedMessage<'_>, times: Option<Times>, received: &mut Received) {
        let payload = message.payload().unwrap_or_default();
        let mut state = self.reader_state.lock();
        state.log_bytes += payload.len() as u64;
        state.log_ends.insert(message.partition(), message.offset() + 1);
        match RepartitionRecord::decode(payload) {
            Ok(RepartitionRecord::WatermarkUpdate(update)) => {
                for source in &update.sources {
                    let key = (source.topic == self.activities, source.partition);
                    let known = state.positions.entry(key).or_insert((source.position, update.wall));
                    // After a restart, a router reads some messages again. The furthest position counts.
                    if (source.position, update.wall) > *known {
                        *known = (source.position.max(known.0), update.wall);
                    }
                }
            }
            Ok(RepartitionRecord::Activities(activities)) => {
                let Some(times) = times else { return };
                let arrived = times.begin.elapsed();
                for activity in activities {
                    let due = activity.time.ticks().saturating_sub(times.event.ticks());
                    let due = Duration::from_nanos(u64::try_from(due).unwrap_or(0) * 100);
                    if due >= times.hold.0 && due < times.hold.1 {
                        received.ingest.record(arrived.saturating_sub(due));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Returns the times of a trial that begins now.
pub(super) fn begin(hold: (Duration, Duration)) -> Times {
    Times {
        event: clock::now().to_event(),
        begin: clock::start(),
        hold,
    }
}
