//! Messages that are made to cost more than they should, decoded by the same code as all others: the cost stays
//! proportional to their length.

use std::time::Duration;

use alerttrail::clock;
use alerttrail::decode::{Decoded, Decoder, Reason, Settings};

/// The maximum time for a message of a few megabytes, without optimisation on a busy machine. Anything worse than
/// linear takes minutes.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Returns the names of the items that a message decodes to.
fn decode(message: &[u8]) -> Vec<&'static str> {
    let began = clock::start();
    let mut names = Vec::new();
    Decoder::new(Settings::default())
        .with_limit(1_000_000)
        .decode(Some(message), &mut |item| names.push(name(&item.what)));
    assert!(began.elapsed() < MAX_TIME, "{:?}", began.elapsed());
    names
}

fn name(decoded: &Decoded<'_>) -> &'static str {
    match decoded {
        Decoded::Activity(_) => "activity",
        Decoded::Unkeyed { .. } => "unkeyed",
        Decoded::Unreadable { .. } => "unreadable",
        Decoded::Ignored => "ignored",
        Decoded::Alert(_) => "alert",
        Decoded::OtherTable(_) => "other",
        Decoded::Tombstone => "tombstone",
        Decoded::Rejected(reject) => reject.reason.as_str(),
    }
}

fn activity(cid: &str, more: &str) -> String {
    format!(r#"{{"RawEventData":{{"CreationTime":"2026-03-01T10:00:00Z","Data":{{"cid":{cid}}}}}{more}}}"#)
}

#[test]
fn f9_text_that_is_not_utf8_is_rejected_as_a_whole() {
    for bytes in [
        b"{\"a\":\"\xff\"}".as_slice(),
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
    ] {
        assert_eq!(decode(bytes), [Reason::InvalidJson.as_str()]);
    }
    for marked in [b"\xff\xfe{\0}\0".as_slice(), b"\xef\xbb\xbf{}"] {
        assert_eq!(decode(marked), [Reason::UnknownRecord.as_str()]);
    }
    assert_eq!(
        decode(activity(r#""\ud800""#, "").as_bytes()),
        ["activity"],
        "half of a pair is JSON"
    );
}

#[test]
fn f11_depth_costs_no_stack() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    // The object around it is one more level.
    for (levels, expected) in [
        (126, "activity"),
        (127, "activity"),
        (128, "too_deep"),
        (20_000, "too_deep"),
        (1_000_000, "too_deep"),
    ] {
        let message = activity("\"p\"", &format!(",\"x\":{}", nested(levels)));
        // A stack that recursion over a thousand levels would overflow.
        let decoded = std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || decode(message.as_bytes()));
        assert_eq!(decoded.unwrap().join().unwrap(), [expected], "{levels}");
    }
    let strings_in_strings = (0..15).fold("{}".to_owned(), |inner, _| serde_json::to_string(&inner).unwrap());
    assert_eq!(
        decode(format!(r#"{{"RawEventData":{strings_in_strings}}}"#).as_bytes()).len(),
        1,
        "a string that holds a string that holds JSON"
    );
}

#[test]
fn f12_a_million_records_in_one_message_are_a_million_records() {
    const RECORDS: usize = 1_000_000;
    let message = format!(
        "{{\"records\":[{}{}]}}",
        r#"{"a":1},"#.repeat(RECORDS / 2),
        "7,".repeat(RECORDS / 2 - 1) + "{}"
    );
    let names = decode(message.as_bytes());
    assert_eq!(names.len(), RECORDS);
    assert!(names.iter().all(|name| *name == "unknown_record"));
    let (half, other) = (RECORDS / 2 / 8, activity("\"p\"", ""));
    let around = format!("[{}{other}{}]", "{},".repeat(half), ",{}".repeat(half));
    let names = decode(around.as_bytes());
    assert_eq!(names[half], "activity", "the one between them is found");
    assert_eq!(names.iter().filter(|name| **name == "unknown_record").count(), 2 * half);
}

#[test]
fn f16_numbers_are_texts() {
    let cid = |number: &str| {
        let message = activity(number, "");
        let mut cid = None;
        Decoder::new(Settings::default()).decode(Some(message.as_bytes()), &mut |item| {
            if let Decoded::Activity(activity) = item.what {
                cid = Some(activity.keys[0].correlation_id.to_string());
            }
        });
        cid
    };
    for number in [
        "1e400",
        "-0",
        "9223372036854775808",
        "1.0",
        "1E+999999999",
        "123456789012345678901234567890.5",
    ] {
        assert_eq!(cid(number).as_deref(), Some(number), "as it is spelled");
    }
    assert_eq!(cid("true").as_deref(), Some("true"));
    assert_eq!(cid("null"), None);
    assert_eq!(
        cid("1,\"cid\":\"last\"").as_deref(),
        Some("last"),
        "of a repeated key the last"
    );
    let digits = "9".repeat(1_000_000);
    assert_eq!(decode(activity(&digits, "").as_bytes()), ["too_large"]);
}

#[test]
fn f17_many_names_in_one_object_are_read_once() {
    let names: String = (0..200_000).map(|number| format!("\"n{number}\":{number},")).collect();
    let message = activity("\"p\"", &format!(",\"x\":{{{names}\"z\":0}}"));
    assert_eq!(decode(message.as_bytes()), ["too_large"]);
    let same = format!(",\"x\":{{{}\"z\":0}}", "\"n\":1,".repeat(100_000));
    assert_eq!(decode(activity("\"p\"", &same).as_bytes()), ["activity"]);
}

#[test]
fn f18_nothing_is_skipped_and_a_key_that_is_too_large_is_rejected() {
    assert_eq!(decode(b""), ["tombstone"]);
    let mut none = Vec::new();
    Decoder::new(Settings::default()).decode(None, &mut |item| none.push(name(&item.what)));
    assert_eq!(none, ["tombstone"]);
    assert_eq!(
        decode(b" "),
        [Reason::InvalidJson.as_str()],
        "white space is not a Kafka tombstone"
    );
    let key = "k".repeat(400_000);
    assert_eq!(
        decode(activity(&format!("{key:?}"), "").as_bytes()),
        ["too_large"],
        "it is sent three times"
    );
    assert_eq!(
        decode(activity(&format!("{:?}", "k".repeat(300_000)), "").as_bytes()),
        ["activity"]
    );
    let name = format!("{{\"{}\":1}}", "n".repeat(1_000_000));
    assert_eq!(decode(name.as_bytes()), ["unknown_record"]);
}

#[test]
fn splitting_broken_json_takes_linear_time() {
    const LENGTH: usize = 2_000_000;
    let whole = activity("\"p\"", "");
    for piece in [
        "{",
        "[",
        "{\"a\":1,",
        "{\"",
        "[{\"records\":[",
        "{\"records\":[{",
        ",{\"a\":{",
        "{\"a\":\"",
        "\"{\\\"",
        "[\"",
        "{\"Type\":\"ip\"},x,",
        "{}x",
        "\u{1e}",
        "{\"a\":{\"Type\":\"x\"},",
    ] {
        let message = piece.repeat(LENGTH / piece.len());
        decode(message.as_bytes());
        decode(format!("[{whole},{message}").as_bytes());
        decode(format!("[{message},{whole}]").as_bytes());
    }
    // Many broken records between intact ones.
    let message = format!("[{}", format!("{whole},{{\"a\":\"b\"c\":\"{{}}\"}},").repeat(5_000));
    let found = decode(message.as_bytes());
    assert_eq!(found.iter().filter(|name| **name == "activity").count(), 5_000);
    assert_eq!(found.len(), 10_000);
}
