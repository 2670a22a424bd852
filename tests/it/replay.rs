//! Moves the times of generated traffic, which contains every form of both tables.

use alerttrail::decode::{Decoded, Decoder, Settings};
use alerttrail::generate::{Generator, Messages, Options};
use alerttrail::replay::shift::{Offset, shift};
use alerttrail::time::{EventTime, Window};

fn all(mut source: impl Messages) -> Vec<Vec<u8>> {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    while source.next_message(&mut buffer).is_some() {
        messages.push(std::mem::take(&mut buffer));
    }
    messages
}

/// Returns the times that the decoder finds: the time of an activity, or the version and the window of an alert.
fn times(message: &[u8]) -> Vec<EventTime> {
    let mut times = Vec::new();
    Decoder::new(Settings::default()).decode(Some(message), &mut |item| match item.what {
        Decoded::Activity(activity) => times.push(activity.time),
        Decoded::Unkeyed { time } => times.extend(time),
        Decoded::Alert(alert) => {
            let Window { from, to } = alert.links[0].window;
            times.extend([alert.version.time_generated, from, to]);
        }
        other => panic!("{other:?}"),
    });
    times
}

#[test]
fn generated_traffic_moves_as_a_whole_and_back() {
    let options = Options {
        activities: 500,
        alerts: 50,
        batch_max: 4,
        ..Options::default()
    };
    let generator = Generator::new(&options).unwrap();
    let (activities, alerts) = (all(generator.activities()), all(generator.alerts()));
    assert!(activities.len() > 150 && alerts.len() > 15);
    let seconds = 200 * 86_400 + 3_601;
    for original in activities.into_iter().chain(alerts) {
        let before = times(&original);
        let mut moved = original.clone();
        let count = shift(&mut moved, Offset::from_seconds(seconds));
        assert!(count > before.len(), "{count} times: more than the decoder reads");
        let expected: Vec<EventTime> = before.iter().map(|time| Offset::from_seconds(seconds).from(*time)).collect();
        assert_eq!(times(&moved), expected);
        let text = |message: &[u8]| -> Vec<u8> { message.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect() };
        assert_eq!(text(&moved), text(&original), "nothing but digits has changed");
        assert_eq!(shift(&mut moved, Offset::from_seconds(-seconds)), count);
        assert_eq!(moved, original);
    }
}
