use std::cell::RefCell;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use uuid::Uuid as Guid;

/// The purpose of a stream of random numbers. The values determine what a seed means, so they never change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Tenant = 1,
    Policy = 2,
    User = 3,
    Activity = 4,
    Content = 5,
    Alert = 6,
    AlertDelivery = 7,
    ActivityMessage = 8,
    AlertMessage = 9,
    Item = 10,
    Rule = 11,
    File = 12,
    Favorite = 13,
    Address = 14,
    Deed = 15,
    Incident = 16,
}

/// Random numbers that are the same on every machine and with every version of the `rand` crates: ChaCha8 is a fixed
/// function of seed, purpose and index, and everything is drawn from it with the integer arithmetic in this file. It
/// can be shared, because templates draw from it while they are rendered.
pub(super) struct Random(RefCell<ChaCha8Rng>);

impl Random {
    /// Creates stream `index` of `purpose` for `seed`. Streams are independent, so that any record can be generated
    /// without those before it.
    pub(super) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(index);
        Self(RefCell::new(random))
    }

    /// Returns 64 random bits.
    pub(super) fn bits(&self) -> u64 {
        self.0.borrow_mut().next_u64()
    }

    /// Returns 64 random bits as hexadecimal digits.
    pub(super) fn hex(&self) -> String {
        format!("{:016x}", self.bits())
    }

    /// Returns a number below `n`, or 0 if `n` is 0. The bias of the multiplication is below 2^-32 for every `n` used
    /// here.
    pub(super) fn below(&self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Returns a list index below `n`, or 0 if `n` is 0.
    pub(super) fn place(&self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Returns a number from `low` to `high`, both included.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Returns true once in `n` times.
    pub(super) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns true in this share of draws: never if it is below 0 or NaN, always if it is 1 or more. Scaling a float
    /// by a power of two is exact, so every platform draws the same.
    pub(super) fn chance(&self, share: f64) -> bool {
        ((self.bits() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// Returns one of `items`, which must not be empty.
    pub(super) fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        &items[self.place(items.len())]
    }

    /// Returns one of `items`, which are drawn in proportion to their weights.
    pub(super) fn weighted<T: Copy>(&self, items: &[(u64, T)]) -> T {
        let mut draw = self.below(items.iter().map(|(weight, _)| weight).sum());
        let fits = |&&(weight, _): &&(u64, T)| {
            let is_it = draw < weight;
            draw = draw.wrapping_sub(weight);
            is_it
        };
        items.iter().find(fits).unwrap_or(&items[0]).1
    }

    /// Returns a GUID of version 4.
    pub(super) fn guid(&self) -> Guid {
        let bits = u128::from(self.bits()) << 64 | u128::from(self.bits());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// Ranks by Zipf's law: rank `k` (from 0) is drawn in proportion to `1 / (k + 1)^skew`. The weights are integers, and
/// the power is computed in software: the results of `powf`, and so of a distribution over floats, depend on the
/// platform.
#[derive(Debug)]
pub(super) struct Zipf {
    cumulative: Vec<u64>,
}

impl Zipf {
    /// Creates the distribution over `ranks` ranks.
    pub(super) fn new(ranks: usize, skew: f64) -> Self {
        let mut sum = 0;
        let weight = |rank: usize| ((1_u64 << 40) as f64 / libm::pow(rank as f64, skew)) as u64;
        let cumulative = (1..=ranks).map(|rank| {
            sum += weight(rank).max(1);
            sum
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    /// Returns a rank, from 0.
    pub(super) fn draw(&self, random: &Random) -> usize {
        let at = random.below(self.cumulative.last().copied().unwrap_or(0));
        self.cumulative.partition_point(|&upto| upto <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_prefers_the_first_ranks() {
        let zipf = Zipf::new(40, 1.1);
        let random = Random::new(1, Purpose::Activity, 0);
        let mut counts = [0_u32; 40];
        for _ in 0..100_000 {
            counts[zipf.draw(&random)] += 1;
        }
        assert!((24_000..30_000).contains(&counts[0]), "{counts:?}");
        assert!(counts[39] > 200 && counts[39] < counts[3], "{counts:?}");
    }

    #[test]
    fn shares_are_met() {
        let random = Random::new(2, Purpose::Activity, 0);
        let hits = (0..100_000).filter(|_| random.chance(0.03)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!random.chance(0.0) && random.chance(1.0) && !random.chance(f64::NAN));
    }
}
