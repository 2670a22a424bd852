use alerttrail::decode::{Decoder, Settings as DecodeSettings};
use alerttrail::route::{Arrival, Progress, Routed, Router, Seen, Settings};
use alerttrail::time::WallTime;
use std::time::Duration;

/// The topic that messages come from.
pub(crate) const TOPIC: &str = "cloudappevents";
/// When messages arrive: after everything that happens in generated traffic.
pub(crate) const NOW: WallTime = WallTime(1_800_000_000_000);

/// A router to a log with this many partitions, with the settings that a processor has by default.
pub(crate) fn router(partitions: u32) -> Router {
    let settings = Settings {
        partitions,
        max_wait: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
        max_window_ahead: None,
        tenants: false,
    };
    Router::new(Decoder::new(DecodeSettings::default()), settings)
}

/// What ROUTE does with messages, but for the broker: take apart, read, find the partition, encode, note the progress.
pub(crate) struct Routing {
    router: Router,
    progress: Progress,
    scratch: Vec<u8>,
    offset: i64,
}

impl Routing {
    pub(crate) fn new(partitions: u32) -> Self {
        let mut progress = Progress::default();
        progress.assign(TOPIC, 0, 0, NOW);
        Self {
            router: router(partitions),
            progress,
            scratch: Vec::new(),
            offset: 0,
        }
    }

    /// Hands the bytes of every log record, with its partition, to `each`.
    pub(crate) fn message(&mut self, message: &[u8], each: &mut dyn FnMut(u32, &[u8])) -> Seen {
        let arrival = Arrival {
            now: NOW,
            timestamp: None,
        };
        let scratch = &mut self.scratch;
        let seen = self.router.route(Some(message), arrival, &mut |routed| match routed {
            Routed::Record { partition, record } => {
                scratch.clear();
                *scratch = record.encode(std::mem::take(scratch)).unwrap();
                each(partition, scratch);
            }
            Routed::OtherTable(_) | Routed::SecondTenant => {}
            Routed::Rejected { reject, .. } => panic!("the generator's own record is rejected: {reject:?}"),
        });
        self.offset += 1;
        if let Some(read) = self.progress.read(TOPIC, 0, self.offset) {
            read.activities(seen.latest, NOW);
        }
        seen
    }
}
