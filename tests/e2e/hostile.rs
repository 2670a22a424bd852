//! Messages that nobody should send.

use crate::support::{World, activity, alert};

#[test]
fn hostile_messages_do_not_stop_the_processor() {
    let Some(mut world) = World::new("hostile") else { return };
    let good = |note: &str| activity("p", "2026-03-01T10:00:00Z", note);
    let brackets = "[".repeat(20_000) + &"]".repeat(20_000);
    let batch = [
        br#"{"records":["#.as_slice(),
        &good("in a batch"),
        b",null,7,\"text\",{},",
        brackets.as_bytes(),
        br#",{"category":"AdvancedHunting-CloudAppEvents"},"#,
        br#"{"category":"AdvancedHunting-CloudAppEvents","properties":7},"#,
        br#"{"RawEventData":{"CreationTime":17,"Data":{"cid":"p"}}},"#,
        br#"{"RawEventData":{"Data":{"cid":"p"}}},"#,
        br#"{"SystemAlertId":"x","AlertType":"p"},"#,
        br#"{"Type":"OfficeActivity","RawEventData":7},"#,
        &activity("p", "2026-03-01T10:00:01Z", "behind them"),
        b"]}",
    ]
    .concat();
    let mut instance = world.start("a");
    let messages: Vec<Vec<u8>> = vec![
        batch,
        b"{broken".to_vec(),
        b"\xff\xfe".to_vec(),
        brackets.into_bytes(),
        "[".repeat(20_000).into_bytes(),
        b"null".to_vec(),
        b"".to_vec(),
        b"[]".to_vec(),
        b"   ".to_vec(),
        activity("p", "2026-03-01T10:00:02Z", "at the end"),
    ];
    world.send("activities", 4, messages.iter().map(Vec::as_slice));
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    world.send(
        "alerts",
        1,
        [alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z").as_slice()],
    );
    let fold = world.wait_for_expected_rows(&mut [&mut instance]);
    assert_eq!(fold.len(), 3);
    // 10 records of the batch, 6 messages; none for the empty value and the empty batch.
    let dead_letters = world.wait_for_records("dead", 16, &mut instance);
    let count = |reason: &str| {
        dead_letters
            .iter()
            .filter(|record| record.header("alerttrail.reason") == reason)
            .count()
    };
    assert_eq!(count("invalid_json"), 4, "broken, not UTF-8, never closed, blank");
    assert_eq!(count("too_deep"), 2, "in the batch and alone");
    assert_eq!(
        count("unknown_record"),
        7,
        "null twice, a number, a text, an empty object, and two envelopes"
    );
    assert_eq!(count("invalid_time"), 1);
    assert_eq!(count("missing_field"), 2, "an activity without a time, an alert without any");
    let broken = dead_letters.iter().find(|record| record.value == b"{broken").unwrap();
    assert_eq!(broken.header("alerttrail.topic"), world.topic("activities"));
    assert_eq!(broken.header("alerttrail.index"), "0");
    assert!(!broken.header("alerttrail.error").is_empty());
    instance.assert_runs();
}
