use std::time::Duration;

use crate::record::LinkId;

/// How long activities are kept behind the watermark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// By the query, and by every link that does not say otherwise; for ever when `None`.
    pub all: Option<Duration>,
    /// By each link beside the query, in their order, where it is shorter.
    pub links: Vec<Option<Duration>>,
}

impl From<Option<Duration>> for Retention {
    fn from(all: Option<Duration>) -> Self {
        Self { all, links: Vec::new() }
    }
}

impl Retention {
    /// Returns the retention of a configuration: for all, and for each link beside the query.
    pub fn new(all: Duration, links: impl Iterator<Item = Option<Duration>>) -> Self {
        Self {
            all: Some(all),
            links: links.collect(),
        }
    }

    /// Returns every link, the query first.
    pub fn all_links(&self) -> impl Iterator<Item = LinkId> + use<> {
        (0..).map(LinkId).take(self.links.len() + 1)
    }

    /// Returns how long a link keeps activities; `None` for ever.
    pub fn of(&self, link: LinkId) -> Option<Duration> {
        self.shorter(link).or(self.all)
    }

    fn shorter(&self, link: LinkId) -> Option<Duration> {
        let place = usize::from(link.0).checked_sub(1)?;
        let shorter = self.links.get(place).copied().flatten()?;
        Some(self.all.map_or(shorter, |all| all.min(shorter)))
    }

    /// Returns the links that keep activities for a shorter time than the query.
    pub(super) fn shorter_links(&self) -> Vec<LinkId> {
        let links = (1..).map(LinkId).take(self.links.len());
        links
            .filter(|link| self.shorter(*link).is_some_and(|shorter| Some(shorter) != self.all))
            .collect()
    }

    /// Whether anything is ever forgotten.
    pub(super) fn forgets(&self) -> bool {
        self.all.is_some() || self.links.iter().any(Option::is_some)
    }
}
