//! The traffic of the demo: people at work in a tenant, and an endless sequence of short stories about an alert for one
//! of them.

use crate::generate::Guid;
use crate::generate::record::{
    About, Account, Act, Deed, Delivery, File, Form, Incident, Policy, Presence, Status, Tenant, activity, alert,
};
use crate::time::WallTime;

/// A message that is sent at a certain time.
pub(super) struct PlannedMessage {
    /// The wall-clock time at which it is sent.
    pub(super) at: WallTime,
    /// The table to whose topic it is sent.
    pub(super) table: DemoTopic,
    /// The message.
    pub(super) value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoTopic {
    Activities,
    Alerts,
}

/// The plot of a story.
#[derive(Clone, Copy)]
enum Plot {
    /// The windows close after all activities have arrived.
    Plain,
    /// One activity arrives after the alert has closed.
    LateActivity,
    /// A newer version of the alert covers more time and names a second person.
    Update,
    /// No activity belongs to the alert.
    Unmatched,
}

const PLOTS: [Plot; 5] = [Plot::Plain, Plot::LateActivity, Plot::Update, Plot::Unmatched, Plot::Plain];
/// Milliseconds from the beginning of one story to that of the next.
pub(super) const STORY_INTERVAL: i64 = 3_000;
/// Milliseconds between two activities that belong to no alert.
const NOISE: i64 = 40;
/// The numbers of the policies that raise alerts in the demo. They watch acts on files.
const POLICIES: [usize; 5] = [0, 3, 5, 11, 12];
/// Number of files that each policy watches.
const FILES: u64 = 4;
/// Number of people who have alerts. The same number of others only work.
const PEOPLE: u64 = 40;
/// Accounts, policies and files from this number on occur in no activity of a story.
const NOBODY: u64 = 1_000;

/// Creates the messages of the stories.
pub(super) struct StoryPlanner {
    seed: u64,
    tenant: Tenant,
    next_story: u64,
    next_seed: u64,
}

/// The people, the policy and the file of a story.
struct Cast {
    policy: Policy,
    account: Account,
    second: Account,
    colleague: Account,
    file: File,
}

/// The start of a story's alert, in milliseconds from the beginning of the story.
const START: i64 = 500;
const END: i64 = 1_600;

impl StoryPlanner {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            tenant: Tenant::new(seed),
            next_story: 0,
            next_seed: seed.wrapping_mul(1 << 32),
        }
    }

    /// Returns the messages of the next story, which begins at `begin`, and of ordinary activities until `begin` +
    /// [`STORY_INTERVAL`]. Some messages of the story are due later.
    pub(super) fn next(&mut self, begin: WallTime) -> Vec<PlannedMessage> {
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
            // These numbers occur in no activity.
            Plot::Unmatched => (NOBODY + number, NOBODY + number, NOBODY + number),
            _ => {
                let policy = number as usize % POLICIES.len();
                let file = policy as u64 * FILES + number % FILES;
                (number * 7 % PEOPLE, POLICIES[policy] as u64, file)
            }
        };
        let policy = Policy::new(self.seed, policy as usize);
        let account = Account::new(self.seed, person);
        Cast {
            file: File::new(self.seed, file, Some(&policy), &account),
            second: Account::new(self.seed, (number * 7 + 4) % PEOPLE),
            colleague: Account::new(self.seed, PEOPLE + number % PEOPLE),
            account,
            policy,
        }
    }

    /// Returns the activities that trigger the policy, and other activities of its people and on its file.
    fn deeds(&mut self, cast: &Cast, plot: Plot, begin: WallTime, provider_id: Guid) -> Vec<PlannedMessage> {
        let at = |millis: i64| WallTime(begin.0 + millis);
        let about = About {
            id: provider_id,
            start: at(START).to_event(),
            end: at(END).to_event(),
        };
        let tenant = self.tenant.clone();
        let deed = |happens: i64, act: Act, account| {
            let is_alert = act == Act::AlertTriggered;
            let deed = Deed {
                file: Some(&cast.file).filter(|_| act.is_on_file() || act == Act::DlpRuleMatch),
                policy: (is_alert || act == Act::DlpRuleMatch).then_some(&cast.policy),
                cid: if is_alert { Presence::Present } else { Presence::Absent },
                alert: is_alert.then_some(about),
                ..Deed::new(0, at(happens).to_event(), act, account, &tenant)
            };
            (at(happens + 20), deed)
        };
        let mut deeds = vec![
            deed(150, Act::UserLoggedIn, &cast.account),
            deed(600, Act::FileAccessed, &cast.account),
            deed(1_300, Act::watched(&cast.policy.theme.operation), &cast.account),
            deed(1_350, Act::DlpRuleMatch, &cast.account),
            deed(1_450, Act::FileModified, &cast.colleague),
            deed(1_500, Act::AlertTriggered, &cast.account),
        ];
        match plot {
            Plot::Plain | Plot::Unmatched => {}
            Plot::LateActivity => deeds.push((at(8_000), deed(950, Act::Send, &cast.account).1)),
            Plot::Update => {
                deeds.push(deed(2_300, Act::FileDownloaded, &cast.second));
                deeds.push(deed(2_900, Act::Send, &cast.second));
            }
        }
        deeds
            .into_iter()
            .map(|(arrives, deed)| self.activity(arrives, deed))
            .collect()
    }

    /// Returns the versions of the alert.
    fn versions(&mut self, cast: &Cast, plot: Plot, begin: WallTime, provider_id: Guid) -> Vec<PlannedMessage> {
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
            PlannedMessage {
                at: at(arrives),
                table: DemoTopic::Alerts,
                value,
            }
        };
        let mut versions = vec![version(END, 1_800, &both[..1], Status::New)];
        if matches!(plot, Plot::Update) {
            versions.push(version(3_200, 8_200, &both, Status::InProgress));
        }
        versions
    }

    /// Returns ordinary activities of people without alerts, which are most of a tenant's activities.
    fn noise(&mut self, begin: WallTime) -> Vec<PlannedMessage> {
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
        let times = (0..STORY_INTERVAL / NOISE).map(|step| WallTime(begin.0 + step * NOISE));
        let tenant = self.tenant.clone();
        let mut events = Vec::new();
        for (at, act) in times.zip(ACTS.into_iter().cycle()) {
            // Some people have many more activities than others.
            let draw = self.next_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let account = Account::new(self.seed, PEOPLE + (draw % PEOPLE) * (draw >> 8 & 0xff) / 256);
            let file = act
                .is_on_file()
                .then(|| File::new(self.seed, NOBODY * NOBODY + draw % 300, None, &account));
            let deed = Deed {
                file: file.as_ref(),
                ..Deed::new(0, at.to_event(), act, &account, &tenant)
            };
            events.push(self.activity(at, deed));
        }
        events
    }

    /// Returns an activity whose record arrives at this time, with a seed of its own.
    fn activity(&mut self, at: WallTime, deed: Deed<'_>) -> PlannedMessage {
        self.next_seed += 1;
        let seed = self.next_seed;
        let deed = Deed { seed, ..deed };
        let mut value = Vec::new();
        activity(&mut value, &deed, &delivery(Form::Streaming, at, seed));
        PlannedMessage {
            at,
            table: DemoTopic::Activities,
            value,
        }
    }

    fn guid(&mut self) -> Guid {
        self.next_seed += 1;
        // Any number that does not occur twice is suitable. The multiplication spreads it over all digits.
        Guid::from_u128(u128::from(self.next_seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }
}

fn delivery(form: Form, received: WallTime, number: u64) -> Delivery {
    Delivery {
        form,
        received: received.to_event(),
        number,
    }
}
