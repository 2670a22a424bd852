//! Messages that are complete except for their time and number. Building a record from scratch takes more time than the
//! processor needs to read it, and a driver that is slower than the system under test would measure itself.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::generate::record::{Account, Act, Deed, Delivery, Form, Policy, Presence, Tenant, activity};
use crate::time::{EventTime, TICKS_PER_SECOND};

/// Length of a number in hexadecimal digits, which is that of the last group of a GUID.
const NUMBER: usize = 12;
const GUID: usize = 36;

/// One activity in its envelope, with the positions of its times and its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    times: Vec<usize>,
    numbers: Vec<usize>,
    key: Option<String>,
}

impl Template {
    /// Creates a template from a generated or recorded message with one activity. Returns `None` for a batch, an alert,
    /// a record of another table, or an activity without a time.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let whole: Value = serde_json::from_slice(message).ok()?;
        let row = whole.get("properties").unwrap_or(&whole);
        let event = opened(row.get("RawEventData")?)?;
        let created = event.get("CreationTime")?.as_str()?.to_owned();
        let key = event.get("Data").and_then(opened);
        let key = key.and_then(|data| Some(data.get("cid")?.as_str()?.to_owned()));
        let mut texts = vec![created];
        let columns = [
            (&whole, "time"),
            (&whole, "_TimeReceivedBySvc"),
            (row, "Timestamp"),
            (row, "TimeGenerated"),
        ];
        texts.extend(
            columns
                .iter()
                .filter_map(|(of, name)| Some(of.get(*name)?.as_str()?.to_owned())),
        );
        let mut bytes = message.to_vec();
        for text in &texts {
            bytes = replaced(&bytes, text, SENTINEL);
        }
        let id = event.get("Id").and_then(Value::as_str).unwrap_or_default();
        let mut template = Self {
            times: places(&bytes, SENTINEL.as_bytes()),
            numbers: Vec::new(),
            bytes,
            key: key.filter(|key| !key.is_empty()),
        };
        template.find_numbers(id);
        (!template.times.is_empty()).then_some(template)
    }

    fn find_numbers(&mut self, id: &str) {
        if id.len() == GUID {
            let ids = places(&self.bytes, id.as_bytes());
            self.numbers = ids.into_iter().map(|at| at + GUID - NUMBER).collect();
        }
    }

    /// Returns the template with another correlation id, which must not need escapes in JSON. Returns `None` if it has
    /// no correlation id, or one that is spelled in more than one way.
    pub fn with_key(&self, key: &str) -> Option<Self> {
        let bytes = replaced(&self.bytes, self.key.as_deref()?, key);
        let template = Self::parse(&bytes)?;
        (template.key.as_deref() == Some(key)).then_some(template)
    }

    /// Returns the correlation id.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Returns the message with this time and number.
    pub fn message(&mut self, time: EventTime, number: u64) -> &[u8] {
        let (time, number) = (time.to_string(), format!("{:012x}", number & 0xffff_ffff_ffff));
        for (places, text) in [(&self.times, time), (&self.numbers, number)] {
            for at in places {
                if let Some(place) = self.bytes.get_mut(*at..at + text.len()) {
                    place.copy_from_slice(text.as_bytes());
                }
            }
        }
        &self.bytes
    }
}

/// A time that no record has.
const SENTINEL: &str = "9998-12-31T23:59:59.1234567Z";

/// Returns the records of a message, byte for byte.
fn records(message: &[u8]) -> Vec<&[u8]> {
    #[derive(serde::Deserialize)]
    struct RecordList<'a> {
        #[serde(borrow)]
        records: Vec<&'a RawValue>,
    }
    let batch = serde_json::from_slice::<RecordList<'_>>(message).map(|batch| batch.records);
    match batch.or_else(|_| serde_json::from_slice::<Vec<&RawValue>>(message)) {
        Ok(records) => records.into_iter().map(|record| record.get().as_bytes()).collect(),
        Err(_) => vec![message],
    }
}

/// Returns a JSON object, or the object that a string contains.
fn opened(value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) => Some(value.clone()),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

fn places(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, text).collect()
}

/// Returns `bytes` with `text` replaced by `by` wherever it is the whole content of a string.
fn replaced(bytes: &[u8], text: &str, by: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + by.len());
    let mut rest = 0;
    for at in places(bytes, text.as_bytes()) {
        let end = at + text.len();
        // Inside a string that contains JSON, a quotation mark is preceded by a backslash.
        let begins = at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'"');
        let ends = matches!(bytes.get(end), Some(b'"' | b'\\'));
        if begins && ends && at >= rest && !text.is_empty() {
            out.extend_from_slice(bytes.get(rest..at).unwrap_or_default());
            out.extend_from_slice(by.as_bytes());
            rest = end;
        }
    }
    out.extend_from_slice(bytes.get(rest..).unwrap_or_default());
    out
}

/// The templates of the traffic.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Templates without a correlation id.
    pub plain: Vec<Template>,
    /// For each policy, the templates with its id.
    pub keyed: Vec<Vec<Template>>,
    /// The policies.
    pub policies: Vec<Policy>,
}

/// Number of templates without a correlation id.
const PLAIN: u64 = 256;
/// Number of templates for each policy.
const OF_POLICY: usize = 4;

impl Pool {
    /// Generates records of about `size` bytes. The same seed gives the same records.
    pub fn generated(seed: u64, policies: usize, size: usize) -> Self {
        let made = (0..PLAIN).filter_map(|number| {
            let kind = ORDINARY.get(number as usize % ORDINARY.len()).copied();
            Template::parse(&generated(seed, number, kind?, None, size))
        });
        let plain = made.collect();
        let policies: Vec<Policy> = (0..policies).map(|number| Policy::new(seed, number)).collect();
        let of_policy = |(at, policy): (usize, &Policy)| {
            let numbers = (0..OF_POLICY).map(|number| PLAIN + (at * OF_POLICY + number) as u64);
            let kinds = numbers.zip(MATCHING);
            kinds
                .filter_map(|(number, kind)| Template::parse(&generated(seed, number, kind, Some(policy), size)))
                .collect()
        };
        let keyed = policies.iter().enumerate().map(of_policy).collect();
        Self { plain, keyed, policies }
    }

    /// Returns the mean size of a message if this share of messages has a correlation id.
    pub fn mean_size(&self, keyed_share: f64) -> f64 {
        let mean = |templates: &mut dyn Iterator<Item = &Template>| {
            let (count, bytes) = templates.fold((0.0, 0.0), |(count, bytes), template| {
                (count + 1.0, bytes + template.bytes.len() as f64)
            });
            if count > 0.0 { bytes / count } else { 0.0 }
        };
        let (plain, keyed) = (mean(&mut self.plain.iter()), mean(&mut self.keyed.iter().flatten()));
        plain + (keyed - plain) * keyed_share
    }

    /// Replaces the bodies by those of recorded messages, if there are any. Messages without a correlation id are
    /// unchanged. Messages with one get the ids of the policies, so that alerts match them. Batches are split. Returns
    /// how many records could be used.
    pub fn record(&mut self, messages: impl Iterator<Item = Vec<u8>>) -> usize {
        let (keyed, plain): (Vec<Template>, Vec<Template>) = messages
            .flat_map(|message| records(&message).into_iter().filter_map(Template::parse).collect::<Vec<_>>())
            .partition(|template| template.key.is_some());
        let used = keyed.len() + plain.len();
        if !plain.is_empty() {
            self.plain = plain;
        }
        let mut next = 0;
        for (policy, templates) in self.policies.iter().zip(&mut self.keyed) {
            let id = policy.id.to_string();
            // Each policy uses different messages, if there are enough.
            let recorded: Vec<Template> = (0..OF_POLICY.min(keyed.len()))
                .filter_map(|number| keyed.get((next + number) % keyed.len())?.with_key(&id))
                .collect();
            next += OF_POLICY;
            if !recorded.is_empty() {
                *templates = recorded;
            }
        }
        used
    }
}

const ORDINARY: [Act; 6] = [
    Act::UserLoggedIn,
    Act::MailItemsAccessed,
    Act::MessageSent,
    Act::FileAccessed,
    Act::MessageReadReceiptReceived,
    Act::FileUploaded,
];
const MATCHING: [Act; OF_POLICY] = [Act::AlertTriggered, Act::FileDownloaded, Act::Send, Act::DlpRuleMatch];

fn generated(seed: u64, number: u64, act: Act, policy: Option<&Policy>, size: usize) -> Vec<u8> {
    // The time is not on a whole second: a time with all its digits has the same format everywhere.
    let time = EventTime::from_ticks(EventTime::FIRST.ticks() + 3_000_000 * TICKS_PER_SECOND + 1_234_567);
    let (tenant, account) = (Tenant::new(seed), Account::member(seed, number % 500));
    let deed = Deed {
        policy,
        cid: Presence::Present,
        size: Some(size),
        ..Deed::new(seed.wrapping_mul(1 << 32).wrapping_add(number), time, act, &account, &tenant)
    };
    let delivery = Delivery {
        form: Form::Streaming,
        received: time,
        number,
    };
    let mut value = Vec::with_capacity(size + 1_000);
    activity(&mut value, &deed, &delivery);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoded, Decoder, Settings};

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn event(bytes: &[u8]) -> Value {
        let whole = parsed(bytes);
        opened(&whole.get("properties").unwrap_or(&whole)["RawEventData"]).unwrap()
    }

    const TEXT: &str = "2026-03-01T10:00:00.0000001Z";

    fn at() -> EventTime {
        EventTime::from_date(2026, 3, 1, 36_000 * TICKS_PER_SECOND + 1).unwrap()
    }

    #[test]
    fn time_and_number_are_inserted_into_every_generated_template() {
        let mut pool = Pool::generated(7, 20, 2_650);
        assert_eq!((pool.plain.len(), pool.keyed.len()), (256, 20));
        let keys: Vec<String> = pool.policies.iter().map(|policy| policy.id.to_string()).collect();
        for template in &mut pool.plain {
            assert_eq!(template.key(), None);
            let message = template.message(at(), 0xabc).to_vec();
            let event = event(&message);
            assert_eq!(event["CreationTime"], TEXT);
            assert!(event["Id"].as_str().unwrap().ends_with("-000000000abc"));
            assert_eq!(parsed(&message)["time"], TEXT);
        }
        for (templates, key) in pool.keyed.iter_mut().zip(&keys) {
            assert_eq!(templates.len(), OF_POLICY);
            for template in templates {
                assert_eq!(template.key(), Some(key.as_str()));
                assert_eq!(
                    event(template.message(at(), 1))["CreationTime"],
                    "2026-03-01T10:00:00.0000001Z"
                );
            }
        }
        let bytes: usize = pool.plain.iter().map(|template| template.bytes.len()).sum();
        assert!((2_200..3_100).contains(&(bytes / 256)), "{}", bytes / 256);
    }

    #[test]
    fn two_numbers_make_two_activities() {
        let mut pool = Pool::generated(1, 1, 2_650);
        let mut decoder = Decoder::new(Settings::default());
        let mut ids = std::collections::BTreeSet::new();
        for template in pool.keyed.iter_mut().flatten() {
            for number in 0..3 {
                let message = template.message(at(), number).to_vec();
                decoder.decode(Some(&message), &mut |item| match item.what {
                    Decoded::Activity(activity) => drop(ids.insert(activity.id)),
                    other => panic!("{other:?}"),
                });
            }
        }
        assert_eq!(ids.len(), 12);
    }

    #[test]
    fn a_recorded_message_keeps_everything_but_time_id_and_key() {
        let recorded = br#"{"Type":"CloudAppEvents","Extra":1.50,"RawEventData":"{\"CreationTime\":\"2024-01-02 03:04:05\",\"Id\":\"11111111-2222-3333-4444-555555555555\",\"Data\":\"{\\\"cid\\\":\\\"p-7\\\"}\"}"}"#;
        let template = Template::parse(recorded).unwrap();
        assert_eq!(template.key(), Some("p-7"));
        let mut other = template.with_key("another-key").unwrap();
        let message = String::from_utf8(other.message(at(), 9).to_vec()).unwrap();
        assert_eq!(
            message,
            r#"{"Type":"CloudAppEvents","Extra":1.50,"RawEventData":"{\"CreationTime\":\"2026-03-01T10:00:00.0000001Z\",\"Id\":\"11111111-2222-3333-4444-000000000009\",\"Data\":\"{\\\"cid\\\":\\\"another-key\\\"}\"}"}"#
        );
        for other in ["[]", "{\"SystemAlertId\":\"a\"}", "no json", "{\"RawEventData\":{}}"] {
            assert_eq!(Template::parse(other.as_bytes()), None);
        }
    }

    #[test]
    fn recordings_replace_generated_bodies() {
        let mut pool = Pool::generated(7, 3, 2_650);
        let plain = br#"{"RawEventData":{"CreationTime":"2024-01-02T03:04:05"},"SourceWatermark":"plain"}"#.to_vec();
        let keyed =
            br#"{"RawEventData":{"CreationTime":"2024-01-02T03:04:05","Data":"{\"cid\":\"p\"}"},"SourceWatermark":"keyed"}"#
                .to_vec();
        let batch = [b"{\"records\":[", keyed.as_slice(), b",{\"Type\":\"Other\"}]}"].concat();
        assert_eq!(pool.record([plain, batch, b"{}".to_vec()].into_iter()), 2);
        assert_eq!(pool.plain.len(), 1);
        for (templates, policy) in pool.keyed.iter().zip(&pool.policies) {
            assert_eq!(templates.len(), 1);
            assert_eq!(templates[0].key(), Some(policy.id.to_string().as_str()));
            assert_eq!(parsed(&templates[0].bytes)["SourceWatermark"], "keyed");
        }
    }
}
