//! Traffic to measure with: the same on every machine, as everything from `alerttrail::generate`.

use alerttrail::decode::{Decoder, Settings as DecodeSettings};
use alerttrail::generate::record::{
    ActivitySpec, AlertSpec, Delivery, Form, Kind, Policy, Status, Tenant, User, activity, alert,
};
use alerttrail::generate::{Generator, Guid, Messages, Options, TimeForm};
use alerttrail::log::LogRecord;
use alerttrail::route::{Arrival, Routed, Router, Settings};
use alerttrail::time::{EventTime, TICKS_PER_SECOND, WallTime};
use std::time::Duration;

/// The messages of CloudAppEvents that follow from `options`.
pub(crate) fn messages(options: &Options) -> Vec<Vec<u8>> {
    let mut source = Generator::new(options).unwrap().activities();
    let mut messages = Vec::new();
    let mut message = Vec::new();
    while source.next_message(&mut message).is_some() {
        messages.push(std::mem::take(&mut message));
    }
    messages
}

/// The bytes of `messages` together.
pub(crate) fn bytes(messages: &[Vec<u8>]) -> u64 {
    messages.iter().map(|message| message.len() as u64).sum()
}

/// When the first activity of [`Story`] happens.
const START: i64 = 63_900_000_000 * TICKS_PER_SECOND;

/// One alert and activities in its window, a second apart, as records of a log with one partition.
pub(crate) struct Story {
    seed: u64,
    policy: Policy,
    user: User,
    tenant: Tenant,
}

impl Story {
    /// The story of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            policy: Policy::of(seed, 0),
            user: User::of(seed, 0),
            tenant: Tenant::of(seed),
        }
    }

    /// When activity `number` happens.
    pub(crate) fn time(number: u64) -> EventTime {
        EventTime::from_ticks(START + i64::try_from(number).unwrap() * TICKS_PER_SECOND)
    }

    /// The log records of the activities of these numbers, `size` bytes each.
    pub(crate) fn activities(&self, numbers: impl Iterator<Item = u64>, size: usize) -> Vec<Vec<u8>> {
        let record = |number| {
            let spec = ActivitySpec {
                seed: self.seed.wrapping_mul(1 << 32) + number,
                time: Self::time(number),
                time_form: TimeForm::FULL,
                kind: Kind::FileDownloaded,
                policy: Some(&self.policy),
                alert: None,
                user: &self.user,
                tenant: &self.tenant,
                size,
            };
            let mut message = Vec::new();
            activity(&mut message, &spec, &self.delivery(number));
            message
        };
        numbers.map(record).flat_map(|message| routed(&message)).collect()
    }

    /// The log record of an alert whose window holds the activities 0 to `activities` (excluded).
    pub(crate) fn alert(&self, activities: u64) -> Vec<u8> {
        let (start, end) = (Self::time(0), Self::time(activities));
        let spec = AlertSpec {
            seed: self.seed,
            id: Guid(1),
            provider_id: Guid(2),
            policy: &self.policy,
            user: &self.user,
            tenant: &self.tenant,
            start: start.minus(Duration::from_secs(1)),
            end,
            time_generated: end,
            status: Status::New,
        };
        let mut message = Vec::new();
        alert(&mut message, &spec, &self.delivery(0));
        routed(&message).pop().unwrap()
    }

    fn delivery(&self, number: u64) -> Delivery {
        Delivery {
            form: Form::Streaming,
            received: Self::time(number),
            number,
        }
    }
}

/// What ROUTE sends to the only partition of a log because of `message`.
fn routed(message: &[u8]) -> Vec<Vec<u8>> {
    let settings = Settings {
        partitions: 1,
        max_wait: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
        tenants: false,
    };
    let arrival = Arrival {
        now: WallTime(1_800_000_000_000),
        timestamp: None,
    };
    let mut records = Vec::new();
    Router::new(Decoder::new(DecodeSettings::default()), settings).route(Some(message), arrival, &mut |routed| match routed {
        Routed::Record { record, .. } => records.push(record.encode(Vec::new()).unwrap()),
        other => panic!("the generator's own record is not routed: {other:?}"),
    });
    records
}

/// A log record of these bytes.
pub(crate) fn decoded(bytes: &[u8]) -> LogRecord<'_> {
    LogRecord::decode(bytes).unwrap()
}
