//! Decides which rate to try next. First it increases the rate until one is not sustained. Then it tries rates between
//! the highest sustained and the lowest failed one. Then it repeats the best.

/// The purpose of a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Finds out whether this rate is sustained at all. Each rate is higher than the one before (or lower, if the first
    /// was not sustained).
    Ramp,
    /// Tries a rate between one that was sustained and one that was not.
    Search,
    /// Repeats the rate that was found.
    Repeat,
    /// Applies a given load.
    Load,
}

/// The parameters of a search.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// The first rate, in records per second.
    pub from: f64,
    /// The upper limit of all rates.
    pub max_rate: f64,
    /// The factor by which the rate rises until one is not sustained.
    pub growth: f64,
    /// The required relative distance between the highest sustained and the lowest failed rate.
    pub precision: f64,
    /// The number of repetitions of the rate that was found.
    pub repeats: usize,
}

/// A search in progress.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    plan: Plan,
    /// The highest sustained rate.
    best: Option<f64>,
    /// The lowest rate that was not sustained.
    worst: Option<f64>,
    /// The rates that the repetitions have found.
    found: Vec<f64>,
    /// The rate of the current repetition. It decreases by the precision until it is sustained, but not below half of
    /// the best rate.
    repeat: f64,
}

/// The result of a search.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct SearchResult {
    /// The median of the highest sustained rates, in records per second.
    pub rate: f64,
    /// The lowest of them.
    pub low: f64,
    /// The highest of them.
    pub high: f64,
    /// Their number.
    pub runs: usize,
    /// Whether a higher rate was tried and not sustained. If not, a higher rate may be possible.
    pub bounded: bool,
}

/// The search ends below this rate, in records per second.
const MIN_RATE: f64 = 10.0;

impl Search {
    /// Creates a search.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            best: None,
            worst: None,
            found: Vec::new(),
            repeat: 0.0,
        }
    }

    /// Returns the next rate to try and its purpose, or `None` at the end.
    pub fn next(&self) -> Option<(f64, Purpose)> {
        let plan = &self.plan;
        match (self.best, self.worst) {
            (None, None) => Some((plan.from.min(plan.max_rate), Purpose::Ramp)),
            (Some(best), None) if best < plan.max_rate => Some(((best * plan.growth).min(plan.max_rate), Purpose::Ramp)),
            (None, Some(worst)) if worst > MIN_RATE => Some((worst / 2.0, Purpose::Ramp)),
            (None, Some(_)) => None,
            // The geometric mean halves the relative distance.
            (Some(best), Some(worst)) if worst / best > 1.0 + plan.precision => Some(((best * worst).sqrt(), Purpose::Search)),
            (Some(best), _) => {
                let goes_on = (1..=self.plan.repeats).contains(&self.found.len()) && self.repeat >= best / 2.0;
                goes_on.then_some((self.repeat, Purpose::Repeat))
            }
        }
    }

    /// Notes the result for the rate that [`Search::next`] returned.
    pub fn tried(&mut self, sustained: bool) {
        let Some((rate, purpose)) = self.next() else { return };
        match (purpose, sustained) {
            (Purpose::Repeat, true) => {
                self.found.push(rate);
                self.repeat = self.best.unwrap_or(rate);
            }
            (Purpose::Repeat, false) => self.repeat = rate / (1.0 + self.plan.precision),
            (_, true) => self.best = Some(rate),
            (_, false) => self.worst = Some(rate),
        }
        // The best rate is known now. Its own result is the first that counts.
        if let (Some(best), true) = (self.best, self.found.is_empty()) {
            let is_near = self.worst.is_some_and(|worst| worst / best <= 1.0 + self.plan.precision);
            if is_near || best >= self.plan.max_rate {
                self.found.push(best);
                self.repeat = best;
            }
        }
    }

    /// Returns the result so far, or `None` if no rate was sustained yet.
    pub fn found(&self) -> Option<SearchResult> {
        let mut rates = self.found.clone();
        if rates.is_empty() {
            rates.push(self.best?);
        }
        rates.sort_by(f64::total_cmp);
        Some(SearchResult {
            rate: median(&rates)?,
            low: *rates.first()?,
            high: *rates.last()?,
            runs: rates.len(),
            bounded: self.worst.is_some(),
        })
    }
}

/// Returns the median of sorted numbers.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len().is_multiple_of(2) {
        true => Some((sorted.get(middle.checked_sub(1)?)? + upper) / 2.0),
        false => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        from: 1_000.0,
        max_rate: 1e6,
        growth: 2.0,
        precision: 0.05,
        repeats: 3,
    };

    /// Runs a search against a system that sustains the rates that `sustains` accepts. Returns the rates tried and the
    /// result.
    fn search(plan: Plan, mut sustains: impl FnMut(usize, f64) -> bool) -> (Vec<(f64, Purpose)>, Option<SearchResult>) {
        let mut search = Search::new(plan);
        let mut tried = Vec::new();
        while let Some((rate, purpose)) = search.next() {
            search.tried(sustains(tried.len(), rate));
            tried.push((rate, purpose));
            assert!(tried.len() < 100, "it does not end: {tried:?}");
        }
        (tried, search.found())
    }

    #[test]
    fn the_limit_is_found_within_the_precision() {
        for knee in [15.0, 640.0, 1_000.0, 1_001.0, 37_000.0, 123_456.0] {
            let (tried, found) = search(PLAN, |_, rate| rate <= knee);
            let found = found.unwrap();
            assert!(
                found.rate <= knee && found.rate * 1.05 >= knee,
                "{knee}: {found:?} after {tried:?}"
            );
            assert_eq!(
                (found.low, found.high, found.runs, found.bounded),
                (found.rate, found.rate, 4, true)
            );
            assert_eq!(tried.iter().filter(|(_, purpose)| *purpose == Purpose::Repeat).count(), 3);
            assert!(tried.len() < 25, "{tried:?}");
        }
    }

    #[test]
    fn a_limit_that_varies_is_reported_as_a_range() {
        // Noise of 8 % around the limit, the same in every run.
        let mut spread = 0;
        for phase in 0..20 {
            let knee = |trial: usize| 40_000.0 * (1.0 + 0.08 * ((trial as f64 * 2.4 + f64::from(phase)).sin()));
            let found = search(PLAN, |trial, rate| rate <= knee(trial)).1.unwrap();
            assert!(
                (33_000.0..44_000.0).contains(&found.rate) && found.low > 30_000.0,
                "{found:?}"
            );
            assert!(
                found.low <= found.rate && found.rate <= found.high && found.runs == 4,
                "{found:?}"
            );
            spread += usize::from(found.low < found.high);
        }
        assert!(spread > 5, "{spread} of 20");
    }

    #[test]
    fn a_system_that_sustains_every_rate_is_reported_as_unbounded() {
        let (tried, found) = search(PLAN, |_, _| true);
        let found = found.unwrap();
        assert_eq!((found.rate, found.bounded), (1e6, false));
        assert_eq!(tried.first(), Some(&(1_000.0, Purpose::Ramp)));
    }

    #[test]
    fn a_system_that_sustains_nothing_ends_the_search() {
        let (tried, found) = search(PLAN, |_, _| false);
        assert_eq!(found, None);
        assert!(tried.len() < 12, "{tried:?}");
    }

    #[test]
    fn the_search_ends_if_all_repeats_fail() {
        let mut best = 0.0;
        let (_, found) = search(PLAN, |trial, rate| {
            let sustained = trial < 12 && rate <= 5_000.0;
            best = if sustained { rate } else { best };
            sustained
        });
        assert_eq!(found.map(|found| found.rate), Some(best));
    }

    #[test]
    fn without_repeats_there_is_one_confirming_run() {
        let (tried, found) = search(Plan { repeats: 0, ..PLAN }, |_, rate| rate <= 7_000.0);
        assert_eq!(found.unwrap().runs, 1);
        assert!(tried.iter().all(|(_, purpose)| *purpose != Purpose::Repeat));
    }

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0]), Some(1.0));
        assert_eq!(median(&[1.0, 3.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }
}
