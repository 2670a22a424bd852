use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

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
    IncidentDelivery = 17,
    DeedMessage = 18,
    IncidentMessage = 19,
}

/// Random numbers that are the same on every machine and with every version of the `rand` crates: ChaCha8 is a fixed
/// function of seed, purpose and index, and everything is drawn from it with the integer arithmetic in this file.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// Creates stream `index` of `purpose` for `seed`. Streams are independent, so that any record can be generated
    /// without those before it.
    pub(super) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(index);
        Self(random)
    }

    /// Returns 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `n`, or 0 if `n` is 0. The bias of the multiplication is below 2^-32 for every `n` used
    /// here.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Returns a list index below `n`, or 0 if `n` is 0.
    pub(super) fn place(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Returns a number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Returns true once in `n` times.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns true in this share of draws.
    pub(super) fn chance(&mut self, share: Share) -> bool {
        self.bits() >> 11 < share.0
    }

    /// Returns one of `items`, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.place(items.len())]
    }

    /// Returns a GUID of version 4.
    pub(super) fn guid(&mut self) -> Guid {
        let bits = u128::from(self.bits()) << 64 | u128::from(self.bits());
        Guid(bits & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62)
    }
}

/// A probability in units of 2^-53. Scaling a float by a power of two is exact, so every platform rounds it the same
/// way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share(u64);

impl Share {
    /// Converts a number. Values below 0 and NaN become 0, values above 1 become 1.
    pub(super) fn of(share: f64) -> Self {
        let one = (1_u64 << 53) as f64;
        Self((share.clamp(0.0, 1.0) * one) as u64)
    }
}

/// A GUID, printed in lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Guid(pub u128);

impl Guid {
    /// Returns the 36 characters of the GUID.
    pub fn ascii(self) -> [u8; 36] {
        let mut out = [b'-'; 36];
        let mut digits = (0..32_u32).rev().map(|place| (self.0 >> (4 * place)) as usize & 0xf);
        for (place, byte) in out.iter_mut().enumerate() {
            if !matches!(place, 8 | 13 | 18 | 23) {
                *byte = b"0123456789abcdef"[digits.next().unwrap_or(0)];
            }
        }
        out
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.ascii()))
    }
}

/// Ranks by Zipf's law: rank `k` (from 0) is drawn in proportion to `1 / (k + 1)^skew`.
#[derive(Debug)]
pub(super) struct Zipf {
    cumulative: Vec<u64>,
}

impl Zipf {
    /// Creates the distribution over `ranks` ranks.
    pub(super) fn new(ranks: usize, skew: f64) -> Self {
        let mut sum = 0;
        let weight = |rank: usize| ((1_u64 << 40) as f64 / power(rank as f64, skew)) as u64;
        let cumulative = (1..=ranks).map(|rank| {
            sum += weight(rank).max(1);
            sum
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    /// Returns a rank, from 0.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let at = random.below(self.cumulative.last().copied().unwrap_or(0));
        self.cumulative.partition_point(|&upto| upto <= at)
    }
}

/// Returns `base^exponent` for an exponent of at least 0, from multiplications and square roots only. IEEE 754 rounds
/// these exactly, while the result of `powf` depends on the platform.
fn power(base: f64, exponent: f64) -> f64 {
    let whole = exponent.floor();
    let mut result = (0..whole as u32).fold(1.0, |product, _| product * base);
    let (mut rest, mut root) = (exponent - whole, base);
    for _ in 0..24 {
        root = root.sqrt();
        rest *= 2.0;
        if rest >= 1.0 {
            result *= root;
            rest -= 1.0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_printed_in_full() {
        assert_eq!(Guid(0x1).to_string(), "00000000-0000-0000-0000-000000000001");
        let guid = Random::new(1, Purpose::Tenant, 0).guid().to_string();
        assert_eq!(uuid::Uuid::parse_str(&guid).unwrap().get_version_num(), 4);
    }

    #[test]
    fn powers_are_close_to_the_true_ones() {
        for (base, exponent) in [(40.0_f64, 1.1_f64), (7.0, 0.0), (3.0, 2.75)] {
            let relative = power(base, exponent) / base.powf(exponent);
            assert!((relative - 1.0).abs() < 1e-6, "{base}^{exponent}: {relative}");
        }
    }

    #[test]
    fn zipf_prefers_the_first_ranks() {
        let zipf = Zipf::new(40, 1.1);
        let mut random = Random::new(1, Purpose::Activity, 0);
        let mut counts = [0_u32; 40];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        assert!((24_000..30_000).contains(&counts[0]), "{counts:?}");
        assert!(counts[39] > 200 && counts[39] < counts[3], "{counts:?}");
    }

    #[test]
    fn shares_are_met() {
        let mut random = Random::new(2, Purpose::Activity, 0);
        let hits = (0..100_000).filter(|_| random.chance(Share::of(0.03))).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!random.chance(Share::of(0.0)) && random.chance(Share::of(1.0)));
        assert_eq!(Share::of(f64::NAN), Share(0));
    }
}
