//! What only the input knows of an alert: its key in other places of the records, or where the alert itself is, and records of it among the
//! dead letters. Reads the ends of the topics, a bounded number of messages, in no group: nothing of the processor's own reading moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::clock;
use crate::config::Config;
use crate::decode::{Decoded, Decoder};
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::query::{Came, places_of};
use crate::record::AlertId;
use crate::time::Window;

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
    /// Versions of the alert, where its key is not known.
    pub came: Vec<Came>,
    /// The headers of dead letters that hold the alert's id or its key.
    pub dead: Vec<BTreeMap<String, String>>,
    /// Messages of the input topics.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Whether those were all messages of the input topics.
    pub is_input_whole: bool,
    /// Whether those were all dead letters.
    pub are_dead_letters_whole: bool,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The ids that the alert may have.
    pub ids: &'a [AlertId],
    /// Its key, empty where it has none; `None` where the alert is not held, and the input is read for the alert itself.
    pub correlation_id: Option<&'a str>,
}

/// Reads the ends of the topics for what is said of an alert.
pub fn scan(config: &Config, sought: Sought<'_>) -> Result<Scanned, kafka::Error> {
    let mut found = Scanned::default();
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "scan", None, Logged)?;
    read_input(&consumer, config, sought, &mut found)?;
    read_dead_letters(&consumer, config, sought, &mut found)?;
    Ok(found)
}

fn read_input(
    consumer: &BaseConsumer<Logged>,
    config: &Config,
    sought: Sought<'_>,
    found: &mut Scanned,
) -> Result<(), kafka::Error> {
    if sought.correlation_id == Some("") {
        found.is_input_whole = true;
        return Ok(());
    }
    let topics: Vec<&str> = config.input.topics.iter().map(String::as_str).collect();
    let finder = sought.correlation_id.map(memchr::memmem::Finder::new);
    let mut decoder = Decoder::new(config.decode.clone()).without_identities();
    let is_whole = read(consumer, &topics, &mut |message, payload| {
        found.messages += 1;
        found.bytes += payload.len() as u64;
        match (sought.correlation_id, &finder) {
            (Some(key), Some(finder)) if finder.find(payload).is_some() => {
                for place in places_of(payload, key).into_iter().flatten() {
                    let at = (message.topic().to_owned(), message.partition(), message.offset());
                    found.places.entry(place).or_insert((0, at)).0 += 1;
                }
            }
            (Some(_), _) => {}
            (None, _) => found.came.extend(versions(&mut decoder, sought.ids, message, payload)),
        }
    });
    found.is_input_whole = is_whole.map_err(|cause| problem(config.input.topics.join(", "), cause))?;
    // Partitions are read side by side: the version that counts comes last.
    found.came.sort_by_key(|came| came.version);
    Ok(())
}

/// Returns the versions of an alert in a message.
fn versions(decoder: &mut Decoder, ids: &[AlertId], message: &BorrowedMessage<'_>, payload: &[u8]) -> Vec<Came> {
    let mut came = Vec::new();
    decoder.decode(Some(payload), &mut |item| {
        if let Decoded::Alert(alert) = item.what
            && ids.contains(&alert.id)
        {
            came.push(Came {
                topic: message.topic().to_owned(),
                partition: u32::try_from(message.partition()).unwrap_or(0),
                offset: message.offset(),
                index: item.index,
                version: alert.version,
                window: alert.query().map_or(Window::NONE, |link| link.window),
            });
        }
    });
    came
}

fn read_dead_letters(
    consumer: &BaseConsumer<Logged>,
    config: &Config,
    sought: Sought<'_>,
    found: &mut Scanned,
) -> Result<(), kafka::Error> {
    let id = sought
        .ids
        .first()
        .map(|alert| alert.system_alert_id.as_bytes())
        .unwrap_or_default();
    let wanted: Vec<_> = [id, sought.correlation_id.unwrap_or_default().as_bytes()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(memchr::memmem::Finder::new)
        .collect();
    let topic = config.output.dead_letter_topic.as_str();
    let is_whole = read(consumer, &[topic], &mut |message, payload| {
        found.dead_letters += 1;
        if found.dead.len() < MOST_TOLD && wanted.iter().any(|finder| finder.find(payload).is_some()) {
            found.dead.push(headers(message));
        }
    });
    found.are_dead_letters_whole = is_whole.map_err(|cause| problem(topic.to_owned(), cause))?;
    Ok(())
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
