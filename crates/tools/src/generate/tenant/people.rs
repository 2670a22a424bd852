use crate::generate::random::{Guid, Purpose, Random};
use crate::generate::record::{AGENTS, PLACES, Tenant, User};
use crate::time::EventTime;

/// The account of a person who works in the tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The person who has the account.
    pub user: User,
    kind: AccountKind,
    number: u64,
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AccountKind {
    Member,
    Guest,
}

/// The client that a person uses on one day.
pub(super) struct Client {
    pub(super) address: String,
    pub(super) place: (&'static str, &'static str, &'static str),
    pub(super) agent: (&'static str, &'static str, &'static str),
}

/// One in this many accounts belongs to a guest.
const GUESTS: u64 = 9;

impl Account {
    /// Returns account `number` of a seed's tenant.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut user = User::of(seed, number as usize);
        let kind = if is_guest(number) {
            AccountKind::Guest
        } else {
            AccountKind::Member
        };
        if kind == AccountKind::Guest {
            let name = user.upn.split('@').next().unwrap_or_default();
            user.upn = format!("{name}_fabrikam.example#ext#@{}", Tenant::DOMAIN);
        }
        Self {
            user,
            kind,
            number,
            seed,
        }
    }

    /// Returns the Entra object id, or `None` for guests, because records about guests do not contain one.
    pub fn object_id(&self) -> Option<Guid> {
        (self.kind == AccountKind::Member).then_some(self.user.id)
    }

    /// Returns the parts of the user principal name before and after the `@`.
    pub fn name_and_suffix(&self) -> (&str, &str) {
        self.user.upn.split_once('@').unwrap_or((&self.user.upn, Tenant::DOMAIN))
    }

    /// Returns the client that the person uses on the day of `time`.
    pub(super) fn client(&self, time: EventTime) -> Client {
        let day = time.day().rem_euclid(1 << 24) as u64;
        let mut random = Random::new(self.seed, Purpose::Address, self.number << 24 | day);
        // These networks are reserved for documentation.
        let address = match random.below(6) {
            0 => format!("2001:db8:{:x}::{:x}", random.below(65_536), random.between(1, 65_535)),
            1..=2 => format!("198.51.100.{}", random.between(1, 254)),
            3 => format!("192.0.2.{}", random.between(1, 254)),
            _ => format!("203.0.113.{}", random.between(1, 254)),
        };
        // People rarely travel, and they keep their machines.
        let mut habits = Random::new(self.seed, Purpose::Address, self.number << 24);
        let home = habits.pick(&PLACES);
        let place = if random.one_in(20) { random.pick(&PLACES) } else { home };
        let agent = habits.pick(&AGENTS);
        Client { address, place, agent }
    }
}

/// Returns whether account `number` belongs to a guest.
pub(super) fn is_guest(number: u64) -> bool {
    number % GUESTS == GUESTS - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_have_a_name_and_no_object_id() {
        let (member, guest) = (Account::of(1, 0), Account::of(1, 8));
        assert_eq!(member.object_id(), Some(member.user.id));
        assert_eq!(guest.object_id(), None);
        let (name, suffix) = guest.name_and_suffix();
        assert!(name.ends_with("_fabrikam.example#ext#"), "{name}");
        assert_eq!(suffix, "contoso.example");
    }

    #[test]
    fn an_address_is_kept_for_a_day() {
        let account = Account::of(1, 3);
        let at = |day, ticks| account.client(EventTime::from_date(2026, 3, day, ticks).unwrap()).address;
        assert_eq!(at(2, 0), at(2, 800_000_000_000));
        assert_ne!(at(2, 0), at(3, 0));
    }
}
