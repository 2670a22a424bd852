//! What happens in the demo: a tenant's people at work, and short stories of an alert about one of them, one after
//! another, for ever.

use crate::generate::record::{Delivery, Form, Policy, Status, Tenant};
use crate::generate::tenant::{About, Account, Act, Deed, File, Incident, Presence, activity, alert};
use crate::generate::{Guid, TimeForm};
use crate::time::WallTime;

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
    /// The windows close over what has come.
    Plain,
    /// One activity arrives when the alert has been answered already.
    LateActivity,
    /// A newer version of the alert covers more time and names a second person.
    Update,
    /// Nobody did anything that has to do with the alert.
    Unmatched,
}

const PLOTS: [Plot; 5] = [Plot::Plain, Plot::LateActivity, Plot::Update, Plot::Unmatched, Plot::Plain];
/// From the beginning of one story to that of the next, in milliseconds.
pub(super) const PACE: i64 = 3_000;
/// Between two activities that have nothing to do with any alert, in milliseconds.
const NOISE: i64 = 40;
/// The policies that raise alerts in the demo, by their numbers. They watch what is done to files.
const POLICIES: [usize; 5] = [0, 3, 5, 11, 12];
/// Files that each policy watches.
const FILES: u64 = 4;
/// People whom alerts are about. As many others just work.
const PEOPLE: u64 = 40;
/// From here on accounts, policies and files belong to nobody's work.
const NOBODY: u64 = 1_000;

/// Tells the stories.
pub(super) struct Teller {
    seed: u64,
    tenant: Tenant,
    next_story: u64,
    next_seed: u64,
}

/// Who and what a story is about.
struct Cast {
    policy: Policy,
    account: Account,
    second: Account,
    colleague: Account,
    file: File,
}

/// Who did what to which file, and when the record of it arrives.
struct Done<'a> {
    happens: WallTime,
    arrives: WallTime,
    act: Act,
    account: &'a Account,
    file: Option<&'a File>,
    policy: Option<&'a Policy>,
    about: Option<About>,
}

/// When the alert of a story begins and ends, in milliseconds from the story's beginning.
const START: i64 = 500;
const END: i64 = 1_600;

impl Teller {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            tenant: Tenant::of(seed),
            next_story: 0,
            next_seed: seed.wrapping_mul(1 << 32),
        }
    }

    /// Everything that is sent between `begin` and `begin` + [`PACE`] because of stories that begin in that span, and
    /// some of it later.
    pub(super) fn next(&mut self, begin: WallTime) -> Vec<Event> {
        let number = self.next_story;
        self.next_story += 1;
        let plot = PLOTS[number as usize % PLOTS.len()];
        let mut events = self.noise(begin);
        let cast = self.cast(number, plot);
        let provider_id = self.guid();
        if !matches!(plot, Plot::Unmatched) {
            events.extend(self.deeds(&cast, plot, begin, provider_id));
        }
        events.extend(self.versions(&cast, plot, begin, provider_id));
        events
    }

    fn cast(&self, number: u64, plot: Plot) -> Cast {
        let (person, policy, file) = match plot {
            // Numbers of their own, so that nothing was done by or to them.
            Plot::Unmatched => (NOBODY + number, NOBODY + number, NOBODY + number),
            _ => {
                let policy = number as usize % POLICIES.len();
                let file = policy as u64 * FILES + number % FILES;
                (number * 7 % PEOPLE, POLICIES[policy] as u64, file)
            }
        };
        let policy = Policy::of(self.seed, policy as usize);
        let account = Account::of(self.seed, person);
        Cast {
            file: File::of(self.seed, file, Some(&policy), &account),
            second: Account::of(self.seed, (number * 7 + 4) % PEOPLE),
            colleague: Account::of(self.seed, PEOPLE + number % PEOPLE),
            account,
            policy,
        }
    }

    /// What trips the policy, and what else its people and others do to the file.
    fn deeds(&mut self, cast: &Cast, plot: Plot, begin: WallTime, provider_id: Guid) -> Vec<Event> {
        let at = |millis: i64| WallTime(begin.0 + millis);
        let about = About {
            id: provider_id,
            start: at(START).to_event(),
            end: at(END).to_event(),
            cid: Presence::Present,
        };
        let deed = |happens: i64, act: Act, account| Done {
            happens: at(happens),
            arrives: at(happens + 20),
            act,
            account,
            file: Some(&cast.file).filter(|_| act.is_on_file() || act == Act::DlpRuleMatch),
            policy: matches!(act, Act::DlpRuleMatch | Act::AlertTriggered).then_some(&cast.policy),
            about: (act == Act::AlertTriggered).then_some(about),
        };
        let mut deeds = vec![
            deed(150, Act::UserLoggedIn, &cast.account),
            deed(600, Act::FileAccessed, &cast.account),
            deed(1_300, Act::watched(cast.policy.theme.operation), &cast.account),
            deed(1_350, Act::DlpRuleMatch, &cast.account),
            deed(1_450, Act::FileModified, &cast.colleague),
            deed(1_500, Act::AlertTriggered, &cast.account),
        ];
        match plot {
            Plot::Plain | Plot::Unmatched => {}
            Plot::LateActivity => deeds.push(Done {
                arrives: at(8_000),
                ..deed(950, Act::Send, &cast.account)
            }),
            Plot::Update => {
                deeds.push(deed(2_300, Act::FileDownloaded, &cast.second));
                deeds.push(deed(2_900, Act::Send, &cast.second));
            }
        }
        let event = |done: &Done<'_>| Event {
            at: done.arrives,
            table: Table::Activities,
            value: self.activity(done),
        };
        deeds.iter().map(event).collect()
    }

    /// The versions of the alert.
    fn versions(&mut self, cast: &Cast, plot: Plot, begin: WallTime, provider_id: Guid) -> Vec<Event> {
        let (id, seed) = (self.guid(), self.next_seed);
        let at = |millis: i64| WallTime(begin.0 + millis);
        let both = [cast.account.clone(), cast.second.clone()];
        let version = |end: i64, arrives: i64, accounts: &[Account], status| {
            let incident = Incident {
                seed,
                id,
                provider_id,
                policy: &cast.policy,
                accounts,
                object_ids: Presence::Present,
                files: std::slice::from_ref(&cast.file),
                tenant: &self.tenant,
                start: at(START).to_event(),
                end: at(end).to_event(),
                time_generated: at(arrives).to_event(),
                status,
            };
            let mut value = Vec::new();
            alert(&mut value, &incident, &delivery(Form::LogAnalytics, at(arrives), seed));
            Event {
                at: at(arrives),
                table: Table::Alerts,
                value,
            }
        };
        let mut versions = vec![version(END, 1_800, &both[..1], Status::New)];
        if matches!(plot, Plot::Update) {
            versions.push(version(3_200, 8_200, &both, Status::InProgress));
        }
        versions
    }

    /// Ordinary activities of people whom no alert is about: most of what a tenant does.
    fn noise(&mut self, begin: WallTime) -> Vec<Event> {
        const ACTS: [Act; 8] = [
            Act::FileAccessed,
            Act::MailItemsAccessed,
            Act::FileModified,
            Act::MessageSent,
            Act::UserLoggedIn,
            Act::FileDownloaded,
            Act::MailItemsAccessed,
            Act::SharingSet,
        ];
        let times = (0..PACE / NOISE).map(|step| WallTime(begin.0 + step * NOISE));
        let mut events = Vec::new();
        for (at, act) in times.zip(ACTS.into_iter().cycle()) {
            // Some do much more than others.
            let draw = self.next_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let account = Account::of(self.seed, PEOPLE + (draw % PEOPLE) * (draw >> 8 & 0xff) / 256);
            let file = act
                .is_on_file()
                .then(|| File::of(self.seed, NOBODY * NOBODY + draw % 300, None, &account));
            let value = self.activity(&Done {
                happens: at,
                arrives: at,
                act,
                account: &account,
                file: file.as_ref(),
                policy: None,
                about: None,
            });
            events.push(Event {
                at,
                table: Table::Activities,
                value,
            });
        }
        events
    }

    fn activity(&mut self, done: &Done<'_>) -> Vec<u8> {
        self.next_seed += 1;
        let deed = Deed {
            seed: self.next_seed,
            time: done.happens.to_event(),
            time_form: TimeForm::FULL,
            act: done.act,
            account: done.account,
            object_id: Presence::Present,
            file: done.file,
            policy: done.policy,
            alert: done.about,
            tenant: &self.tenant,
        };
        let mut value = Vec::new();
        activity(&mut value, &deed, &delivery(Form::Streaming, done.arrives, self.next_seed));
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
        received: received.to_event(),
        number,
    }
}
