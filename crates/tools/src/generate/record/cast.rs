//! The subjects of the synthetic traffic: one tenant, its people and its alert policies.

use std::sync::LazyLock;

use serde::Deserialize;
use uuid::Uuid as Guid;

use crate::generate::random::{Purpose, Random};
use crate::time::EventTime;

/// The words of the traffic, as they are in `cast.json`.
#[derive(Deserialize, Default)]
pub(super) struct Cast {
    given: Vec<String>,
    family: Vec<String>,
    departments: Vec<String>,
    /// Teams that have a SharePoint site.
    pub(super) sites: Vec<String>,
    pub(super) folders: Vec<String>,
    places: Vec<Place>,
    agents: Vec<Agent>,
    /// Files that no policy watches.
    pub(super) everyday: Vec<Everyday>,
    themes: Vec<Theme>,
    /// The theme of records about a policy of another product.
    unlisted: Theme,
}

#[derive(Deserialize, Default, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) city: String,
    pub(super) country: String,
    pub(super) provider: String,
}

#[derive(Deserialize, Default, PartialEq, Eq, Debug)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) device: String,
    pub(super) platform: String,
}

#[derive(Deserialize, Default)]
pub(super) struct Everyday {
    pub(super) file: String,
    pub(super) extension: String,
}

/// A test reads the file, so the default is never used.
pub(super) static CAST: LazyLock<Cast> = LazyLock::new(|| serde_json::from_str(include_str!("cast.json")).unwrap_or_default());

/// A tenant. It is invented: its domain is reserved for examples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// The Entra tenant id: `tenantId` of the streaming envelope, `OrganizationId` of a raw event.
    pub entra: Guid,
    /// The Log Analytics workspace id: `TenantId` of an exported row.
    pub workspace: Guid,
    /// The Azure subscription of the workspace.
    pub subscription: Guid,
}

impl Tenant {
    /// The domain of its people.
    pub const DOMAIN: &'static str = "contoso.example";

    /// Returns the tenant of a seed.
    pub fn new(seed: u64) -> Self {
        let random = Random::new(seed, Purpose::Tenant, 0);
        Self {
            entra: random.guid(),
            workspace: random.guid(),
            subscription: random.guid(),
        }
    }

    pub(super) fn workspace_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourcegroups/monitoring/providers/microsoft.operationalinsights/workspaces/contoso-security",
            self.subscription
        )
    }
}

/// The account of a person who works in the tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Entra object id.
    pub id: Guid,
    /// Given and family name.
    pub name: String,
    /// User principal name, in the tenant's domain.
    pub upn: String,
    is_guest: bool,
    number: u64,
    seed: u64,
    /// People rarely travel, and they keep their machines.
    home: &'static Place,
    agent: &'static Agent,
}

/// The client that a person uses on one day.
pub(super) struct Client {
    pub(super) address: String,
    pub(super) place: &'static Place,
    pub(super) agent: &'static Agent,
}

/// One in this many accounts belongs to a guest.
const GUESTS: u64 = 9;

impl Account {
    /// Returns account `number` of a seed's tenant. Some accounts belong to guests.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut account = Self::member(seed, number);
        if is_guest(number) {
            let name = account.name_and_suffix().0;
            account.upn = format!("{name}_fabrikam.example#ext#@{}", Tenant::DOMAIN);
            account.is_guest = true;
        }
        account
    }

    /// Returns account `number` of a seed's tenant, whose person is no guest. Names repeat after 576 people, principal
    /// names never.
    pub fn member(seed: u64, number: u64) -> Self {
        let (turn, row) = (number as usize % 24, (number / 24 + number) as usize % 24);
        let (given, family) = (&CAST.given[turn], &CAST.family[row]);
        let again = number / 576;
        let plain = |name: &str| -> String { name.to_lowercase().chars().map(unaccented).collect() };
        let suffix = if again == 0 { String::new() } else { again.to_string() };
        let habits = Random::new(seed, Purpose::Address, number << 24);
        Self {
            id: Random::new(seed, Purpose::User, number).guid(),
            name: format!("{given} {family}"),
            upn: format!("{}.{}{suffix}@{}", plain(given), plain(family), Tenant::DOMAIN),
            is_guest: false,
            number,
            seed,
            home: habits.pick(&CAST.places),
            agent: habits.pick(&CAST.agents),
        }
    }

    /// Returns the Entra object id, or `None` for guests, because records about guests do not contain one.
    pub fn object_id(&self) -> Option<Guid> {
        (!self.is_guest).then_some(self.id)
    }

    /// Returns the parts of the user principal name before and after the `@`.
    pub fn name_and_suffix(&self) -> (&str, &str) {
        self.upn.split_once('@').unwrap_or((&self.upn, Tenant::DOMAIN))
    }

    /// Returns the client that the person uses on the day of `time`.
    pub(super) fn client(&self, time: EventTime) -> Client {
        let day = time.day().rem_euclid(1 << 24) as u64;
        let random = Random::new(self.seed, Purpose::Address, self.number << 24 | day);
        // These networks are reserved for documentation.
        let address = match random.below(6) {
            0 => format!("2001:db8:{:x}::{:x}", random.below(65_536), random.between(1, 65_535)),
            1..=2 => format!("198.51.100.{}", random.between(1, 254)),
            3 => format!("192.0.2.{}", random.between(1, 254)),
            _ => format!("203.0.113.{}", random.between(1, 254)),
        };
        Client {
            address,
            place: if random.one_in(20) {
                random.pick(&CAST.places)
            } else {
                self.home
            },
            agent: self.agent,
        }
    }
}

/// Returns whether account `number` belongs to a guest.
pub(in crate::generate) fn is_guest(number: u64) -> bool {
    number % GUESTS == GUESTS - 1
}

fn unaccented(character: char) -> char {
    match character {
        'é' | 'ë' => 'e',
        'ö' | 'ø' => 'o',
        'ü' => 'u',
        'ł' => 'l',
        'ñ' => 'n',
        other => other,
    }
}

/// An alert policy. Its id is the key that activities (`Data.cid`) and alerts (`AlertType`) have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The policy's id.
    pub id: Guid,
    /// Its name, which is also the name of its alerts.
    pub name: String,
    /// The theme that it watches.
    pub theme: &'static Theme,
}

impl Policy {
    /// Number of themes of policies.
    pub(in crate::generate) const THEMES: usize = 16;

    /// Returns policy `number` of a seed's tenant. Each of the first sixteen has its own theme. Later ones repeat the
    /// themes, each for one department.
    pub fn new(seed: u64, number: usize) -> Self {
        let theme = &CAST.themes[number % Self::THEMES];
        let turn = number / Self::THEMES;
        let name = match turn.checked_sub(1).map(|before| CAST.departments.get(before)) {
            None => theme.name.clone(),
            Some(Some(department)) => format!("{} ({department})", theme.name),
            Some(None) => format!("{} (unit {turn})", theme.name),
        };
        Self {
            id: Random::new(seed, Purpose::Policy, number as u64).guid(),
            name,
            theme,
        }
    }

    /// Returns a policy of another product, which raises no alerts.
    pub(super) fn unlisted(id: Guid) -> Self {
        let theme = &CAST.unlisted;
        Self {
            id,
            name: theme.name.clone(),
            theme,
        }
    }
}

/// A theme that an alert policy watches, and the words for it.
#[derive(Deserialize, Default, PartialEq, Eq, Debug)]
pub struct Theme {
    /// The policy's name.
    pub name: String,
    /// A description in one sentence.
    pub description: String,
    /// `Informational`, `Low`, `Medium` or `High`.
    pub severity: String,
    /// The alert's category, for example `DataLossPrevention`.
    pub category: String,
    /// The workload in which it happens, for example `Exchange`.
    pub workload: String,
    /// The operation that it watches.
    pub operation: String,
    /// The sensitive information type, or whatever is found instead.
    pub finding: String,
    /// The beginning of the names of its files.
    pub file: String,
    /// The extension of its files.
    pub extension: String,
    /// The attack tactic that it may indicate.
    pub tactic: String,
}

impl Theme {
    /// Returns whether the policy is one of data loss prevention.
    pub fn is_dlp(&self) -> bool {
        self.category == "DataLossPrevention"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_file_of_words_can_be_read() {
        let cast: Cast = serde_json::from_str(include_str!("cast.json")).unwrap();
        assert_eq!(
            (cast.given.len(), cast.family.len(), cast.themes.len()),
            (24, 24, Policy::THEMES)
        );
    }

    #[test]
    fn people_have_names_of_their_own() {
        let upns: BTreeSet<String> = (0..2_000).map(|number| Account::new(1, number).upn).collect();
        assert_eq!(upns.len(), 2_000);
        assert!(upns.iter().all(|upn| upn.ends_with("@contoso.example")));
    }

    #[test]
    fn policies_have_names_and_ids_of_their_own() {
        let policies: Vec<Policy> = (0..400).map(|number| Policy::new(1, number)).collect();
        assert_eq!(policies.iter().map(|policy| &policy.name).collect::<BTreeSet<_>>().len(), 400);
        assert_eq!(policies.iter().map(|policy| policy.id).collect::<BTreeSet<_>>().len(), 400);
        assert_ne!(Policy::new(1, 0).id, Policy::new(2, 0).id);
    }

    #[test]
    fn guests_have_a_name_and_no_object_id() {
        let (member, guest) = (Account::new(1, 0), Account::new(1, 8));
        assert_eq!(member.object_id(), Some(member.id));
        assert_eq!(guest.object_id(), None);
        let (name, suffix) = guest.name_and_suffix();
        assert!(name.ends_with("_fabrikam.example#ext#"), "{name}");
        assert_eq!(suffix, "contoso.example");
    }

    #[test]
    fn an_address_is_kept_for_a_day() {
        let account = Account::new(1, 3);
        let at = |day, ticks| account.client(EventTime::from_date(2026, 3, day, ticks).unwrap()).address;
        assert_eq!(at(2, 0), at(2, 800_000_000_000));
        assert_ne!(at(2, 0), at(3, 0));
    }
}
