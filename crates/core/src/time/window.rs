use std::time::Duration;

use super::EventTime;

/// The bounds of a window: whether an activity exactly at `StartTime` or `EndTime` belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bounds {
    /// `StartTime < t < EndTime`, as in the query.
    #[default]
    Exclusive,
    /// `StartTime <= t <= EndTime`.
    Inclusive,
}

impl Bounds {
    /// Returns the word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Inclusive => "inclusive",
        }
    }
}

/// The rule by which the window of an alert is derived from its `StartTime` and `EndTime`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Widening {
    /// Whether the bounds themselves belong to the window.
    pub bounds: Bounds,
    /// The time by which the window reaches before `StartTime`.
    pub before: Duration,
    /// The time by which the window reaches after `EndTime`.
    pub after: Duration,
}

/// A half-open span of event time: `from <= t < to`. On ticks of 100 ns, windows with any bounds can be expressed this
/// way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// The first tick inside the window.
    pub from: EventTime,
    /// The first tick after the window.
    pub to: EventTime,
}

impl Window {
    /// A window that contains no time.
    pub const NONE: Self = Self {
        from: EventTime::MAX,
        to: EventTime::MIN,
    };

    /// Returns the window of an alert with these `StartTime` and `EndTime`.
    pub fn for_alert(start: EventTime, end: EventTime, widening: Widening) -> Self {
        let (start, end) = (start.minus(widening.before), end.plus(widening.after));
        match widening.bounds {
            Bounds::Exclusive => Self {
                from: start.next_tick(),
                to: end,
            },
            Bounds::Inclusive => Self {
                from: start,
                to: end.next_tick(),
            },
        }
    }

    /// Returns the bounds with which the query would be written for an alert's window.
    pub fn bounds(self, widening: Widening) -> (EventTime, EventTime) {
        let before = |time: EventTime| EventTime::from_ticks(time.ticks().saturating_sub(1));
        match widening.bounds {
            Bounds::Exclusive => (before(self.from), self.to),
            Bounds::Inclusive => (self.from, before(self.to)),
        }
    }

    /// Returns whether the window contains no time.
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// Returns whether `time` is inside.
    pub fn contains(self, time: EventTime) -> bool {
        self.from <= time && time < self.to
    }

    /// Returns the intersection of both windows.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }

    /// Returns the part of this window that is not before `cutoff`.
    #[must_use]
    pub fn not_before(self, cutoff: EventTime) -> Self {
        Self {
            from: self.from.max(cutoff),
            to: self.to,
        }
    }

    /// Returns the parts of this window that are not in `other`, the earlier first. Either may be empty.
    pub fn minus(self, other: Self) -> [Self; 2] {
        let (before, after) = if other.is_empty() {
            (
                self,
                Self {
                    from: self.to,
                    to: self.to,
                },
            )
        } else {
            (
                Self {
                    from: self.from,
                    to: self.to.min(other.from),
                },
                Self {
                    from: self.from.max(other.to),
                    to: self.to,
                },
            )
        };
        [before, after]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ticks: i64) -> EventTime {
        EventTime::from_ticks(ticks)
    }

    #[test]
    fn exclusive_bounds_are_outside_by_one_tick() {
        let window = Window::for_alert(at(10), at(12), Widening::default());
        assert!(!window.contains(at(10)));
        assert!(window.contains(at(11)));
        assert!(!window.contains(at(12)));
    }

    #[test]
    fn an_alert_of_no_length_matches_only_inclusively() {
        let exclusive = Window::for_alert(at(10), at(10), Widening::default());
        let inclusive = Window::for_alert(
            at(10),
            at(10),
            Widening {
                bounds: Bounds::Inclusive,
                ..Widening::default()
            },
        );
        assert!(exclusive.is_empty());
        assert!(inclusive.contains(at(10)));
    }

    #[test]
    fn widening_moves_both_ends() {
        let widening = Widening {
            before: Duration::from_nanos(200),
            after: Duration::from_nanos(100),
            ..Widening::default()
        };
        let window = Window::for_alert(at(10), at(10), widening);
        assert_eq!(window, Window { from: at(9), to: at(11) });
    }

    proptest! {
        #[test]
        fn minus_is_the_difference_of_sets(a in 0..20i64, b in 0..20i64, c in 0..20i64, d in 0..20i64, t in -1..21i64) {
            let (one, other) = (Window { from: at(a), to: at(b) }, Window { from: at(c), to: at(d) });
            let parts = one.minus(other);
            let inside = parts.iter().filter(|part| part.contains(at(t))).count();
            prop_assert_eq!(inside, usize::from(one.contains(at(t)) && !other.contains(at(t))));
        }
    }
}
