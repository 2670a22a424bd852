use alerttrail::decode::{Decoder, Settings as DecodeSettings};
use alerttrail::route::{Arrival, Progress, Routed, Router, Seen, Settings};
use alerttrail::time::WallTime;
use std::time::Duration;

/// The topic of the messages.
pub(crate) const TOPIC: &str = "cloudappevents";
/// The arrival time of messages: after everything that happens in generated traffic.
pub(crate) const NOW: WallTime = WallTime(1_800_000_000_000);

/// Returns a router to a log with this many partitions, with a processor's default settings.
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

/// The work of ROUTE on messages without the broker: parses and reads them, finds the partition, encodes, records the
/// progress.
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

    /// Passes the bytes of every repartition record, with its partition, to `each`.
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
