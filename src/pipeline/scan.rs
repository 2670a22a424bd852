//! What only the input knows of an alert: its key in other places of the records, and records of it among the dead letters. Reads the ends
//! of the topics, a bounded number of messages, in no group: nothing of the processor's own reading moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::clock;
use crate::config::Config;
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::query::places_of;

/// Messages of the input topics, and of the dead letters, that are read at the most.
const MOST_MESSAGES: i64 = 40_000;
/// Bytes of either.
const MOST_BYTES: u64 = 128 << 20;
/// How long either may take.
const MOST_TIME: Duration = Duration::from_secs(8);
/// Dead letters told of.
const MOST_TOLD: usize = 20;

/// What was found, and how much was read.
#[derive(Default, Debug)]
pub struct Scanned {
    /// By path: how many activities have the key there, and where the first of them stands.
    pub places: BTreeMap<String, (u64, (String, i32, i64))>,
    /// The headers of dead letters that hold the alert's id or its key.
    pub dead: Vec<BTreeMap<String, String>>,
    /// Messages of the input topics.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Whether that was all there is.
    pub is_whole: bool,
}

/// Reads the ends of the topics for what is said of an alert.
pub fn scan(config: &Config, system_alert_id: &str, correlation_id: &str) -> Result<Scanned, kafka::Error> {
    let mut found = Scanned {
        is_whole: true,
        ..Scanned::default()
    };
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "scan", None, Logged)?;
    let (mut messages, mut bytes) = (0, 0);
    if !correlation_id.is_empty() {
        let topics: Vec<&str> = config.input.topics.iter().map(String::as_str).collect();
        let finder = memchr::memmem::Finder::new(correlation_id);
        let mut places = std::mem::take(&mut found.places);
        found.is_whole &= read(&consumer, &topics, &mut |message, payload| {
            messages += 1;
            bytes += payload.len() as u64;
            if finder.find(payload).is_none() {
                return;
            }
            for place in places_of(payload, correlation_id).into_iter().flatten() {
                let at = (message.topic().to_owned(), message.partition(), message.offset());
                places.entry(place).or_insert((0, at)).0 += 1;
            }
        })
        .map_err(|cause| problem(config.input.topics.join(", "), cause))?;
        found.places = places;
    }
    let wanted: Vec<_> = [system_alert_id, correlation_id]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(memchr::memmem::Finder::new)
        .collect();
    let topic = config.output.dead_letter_topic.as_str();
    let (mut dead, mut dead_letters) = (Vec::new(), 0);
    found.is_whole &= read(&consumer, &[topic], &mut |message, payload| {
        dead_letters += 1;
        if dead.len() < MOST_TOLD && wanted.iter().any(|finder| finder.find(payload).is_some()) {
            dead.push(headers(message));
        }
    })
    .map_err(|cause| problem(topic.to_owned(), cause))?;
    (found.messages, found.bytes, found.dead, found.dead_letters) = (messages, bytes, dead, dead_letters);
    Ok(found)
}

fn problem(topics: String, cause: rdkafka::error::KafkaError) -> kafka::Error {
    kafka::Error::Read { topics, cause }
}

fn headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let headers = message.headers().map(|headers| {
        let pair = |header: rdkafka::message::Header<'_, &[u8]>| (header.key.to_owned(), text(header.value));
        headers.iter().map(pair).collect()
    });
    headers.unwrap_or_default()
}

/// Shows the last messages of these topics to `each`; whether those were all.
fn read(
    consumer: &BaseConsumer<Logged>,
    topics: &[&str],
    each: &mut dyn FnMut(&BorrowedMessage<'_>, &[u8]),
) -> KafkaResult<bool> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        for partition in 0..i32::try_from(topics::partitions(consumer, topic)?.unwrap_or(0)).unwrap_or(0) {
            let (low, high) = consumer.fetch_watermarks(topic, partition, topics::TIMEOUT)?;
            if low < high {
                ends.insert(((*topic).to_owned(), partition), (low, high));
            }
        }
    }
    let share = MOST_MESSAGES / i64::try_from(ends.len().max(1)).unwrap_or(i64::MAX);
    let mut list = TopicPartitionList::new();
    let mut is_whole = true;
    for ((topic, partition), (low, high)) in &ends {
        let begin = (*low).max(high - share.max(1));
        is_whole &= begin == *low;
        list.add_partition_offset(topic, *partition, Offset::Offset(begin))?;
    }
    consumer.assign(&list)?;
    let began: Instant = clock::start();
    let mut bytes = 0;
    while !ends.is_empty() {
        if began.elapsed() > MOST_TIME || bytes > MOST_BYTES {
            is_whole = false;
            break;
        }
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let at = (message.topic().to_owned(), message.partition());
        let Some((_, high)) = ends.get(&at).copied() else { continue };
        if message.offset() + 1 >= high {
            ends.remove(&at);
        }
        if message.offset() < high
            && let Some(payload) = message.payload()
        {
            bytes += payload.len() as u64;
            each(&message, payload);
        }
    }
    consumer.unassign()?;
    Ok(is_whole)
}
