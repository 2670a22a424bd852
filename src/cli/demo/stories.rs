//! What happens in the demo: short stories of an alert and its activities, one after another, for ever.

use crate::generate::record::{ActivitySpec, AlertSpec, Delivery, Form, Kind, Policy, Status, Tenant, User, activity, alert};
use crate::generate::{Guid, TimeForm};
use crate::time::{EventTime, WallTime};

/// Something that is sent at a time.
pub(super) struct Event {
    /// When, by the clock.
    pub(super) at: WallTime,
    /// To which table's topic.
    pub(super) table: Table,
    /// The message.
    pub(super) value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Activities,
    Alerts,
}

/// How a story goes.
#[derive(Clone, Copy)]
enum Plot {
    /// The window closes over what has come.
    Plain,
    /// One activity arrives when the alert has been answered already.
    LateActivity,
    /// A newer version of the alert covers more time.
    Update,
    /// Nobody did anything under this policy.
    Unmatched,
}

const PLOTS: [Plot; 5] = [Plot::Plain, Plot::LateActivity, Plot::Update, Plot::Unmatched, Plot::Plain];
/// From the beginning of one story to that of the next, in milliseconds.
pub(super) const PACE: i64 = 3_000;
/// Between two activities that have nothing to do with any alert, in milliseconds.
const NOISE: i64 = 40;
const POLICIES: usize = 6;
const PEOPLE: usize = 40;

/// Tells the stories.
pub(super) struct Teller {
    seed: u64,
    tenant: Tenant,
    next_story: u64,
    next_seed: u64,
}

impl Teller {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            tenant: Tenant::of(seed),
            next_story: 0,
            next_seed: seed.wrapping_mul(1 << 32),
        }
    }

    /// Everything that is sent between `begin` and `begin` + [`PACE`] because of stories that begin in that span, and some of it later.
    pub(super) fn next(&mut self, begin: WallTime) -> Vec<Event> {
        let number = self.next_story;
        self.next_story += 1;
        let plot = PLOTS[usize::try_from(number).unwrap_or(0) % PLOTS.len()];
        let mut events = self.noise(begin);
        // A policy that nobody trips has a number of its own.
        let policy = match plot {
            Plot::Unmatched => Policy::of(self.seed, POLICIES + usize::try_from(number).unwrap_or(0)),
            _ => Policy::of(self.seed, usize::try_from(number).unwrap_or(0) % POLICIES),
        };
        let user = User::of(self.seed, usize::try_from(number * 7).unwrap_or(0) % PEOPLE);
        let at = |millis: i64| WallTime(begin.0 + millis);
        let mut deed = |teller: &mut Self, happens: i64, arrives: i64, kind| {
            let value = teller.activity(at(happens), at(arrives), kind, &user, Some(&policy));
            events.push(Event {
                at: at(arrives),
                table: Table::Activities,
                value,
            });
        };
        if !matches!(plot, Plot::Unmatched) {
            deed(self, 150, 160, Kind::FileAccessed);
            deed(self, 600, 620, Kind::FileDownloaded);
            deed(self, 1_300, 1_320, Kind::AnonymousLinkCreated);
        }
        match plot {
            Plot::Plain | Plot::Unmatched => {}
            Plot::LateActivity => deed(self, 950, 6_000, Kind::Send),
            Plot::Update => {
                deed(self, 2_300, 2_310, Kind::FileUploaded);
                deed(self, 2_900, 2_920, Kind::AlertTriggered);
            }
        }
        let id = self.guid();
        let provider_id = self.guid();
        let mut version = |end: i64, arrives: i64, status| {
            let spec = AlertSpec {
                seed: self.seed.wrapping_add(number),
                id,
                provider_id,
                policy: &policy,
                user: &user,
                tenant: &self.tenant,
                start: at(0).to_event(),
                end: at(end).to_event(),
                time_generated: at(arrives).to_event(),
                status,
            };
            let mut value = Vec::new();
            alert(&mut value, &spec, &delivery(Form::LogAnalytics, at(arrives), number));
            events.push(Event {
                at: at(arrives),
                table: Table::Alerts,
                value,
            });
        };
        version(1_600, 1_800, Status::New);
        if matches!(plot, Plot::Update) {
            version(3_200, 6_200, Status::InProgress);
        }
        events
    }

    /// Ordinary activities without a correlation id: most of what a tenant does.
    fn noise(&mut self, begin: WallTime) -> Vec<Event> {
        const KINDS: [Kind; 6] = [
            Kind::UserLoggedIn,
            Kind::MailItemsAccessed,
            Kind::MessageSent,
            Kind::FileAccessed,
            Kind::MessageReadReceiptReceived,
            Kind::FileUploaded,
        ];
        let times = (0..PACE / NOISE).map(|step| WallTime(begin.0 + step * NOISE));
        let mut events = Vec::new();
        for (at, kind) in times.zip(KINDS.into_iter().cycle()) {
            let user = User::of(self.seed, usize::try_from(self.next_seed % PEOPLE as u64).unwrap_or(0));
            let value = self.activity(at, at, kind, &user, None);
            events.push(Event {
                at,
                table: Table::Activities,
                value,
            });
        }
        events
    }

    fn activity(&mut self, happens: WallTime, arrives: WallTime, kind: Kind, user: &User, policy: Option<&Policy>) -> Vec<u8> {
        self.next_seed += 1;
        let spec = ActivitySpec {
            seed: self.next_seed,
            time: happens.to_event(),
            time_form: TimeForm::FULL,
            kind,
            policy,
            alert: None,
            user,
            tenant: &self.tenant,
            size: 2_000,
        };
        let mut value = Vec::new();
        activity(&mut value, &spec, &delivery(Form::Streaming, arrives, self.next_seed));
        value
    }

    fn guid(&mut self) -> Guid {
        self.next_seed += 1;
        // Any number will do that is not met twice; the multiplication spreads it over all digits.
        Guid(u128::from(self.next_seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }
}

fn delivery(form: Form, received: WallTime, number: u64) -> Delivery {
    Delivery {
        form,
        received: EventTime::from_ticks(received.to_event().ticks()),
        number,
    }
}
