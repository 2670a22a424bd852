use super::*;

/// Returns a word for each item and, for a reject, its bytes.
fn found(message: &[u8]) -> Vec<(String, String)> {
    decode_with(Settings::default(), message)
        .iter()
        .enumerate()
        .map(|(place, item)| {
            assert_eq!(item.index, place);
            let bytes = match &item.what {
                Decoded::Rejected(reject) => String::from_utf8_lossy(&reject.bytes).into_owned(),
                _ => String::new(),
            };
            (word(item).to_owned(), bytes)
        })
        .collect()
}

/// Asserts that a batch of an activity, `broken` and an alert becomes the activity, one dead-letter record with
/// `bytes`, and the alert, in several wrappers.
fn costs_itself_only(broken: &str, bytes: &str) {
    for message in [
        format!("[{ACTIVITY},{broken},{ALERT}]"),
        format!("{{\"records\":[{ACTIVITY},{broken},{ALERT}]}}"),
        format!("{{\"x\":[1,{{}}],\"records\" : [ {ACTIVITY} ,\n {broken} ,\r\n {ALERT} ] ,\"y\":{{}}}}"),
        format!("[{{\"records\":[{ACTIVITY},{broken},{ALERT}]}}]"),
        format!("{ACTIVITY}\n{broken}\n{ALERT}\n"),
        serde_json::to_string(&format!("[{ACTIVITY},{broken},{ALERT}]")).unwrap(),
    ] {
        let expected = [("activity", ""), ("invalid_json", bytes), ("alert", "")];
        let expected = expected.map(|(word, bytes)| (word.to_owned(), bytes.to_owned()));
        assert_eq!(found(message.as_bytes()), expected, "{message}");
    }
}

#[test]
fn a_broken_record_in_a_batch_is_one_dead_letter() {
    for broken in [
        r#"{"time":"t","category":"DatabaseLogs","properties":[ binary, 3 bytes ],"Type":"D"}"#,
        r#"{"a":nope}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        r#"{"a":"\x"}"#,
        // The row inside is complete, but it is not a record of its own.
        r#"{"operationName": Publish,"category":"AdvancedHunting-CloudAppEvents","properties":{"RawEventData":{"Data":{"cid":"p"},"CreationTime":"2026-03-01T10:00:00"}}}"#,
        r#"{"RawEventData":{"Data":"{"cid":"p"}","CreationTime":"2026-03-01T10:00:00"}}"#,
        r#"{"Entities":[{"Type":"ip"},{"Type":x}],"SystemAlertId":"s"}"#,
    ] {
        costs_itself_only(broken, broken);
    }
}

#[test]
fn a_record_that_ends_too_early_ends_where_the_next_begins() {
    for cut in [
        r#"{"a":"b"#,
        r#"{"a":{"b":1"#,
        r#"{"a":["#,
        r#"{"a""#,
        r#"{"RawEventData":"{\"CreationTime\":\"2026"#,
    ] {
        costs_itself_only(cut, cut);
    }
}

#[test]
fn what_is_whole_before_a_cut_is_used() {
    let whole = format!("{{\"records\":[\n {ACTIVITY},\n {ALERT},\n {ACTIVITY}\n]}}\n");
    let second = whole.find(ALERT).unwrap();
    for cut in second + 1..second + ALERT.len() {
        let message = &whole[..cut];
        let dead = &whole[second..cut];
        let expected = [("activity", ""), ("invalid_json", dead.trim_end_matches(','))]
            .map(|(word, bytes)| (word.to_owned(), bytes.to_owned()));
        assert_eq!(found(message.as_bytes()), expected);
    }
    let items = found(&whole.as_bytes()[..whole.len() - 3]);
    assert_eq!(
        items.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(),
        ["activity", "alert", "activity"]
    );
}

#[test]
fn bytes_that_are_no_utf_8_cost_their_record() {
    let message = [
        b"[".as_slice(),
        ACTIVITY.as_bytes(),
        b",{\"a\":\"\xe9\"},",
        ALERT.as_bytes(),
        b"]",
    ]
    .concat();
    let words: Vec<String> = found(&message).into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["activity", "invalid_json", "alert"]);
}

#[test]
fn several_broken_records_are_several_dead_letters() {
    let message = format!("[{{\"a\":x}},{ACTIVITY},{{\"b\":,{ACTIVITY},y,{ALERT},{{\"c\":\"");
    let words: Vec<String> = found(message.as_bytes()).into_iter().map(|(word, _)| word).collect();
    let broken = "invalid_json";
    assert_eq!(words, [broken, "activity", broken, "activity", broken, "alert", broken]);
}

#[test]
fn what_a_log_writes_before_a_record_is_one_dead_letter() {
    let prefix = "2026-03-01 10:00:00 INFO sent 3";
    let message = format!("{prefix} {ACTIVITY}\n{prefix} {ALERT}\n");
    let expected = [
        ("invalid_json", prefix),
        ("activity", ""),
        ("invalid_json", prefix),
        ("alert", ""),
    ];
    let expected = expected.map(|(word, bytes)| (word.to_owned(), bytes.to_owned()));
    assert_eq!(found(message.as_bytes()), expected);
}

#[test]
fn whole_texts_that_are_no_records_stay_what_they_are() {
    let words = |message: &str| -> Vec<String> { found(message.as_bytes()).into_iter().map(|(word, _)| word).collect() };
    assert_eq!(words("{}{}"), ["unknown_record", "unknown_record"]);
    assert_eq!(words("{}\nx"), ["invalid_json"], "nothing in it can be used");
    assert_eq!(
        words(&format!("{{}}\nx\n{ACTIVITY}")),
        ["unknown_record", "invalid_json", "activity"]
    );
}

/// Returns whether the byte only separates the records of a list.
fn is_separator(byte: u8) -> bool {
    b" \r\n\t,[]{}\x1e\xef\xbb\xbf".contains(&byte)
}

proptest! {
    #[test]
    fn every_byte_is_in_a_record_or_in_a_dead_letter(
        records in prop::collection::vec(any::<bool>(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[]\",:\\x\n\x00\xff".to_vec()), any::<bool>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let records: Vec<&str> = records.iter().map(|alert| if *alert { ALERT } else { ACTIVITY }).collect();
        let mut message = format!("[{}]", records.join(",\n")).into_bytes();
        for (place, byte, insert) in damage {
            let place = place.index(message.len());
            match insert {
                true => message.insert(place, byte),
                false => message[place] = byte,
            }
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()).max(1));
        }
        let mut covered = vec![false; message.len()];
        for item in decode_with(Settings::default(), &message) {
            let bytes: &[u8] = match &item.what {
                Decoded::Activity(activity) => &activity.row,
                Decoded::Alert(alert) => &alert.row,
                Decoded::Rejected(reject) => &reject.bytes,
                // These items do not contain their bytes. A damaged record rarely becomes one of them.
                _ => return Ok(()),
            };
            let start = memchr::memmem::find_iter(&message, bytes).find(|start| !covered[*start]);
            // A row that was put on one line differs from its bytes in the message.
            let Some(start) = start else { return Ok(()) };
            covered[start..start + bytes.len()].fill(true);
        }
        let left: Vec<u8> = message.iter().zip(&covered).filter(|(byte, covered)| !**covered && !is_separator(**byte)).map(|(byte, _)| *byte).collect();
        prop_assert!(left.is_empty(), "{:?} of {:?}", String::from_utf8_lossy(&left), String::from_utf8_lossy(&message));
    }
}
