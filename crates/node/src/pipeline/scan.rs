//! A search for one alert in the input: its key in other fields of the records, the alert itself, and its records among
//! the dead letters. It reads a bounded number of messages at the ends of the topics, without a group, so the
//! processor's own reading is not affected.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::config::Config;
use crate::decode::{Decoded, Decoder};
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, reading, topics};
use crate::query::{Came, places_of};
use crate::record::AlertId;
use crate::time::Window;

/// Maximum number of messages to read, of the input topics and of the dead letters.
const MAX_MESSAGES: i64 = 40_000;
/// Maximum bytes to read of either.
const MAX_BYTES: u64 = 128 << 20;
/// Maximum time for either.
const MAX_TIME: Duration = Duration::from_secs(8);
/// Maximum number of dead letters to return.
const MAX_DEAD_LETTERS: usize = 20;

/// What was found, and how much was read.
#[derive(Default, Debug)]
pub struct Scanned {
    /// By path: how many activities have the key there, and the position of the first of them.
    pub places: BTreeMap<String, (u64, (String, i32, i64))>,
    /// Versions of the alert, if its key is not known.
    pub alert_versions: Vec<Came>,
    /// The headers of dead letters that contain the alert's id or its key.
    pub dead: Vec<BTreeMap<String, String>>,
    /// Number of messages read from the input topics.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of dead letters read.
    pub dead_letters: u64,
    /// Whether these were all messages of the input topics.
    pub is_input_whole: bool,
    /// Whether these were all dead letters.
    pub are_dead_letters_whole: bool,
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct ScanRequest<'a> {
    /// The ids that the alert may have.
    pub ids: &'a [AlertId],
    /// Its key, which may be empty. `None` if the state does not contain the alert, and the input is searched for the
    /// alert itself.
    pub correlation_id: Option<&'a str>,
}

/// Searches the ends of the topics for an alert.
pub fn scan(config: &Config, request: ScanRequest<'_>) -> Result<Scanned, kafka::Error> {
    let mut found = Scanned::default();
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "scan", None, Logged)?;
    read_input(&consumer, config, request, &mut found)?;
    read_dead_letters(&consumer, config, request, &mut found)?;
    Ok(found)
}

fn read_input(
    consumer: &BaseConsumer<Logged>,
    config: &Config,
    request: ScanRequest<'_>,
    found: &mut Scanned,
) -> Result<(), kafka::Error> {
    if request.correlation_id == Some("") {
        found.is_input_whole = true;
        return Ok(());
    }
    let topics: Vec<&str> = config.input.topics.iter().map(String::as_str).collect();
    let finder = request.correlation_id.map(memchr::memmem::Finder::new);
    let mut decoder = Decoder::new(config.decode.clone()).without_dedup_keys();
    let is_whole = read(consumer, &topics, &mut |message, payload| {
        found.messages += 1;
        found.bytes += payload.len() as u64;
        match (request.correlation_id, &finder) {
            (Some(key), Some(finder)) if finder.find(payload).is_some() => {
                for place in places_of(payload, key).into_iter().flatten() {
                    let at = (message.topic().to_owned(), message.partition(), message.offset());
                    found.places.entry(place).or_insert((0, at)).0 += 1;
                }
            }
            (Some(_), _) => {}
            (None, _) => found
                .alert_versions
                .extend(versions(&mut decoder, request.ids, message, payload)),
        }
    });
    found.is_input_whole = is_whole.map_err(|cause| kafka::Error::read(config.input.topics.join(", "), cause))?;
    // Partitions are read concurrently; sorting puts the version that counts last.
    found.alert_versions.sort_by_key(|alert_versions| alert_versions.version);
    Ok(())
}

/// Returns the versions of an alert in a message.
fn versions(decoder: &mut Decoder, ids: &[AlertId], message: &BorrowedMessage<'_>, payload: &[u8]) -> Vec<Came> {
    let mut alert_versions = Vec::new();
    decoder.decode(Some(payload), &mut |item| {
        if let Decoded::Alert(alert) = item.what
            && ids.contains(&alert.id)
        {
            alert_versions.push(Came {
                topic: message.topic().to_owned(),
                partition: u32::try_from(message.partition()).unwrap_or(0),
                offset: message.offset(),
                index: item.index,
                version: alert.version,
                window: alert.query().map_or(Window::NONE, |link| link.window),
            });
        }
    });
    alert_versions
}

fn read_dead_letters(
    consumer: &BaseConsumer<Logged>,
    config: &Config,
    request: ScanRequest<'_>,
    found: &mut Scanned,
) -> Result<(), kafka::Error> {
    let id = request
        .ids
        .first()
        .map(|alert| alert.system_alert_id.as_bytes())
        .unwrap_or_default();
    let wanted: Vec<_> = [id, request.correlation_id.unwrap_or_default().as_bytes()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(memchr::memmem::Finder::new)
        .collect();
    let topic = config.output.dead_letter_topic.as_str();
    let is_whole = read(consumer, &[topic], &mut |message, payload| {
        found.dead_letters += 1;
        if found.dead.len() < MAX_DEAD_LETTERS && wanted.iter().any(|finder| finder.find(payload).is_some()) {
            found.dead.push(headers(message));
        }
    });
    found.are_dead_letters_whole = is_whole.map_err(|cause| kafka::Error::read(topic, cause))?;
    Ok(())
}

fn headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let headers = message.headers().map(|headers| {
        let pair = |header: rdkafka::message::Header<'_, &[u8]>| (header.key.to_owned(), text(header.value));
        headers.iter().map(pair).collect()
    });
    headers.unwrap_or_default()
}

/// Calls `each` with the last messages of these topics. Returns whether these were all messages.
fn read(
    consumer: &BaseConsumer<Logged>,
    topics: &[&str],
    each: &mut dyn FnMut(&BorrowedMessage<'_>, &[u8]),
) -> KafkaResult<bool> {
    let mut ranges = Vec::new();
    for topic in topics {
        for partition in 0..i32::try_from(topics::partitions(consumer, topic)?.unwrap_or(0)).unwrap_or(0) {
            let (low, high) = consumer.fetch_watermarks(topic, partition, clients::REQUEST_TIMEOUT)?;
            if low < high {
                ranges.push((*topic, partition, low, high));
            }
        }
    }
    let share = MAX_MESSAGES / i64::try_from(ranges.len().max(1)).unwrap_or(i64::MAX);
    let mut is_whole = true;
    for (_, _, begin, end) in &mut ranges {
        let last = *end - share.max(1);
        is_whole &= last <= *begin;
        *begin = last.max(*begin);
    }
    let mut bytes = 0;
    let is_read = reading::read_ranges(consumer, &ranges, MAX_TIME, &mut |message| {
        if let Some(payload) = message.payload() {
            bytes += payload.len() as u64;
            each(message, payload);
        }
        bytes <= MAX_BYTES
    })?;
    Ok(is_whole && is_read)
}
