use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::time::{EventTime, TICKS_PER_SECOND};

fn messages(mut source: impl Messages) -> Vec<(Vec<u8>, MessageInfo)> {
    let next = || {
        let mut out = Vec::new();
        source.next_message(&mut out).map(|info| (out, info))
    };
    std::iter::from_fn(next).collect()
}

fn hash(source: impl Messages) -> String {
    let mut hash = Sha256::new();
    for (message, _) in messages(source) {
        hash.update(&message);
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}

/// Returns the rows of valid messages without their envelopes.
fn rows(source: impl Messages) -> Vec<Value> {
    let mut rows = Vec::new();
    for (message, info) in messages(source) {
        assert!(!message.contains(&b'\n') && message.len() < 1_000_000);
        if info.malformed {
            continue;
        }
        assert_eq!(crate::json::compact(&message).len(), message.len());
        let mut message: Value = serde_json::from_slice(&message).unwrap();
        let batch = match message.get_mut("records") {
            Some(records) => records.as_array().unwrap().clone(),
            None => vec![message],
        };
        assert_eq!(batch.len(), info.records);
        rows.extend(batch.into_iter().map(row));
    }
    rows
}

pub(super) fn row(mut record: Value) -> Value {
    if record.get("properties").is_some() {
        assert!(record["category"] == "AdvancedHunting-CloudAppEvents");
        return record["properties"].take();
    }
    let columns = record.as_object_mut().unwrap();
    for column in ["Type", "TenantId", "_ItemId", "_Internal_WorkspaceResourceId"] {
        columns.remove(column);
    }
    if columns.contains_key("RawEventData") {
        columns.remove("TimeGenerated");
    }
    record
}

/// Parses a value that may be a string of JSON.
pub(super) fn opened(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    }
}

pub(super) fn raw(activity: &Value) -> Value {
    opened(&activity["RawEventData"])
}

fn cid(row: &Value) -> Option<String> {
    let data = opened(&raw(row)["Data"]);
    data["cid"].as_str().map(str::to_owned)
}

pub(super) fn time(text: &Value) -> EventTime {
    let text = text.as_str().unwrap().trim_end_matches('Z').replace(' ', "T");
    let parsed = chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f")
        .unwrap()
        .and_utc();
    let wall = crate::time::WallTime(parsed.timestamp() * 1_000).to_event();
    EventTime::from_ticks(wall.ticks() + i64::from(parsed.timestamp_subsec_nanos() / 100))
}

pub(super) fn activity_time(row: &Value) -> EventTime {
    time(&raw(row)["CreationTime"])
}

/// Returns the version that counts for each alert.
pub(super) fn latest(rows: &[Value]) -> BTreeMap<String, &Value> {
    let mut latest: BTreeMap<String, &Value> = BTreeMap::new();
    for row in rows {
        let held = latest.entry(row["SystemAlertId"].as_str().unwrap().to_owned()).or_insert(row);
        if time(&row["TimeGenerated"]) > time(&held["TimeGenerated"]) {
            *held = row;
        }
    }
    latest
}

fn generator(options: Options) -> Generator {
    Generator::new(&options).unwrap()
}

fn close_to(share: f64, wanted: f64, tolerance: f64) {
    assert!((share - wanted).abs() < tolerance, "{share} is not close to {wanted}");
}

#[test]
fn a_seed_means_the_same_bytes_for_ever() {
    let small = generator(Options {
        activities: 2_000,
        ..Options::default()
    });
    let other = generator(Options {
        activities: 2_000,
        alerts: 300,
        seed: 77,
        policies: 7,
        policy_skew: 0.4,
        malformed: 0.05,
        batch_max: 20,
        zero_windows: 0.3,
        ..Options::default()
    });
    let hashes = [
        hash(small.activities()),
        hash(small.alerts()),
        hash(other.activities()),
        hash(other.alerts()),
    ];
    assert_eq!(hashes, PINNED);
}

/// When these hashes change, recorded results no longer belong to their seeds.
const PINNED: [&str; 4] = [
    "bd0288f23f9c763870a7daf38016a3b39efcddf664894d2d5d8fd0814dc9e97f",
    "59655e42fb9460c2bd836ae9835c29f034aca5f47eb1cf86f3b85e43ed7a8d11",
    "4a77467a5849aeaa89bd1a20b5e8a5ec49833cb58eafdd534ae8908ca00fa717",
    "10ece7d9bff12c23a6f1818d5adc7da7dbfcfd01d245e9dc969e3ef57e219b69",
];

#[test]
fn counts_and_shares_are_those_asked_for() {
    let rows = rows(generator(Options::default()).activities());
    let distinct: BTreeSet<String> = rows.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 10_000);
    close_to(rows.len() as f64 / 10_000.0, 1.03, 0.006);
    let keyed: Vec<String> = distinct
        .iter()
        .filter_map(|row| cid(&serde_json::from_str(row).unwrap()))
        .collect();
    close_to(keyed.len() as f64 / 10_000.0, 0.03, 0.005);
    let mut by_policy: BTreeMap<&str, usize> = BTreeMap::new();
    keyed.iter().for_each(|cid| *by_policy.entry(cid).or_default() += 1);
    assert!(by_policy.len() <= 40);
    assert!(
        by_policy.values().max().unwrap() * 8 > keyed.len(),
        "no hot policy: {by_policy:?}"
    );
    let actions: BTreeSet<&str> = rows.iter().filter_map(|row| row["ActionType"].as_str()).collect();
    assert_eq!(actions.len(), 15, "{actions:?}");
}

#[test]
fn a_delivery_adds_nothing_but_its_envelope() {
    let options = Options {
        activities: 1_500,
        duplicates: 1.0,
        ..Options::default()
    };
    let generator = generator(options);
    let sent = messages(generator.activities());
    let distinct: BTreeSet<&[u8]> = sent.iter().map(|(message, _)| message.as_slice()).collect();
    assert!(distinct.len() > 2_950, "{}", distinct.len());
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for row in rows(generator.activities()) {
        *times.entry(row.to_string()).or_default() += 1;
    }
    assert_eq!(times.len(), 1_500);
    assert!(times.values().all(|&times| times == 2));
    let mut alerts: BTreeMap<String, u32> = BTreeMap::new();
    for row in rows(generator.alerts()) {
        *alerts.entry(row.to_string()).or_default() += 1;
    }
    assert!(alerts.len() > 100 && alerts.values().all(|&times| times == 2));
}

#[test]
fn sizes_are_those_asked_for() {
    for record_size in [1_200, 2_600, 6_000] {
        let options = Options {
            record_size,
            envelope: Envelope::Streaming,
            ..Options::default()
        };
        let sent = messages(generator(options).activities());
        let mean = sent.iter().map(|(message, _)| message.len()).sum::<usize>() / sent.len();
        let (low, high) = (
            record_size * 9 / 10,
            record_size * if record_size < 2_000 { 14 } else { 11 } / 10,
        );
        assert!((low..high).contains(&mean), "{mean} for {record_size}");
        let smallest = sent.iter().map(|(message, _)| message.len()).min().unwrap();
        assert!(smallest < mean * 9 / 10, "{smallest} of {mean}");
    }
}

#[test]
fn records_are_out_of_order_by_less_than_the_disorder() {
    for seconds in [0, 300] {
        let options = Options {
            disorder: Duration::from_secs(seconds),
            ..Options::default()
        };
        let (mut greatest, mut worst, mut arrived) = (0, 0, EventTime::MIN);
        for (_, info) in messages(generator(options).activities()) {
            assert!(arrived <= info.arrival);
            arrived = info.arrival;
            greatest = info.event_time.ticks().max(greatest);
            worst = worst.max(greatest - info.event_time.ticks());
        }
        let limit = seconds as i64 * TICKS_PER_SECOND;
        assert!(worst <= limit && worst >= limit * 9 / 10, "{worst} of {limit}");
    }
}

#[test]
fn times_lie_in_the_span_and_come_in_many_forms() {
    let options = Options::default();
    let (start, end) = (options.start, options.start.plus(options.span));
    let mut forms = BTreeSet::new();
    for row in rows(generator(options).activities()) {
        let text = opened(&row["RawEventData"])["CreationTime"].clone();
        assert!((start..end).contains(&time(&text)));
        let text = text.as_str().unwrap();
        forms.insert((
            text.ends_with('Z'),
            text.trim_end_matches('Z').split('.').nth(1).map_or(0, str::len),
        ));
    }
    assert_eq!(forms.len(), 16, "with and without a zone, with 0 to 7 digits: {forms:?}");
}

#[test]
fn windows_are_within_their_bounds() {
    let options = Options {
        alerts: 1_500,
        activities: 4_000,
        zero_windows: 0.2,
        ..Options::default()
    };
    let (shortest, longest) = (options.window_min, options.window_max);
    let rows = rows(generator(options).alerts());
    let mut empty = 0;
    for row in &rows {
        let (start, end) = (time(&row["StartTime"]), time(&row["EndTime"]));
        assert!(
            start == end || (start.plus(shortest) <= end && end <= start.plus(longest)),
            "{row}"
        );
        assert!(end < time(&row["TimeGenerated"]));
        empty += usize::from(start == end);
    }
    close_to(empty as f64 / rows.len() as f64, 0.2, 0.04);
}

#[test]
fn alerts_have_later_versions() {
    let options = Options {
        alerts: 3_000,
        duplicates: 0.0,
        ..Options::default()
    };
    let mut versions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows(generator(options).alerts()) {
        let id = row["SystemAlertId"].as_str().unwrap().to_owned();
        versions.entry(id).or_default().push(row);
    }
    assert_eq!(versions.len(), 3_000);
    let updated: Vec<&Vec<Value>> = versions.values().filter(|rows| rows.len() > 1).collect();
    close_to(updated.len() as f64 / 3_000.0, 0.2, 0.03);
    let changed = |column: &str| {
        updated
            .iter()
            .filter(|rows| rows.iter().any(|row| row[column] != rows[0][column]))
            .count()
    };
    assert_eq!(changed("Status"), updated.len());
    assert!(changed("EndTime") > updated.len() / 4 && changed("EndTime") < updated.len());
    assert!(
        (10..updated.len() / 8).contains(&changed("AlertType")),
        "{}",
        changed("AlertType")
    );
    assert_eq!(changed("StartTime"), 0);
}

#[test]
fn a_tenth_of_the_keyed_activities_lies_in_a_window() {
    for (alerts, policies, wanted) in [(100, 40, 0.1), (2_000, 40, 0.1), (500, 3, 0.4), (12, 200, 0.1)] {
        let options = Options {
            activities: 6_000,
            alerts,
            policies,
            in_window_share: wanted,
            keyed_share: 0.3,
            duplicates: 0.0,
            ..Options::default()
        };
        let generator = generator(options);
        let (activities, alerts) = (rows(generator.activities()), rows(generator.alerts()));
        let mut windows: BTreeMap<&str, Vec<(EventTime, EventTime)>> = BTreeMap::new();
        for alert in latest(&alerts).values() {
            let window = (time(&alert["StartTime"]), time(&alert["EndTime"]));
            windows.entry(alert["AlertType"].as_str().unwrap()).or_default().push(window);
        }
        let (mut keyed, mut inside, mut at_an_end) = (0.0, 0.0, 0);
        for row in &activities {
            let Some(cid) = cid(row) else { continue };
            let windows = windows.get(cid.as_str()).map_or(&[][..], Vec::as_slice);
            let at = activity_time(row);
            keyed += 1.0;
            inside += f64::from(u8::from(windows.iter().any(|&(start, end)| start < at && at < end)));
            at_an_end += usize::from(windows.iter().any(|&(start, end)| start == at || at == end));
        }
        close_to(inside / keyed, wanted, 0.025);
        assert!(at_an_end > 15, "activities at the ends of windows: {at_an_end}");
    }
}

#[test]
fn an_alert_signal_speaks_of_an_alert_that_there_is() {
    let generator = generator(Options {
        keyed_share: 0.2,
        ..Options::default()
    });
    let alerts = rows(generator.alerts());
    let originals: BTreeSet<&str> = alerts
        .iter()
        .filter_map(|row| row["VendorOriginalId"].as_str()?.get(2..))
        .collect();
    let named = rows(generator.activities()).into_iter().filter(|row| {
        let event = opened(&row["RawEventData"]);
        event["AlertId"].as_str().is_some_and(|id| originals.contains(id))
    });
    assert!(named.count() > 100);
}

#[test]
fn broken_messages_come_on_top() {
    let whole = Options::default();
    for batch_max in [1, 10] {
        let broken = Options {
            malformed: 0.2,
            batch_max,
            ..whole.clone()
        };
        let distinct = |rows: Vec<Value>| rows.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        let generator = generator(broken);
        let sent = messages(generator.activities());
        let share = sent.iter().filter(|(_, info)| info.malformed).count() as f64 / sent.len() as f64;
        close_to(share, 0.2, 0.03);
        let sound: usize = sent.iter().map(|(_, info)| info.records).sum();
        let expected = rows(Generator::new(&whole).unwrap().activities());
        assert_eq!(sound, expected.len());
        if batch_max == 1 {
            assert_eq!(distinct(rows(generator.activities())), distinct(expected));
            assert_eq!(
                rows(generator.alerts()).len(),
                rows(Generator::new(&whole).unwrap().alerts()).len()
            );
        }
    }
}

#[test]
fn a_broken_record_does_not_break_its_batch() {
    let options = Options {
        malformed: 0.5,
        batch_max: 8,
        ..Options::default()
    };
    let generator = generator(options);
    let (mut batches, mut placeless) = (0, BTreeSet::new());
    for (message, info) in messages(generator.activities())
        .into_iter()
        .chain(messages(generator.alerts()))
    {
        if info.malformed && info.records > 0 && memchr::memmem::find(&message, b"[[[[[").is_none() {
            let value: Value = serde_json::from_slice(&message).unwrap();
            let records = value["records"].as_array().unwrap();
            assert_eq!(records.len(), info.records + 1);
            batches += 1;
            for record in records
                .iter()
                .filter(|record| record.get("properties").is_none_or(Value::is_string))
            {
                placeless.insert(record.as_object().unwrap().len());
            }
        }
    }
    assert!(batches > 100 && placeless.len() > 3, "{batches} {placeless:?}");
}

#[test]
fn every_kind_is_sound_on_its_own() {
    use record::{Account, Act, Deed, Delivery, Form, Incident, Policy, Presence, Status, Tenant};
    let (tenant, account, policy) = (Tenant::new(5), Account::new(5, 9), Policy::new(5, 0));
    let received = Options::default().start;
    let acts = [
        Act::AlertTriggered,
        Act::DlpRuleMatch,
        Act::AirInvestigation,
        Act::FileDownloaded,
        Act::Send,
        Act::UserLoggedIn,
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let deed = Deed {
            time_form: TimeForm::zulu(0),
            policy: Some(&policy),
            cid: Presence::Present,
            size: Some(2_000),
            ..Deed::new(
                number as u64,
                received.plus(Duration::from_nanos(100)),
                act,
                &account,
                &tenant,
            )
        };
        for form in [Form::Streaming, Form::LogAnalytics, Form::Bare] {
            let mut out = Vec::new();
            let number = 1;
            record::activity(&mut out, &deed, &Delivery { form, received, number });
            let row = row(serde_json::from_slice(&out).unwrap());
            assert_eq!(cid(&row), Some(policy.id.to_string()), "{act:?}");
            assert_eq!(activity_time(&row), deed.time);
        }
    }
    let incident = Incident {
        seed: 3,
        id: Guid::from_u128(1),
        provider_id: Guid::from_u128(2),
        policy: &policy,
        accounts: std::slice::from_ref(&account),
        object_ids: Presence::Present,
        files: &[],
        tenant: &tenant,
        start: received,
        end: received.plus(Duration::from_secs(60)),
        time_generated: received.plus(Duration::from_secs(90)),
        status: Status::New,
    };
    let mut out = Vec::new();
    let form = Form::Bare;
    record::alert(
        &mut out,
        &incident,
        &Delivery {
            form,
            received,
            number: 1,
        },
    );
    let row: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(row["AlertName"], "Credit card numbers shared outside the company");
    assert_eq!(row["AlertType"], policy.id.to_string());
    assert_eq!(opened(&row["Entities"])[0]["DisplayName"], account.name);
    assert!(opened(&row["ExtendedProperties"]).is_object());
}

#[test]
fn nothing_and_little_can_be_asked_for() {
    for (activities, alerts, policies) in [(0, 0, 1), (0, 50, 1), (1, 0, 1), (1, 20, 1), (3, 20, 2)] {
        let generator = generator(Options {
            activities,
            alerts,
            policies,
            keyed_share: 1.0,
            ..Options::default()
        });
        assert!(rows(generator.activities()).len() >= activities as usize);
        assert!(rows(generator.alerts()).len() >= alerts as usize);
    }
}
