use crate::time::EventTime;

/// The times at which each policy has an alert: the union of the windows of its alerts, by the version that counts.
#[derive(Default, Debug)]
pub(super) struct Coverage {
    policies: Vec<Vec<Covered>>,
}

/// A range of time in alert windows, with both ends excluded, and the first alert of the range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Covered {
    start: EventTime,
    end: EventTime,
    alert: u64,
}

impl Coverage {
    pub(super) fn new(policies: usize) -> Self {
        Self {
            policies: vec![Vec::new(); policies],
        }
    }

    /// Adds a window. An empty window covers nothing.
    pub(super) fn add(&mut self, policy: usize, start: EventTime, end: EventTime, alert: u64) {
        if start < end {
            self.policies[policy].push(Covered { start, end, alert });
        }
    }

    /// Sorts and merges the windows. Lookups find nothing before this call.
    pub(super) fn merge(&mut self) {
        self.policies.iter_mut().for_each(merge);
    }

    /// Returns the first alert of the range of `policy` that contains `time`.
    pub(super) fn alert_at(&self, policy: usize, time: EventTime) -> Option<u64> {
        let stretches = &self.policies[policy];
        let before = stretches.partition_point(|stretch| stretch.start < time);
        let stretch = stretches.get(before.checked_sub(1)?)?;
        (time < stretch.end).then_some(stretch.alert)
    }

    /// Returns the share of the time from `start` to `end` in which any policy has a window.
    pub(super) fn open_share(&self, start: EventTime, end: EventTime) -> f64 {
        let mut all: Vec<Covered> = self.policies.iter().flatten().copied().collect();
        merge(&mut all);
        let clipped = |stretch: &Covered| (stretch.end.min(end).ticks() - stretch.start.max(start).ticks()).max(0);
        let open: i64 = all.iter().map(clipped).sum();
        open as f64 / (end.ticks() - start.ticks()).max(1) as f64
    }
}

fn merge(stretches: &mut Vec<Covered>) {
    stretches.sort_unstable();
    stretches.dedup_by(|next, held| {
        // If one window ends exactly where the next begins, that tick is in neither.
        let overlap = next.start < held.end;
        if overlap {
            held.end = held.end.max(next.end);
        }
        overlap
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_open_at_both_ends() {
        let at = EventTime::from_ticks;
        let mut coverage = Coverage::new(2);
        for (start, end, alert) in [(10, 20, 0), (15, 30, 1), (30, 40, 2), (50, 50, 3)] {
            coverage.add(0, at(start), at(end), alert);
        }
        coverage.merge();
        let found: Vec<_> = [10, 11, 29, 30, 31, 40, 50]
            .map(|ticks| coverage.alert_at(0, at(ticks)))
            .into();
        assert_eq!(found, [None, Some(0), Some(0), None, Some(2), None, None]);
        assert_eq!(coverage.alert_at(1, at(15)), None);
        assert!((coverage.open_share(at(0), at(60)) - 0.5).abs() < 1e-9);
    }
}
