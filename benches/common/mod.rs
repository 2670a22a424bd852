//! The traffic of the benches, and what processes it: the same on every machine, like everything from
//! `alerttrail::generate`.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod partition;
pub(crate) mod routing;

use partition::Partition;
use routing::Routing;

use alerttrail::emit::{Emitter, Format, Links};
use alerttrail::generate::record::{
    Account, Act, Deed, Delivery, Form, Incident, Policy, Presence, Status, Tenant, activity, alert,
};
use alerttrail::generate::{Generator, Guid, Messages, Options};
use alerttrail::join::Output;
use alerttrail::repartition::{RepartitionRecord, SourceWatermark, WatermarkUpdate};
use alerttrail::store::Memory;
use alerttrail::time::{EventTime, TICKS_PER_SECOND, WallTime, Widening};
use criterion::Criterion;
use std::time::Duration;

/// The size of an ordinary activity in bytes.
pub(crate) const SIZE: usize = 2_600;

/// Returns criterion with the duration of each measurement: medians of shorter runs vary more, and longer runs cost
/// everyone time.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

/// Returns the CloudAppEvents messages that `options` produce.
pub(crate) fn messages(options: &Options) -> Vec<Vec<u8>> {
    all(Generator::new(options).unwrap().activities())
}

/// Returns all messages of a table.
pub(crate) fn all(mut source: impl Messages) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut message = Vec::new();
    while source.next_message(&mut message).is_some() {
        messages.push(std::mem::take(&mut message));
    }
    messages
}

/// Returns the total size of `messages` in bytes.
pub(crate) fn bytes(messages: &[Vec<u8>]) -> u64 {
    messages.iter().map(|message| message.len() as u64).sum()
}

/// The time of the first activity of a [`Story`].
const START: i64 = 63_900_000_000 * TICKS_PER_SECOND;

/// One alert, and activities in its window, one second apart, as records of a log with one partition.
pub(crate) struct Story {
    seed: u64,
    policy: Policy,
    account: Account,
    tenant: Tenant,
}

impl Story {
    /// Returns the story of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            policy: Policy::new(seed, 0),
            account: Account::member(seed, 0),
            tenant: Tenant::new(seed),
        }
    }

    /// Returns the time of activity `number`.
    pub(crate) fn time(number: u64) -> EventTime {
        EventTime::from_ticks(START + i64::try_from(number).unwrap() * TICKS_PER_SECOND)
    }

    /// Returns the repartition records of the activities with these numbers, `size` bytes each.
    pub(crate) fn activities(&self, numbers: impl Iterator<Item = u64>, size: usize) -> Vec<Vec<u8>> {
        let record = |number| {
            let seed = self.seed.wrapping_mul(1 << 32) + number;
            let deed = Deed {
                policy: Some(&self.policy),
                cid: Presence::Present,
                size: Some(size),
                ..Deed::new(seed, Self::time(number), Act::FileDownloaded, &self.account, &self.tenant)
            };
            let mut message = Vec::new();
            activity(&mut message, &deed, &self.delivery(number));
            message
        };
        numbers.map(record).flat_map(|message| routed(&message)).collect()
    }

    /// Returns the repartition record of alert `number`, whose window holds the activities from 0 up to, but not
    /// including, `activities`.
    pub(crate) fn alert(&self, number: u32, activities: u64) -> Vec<u8> {
        let message = self.alert_message(number, activities);
        routed(&message).pop().unwrap()
    }

    /// Returns the message of such an alert.
    pub(crate) fn alert_message(&self, number: u32, activities: u64) -> Vec<u8> {
        let (start, end) = (Self::time(0), Self::time(activities));
        let incident = Incident {
            seed: self.seed,
            id: Guid::from_u128(number.into()),
            provider_id: Guid::from_u128((1 << 64) + u128::from(number)),
            policy: &self.policy,
            accounts: std::slice::from_ref(&self.account),
            object_ids: Presence::Present,
            files: &[],
            tenant: &self.tenant,
            start: start.minus(Duration::from_secs(1)),
            end,
            time_generated: end,
            status: Status::New,
        };
        let mut message = Vec::new();
        alert(&mut message, &incident, &self.delivery(0));
        message
    }

    fn delivery(&self, number: u64) -> Delivery {
        Delivery {
            form: Form::Streaming,
            received: Self::time(number),
            number,
        }
    }
}

/// Returns the records that ROUTE sends for `message` to the only partition of a log.
fn routed(message: &[u8]) -> Vec<Vec<u8>> {
    let mut routing = Routing::new(1);
    let mut records = Vec::new();
    routing.message(message, &mut |_, record| records.push(record.to_vec()));
    records
}

/// Decodes a repartition record.
pub(crate) fn decoded(bytes: &[u8]) -> RepartitionRecord<'_> {
    RepartitionRecord::decode(bytes).unwrap()
}

/// Returns the update of a router that has read all of its `sources` source partitions up to `time`.
pub(crate) fn watermark_update(sources: u32, time: EventTime) -> WatermarkUpdate {
    let source = |partition| SourceWatermark {
        topic: "cloudappevents".into(),
        partition,
        position: 1_000_000,
        time: Some(time),
        idle: false,
        rejected: 0,
    };
    WatermarkUpdate {
        wall: WallTime(0),
        clock: EventTime::MIN,
        topics: vec![("cloudappevents".into(), sources)],
        sources: (0..sources).map(source).collect(),
        settings: [0; 32],
    }
}

/// Returns the output of JOIN for `alerts` alerts that all match the same `matches` activities: rows and summaries.
pub(crate) fn outputs(alerts: u32, matches: u64) -> Vec<Output> {
    let story = Story::new(1);
    let mut records = story.activities(0..matches, SIZE);
    records.extend((1..=alerts).map(|number| story.alert(number, matches)));
    let mut partition = Partition::open(Memory::default(), None);
    partition.apply(records.iter().map(|record| decoded(record)));
    let mut outputs = Vec::new();
    let end = RepartitionRecord::WatermarkUpdate(watermark_update(1, Story::time(matches)));
    partition.apply_to(std::iter::once(end), &mut |output| outputs.push(output));
    outputs
}

/// Returns an emitter for all outputs, with records of at most `limit` bytes.
pub(crate) fn emitter(limit: Option<usize>) -> Emitter {
    Emitter {
        format: Format::Native,
        links: Links::query(Widening::default()),
        summaries: true,
        unmatched: true,
        limit,
    }
}
