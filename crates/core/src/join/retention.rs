use std::time::Duration;

use crate::record::LinkId;

/// How long activities are kept, measured back from the watermark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// The retention of the query, and the greatest possible retention of every other link; `None` keeps activities
    /// forever.
    pub all: Option<Duration>,
    /// The retentions of the links other than the query, in the order of the links; `None` for a link that has none of
    /// its own.
    pub links: Vec<Option<Duration>>,
}

impl From<Option<Duration>> for Retention {
    fn from(all: Option<Duration>) -> Self {
        Self { all, links: Vec::new() }
    }
}

impl Retention {
    /// Returns the retention of a configuration: for all links, and for each link other than the query.
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

    /// Returns how long a link keeps activities; `None` means forever.
    pub fn for_link(&self, link: LinkId) -> Option<Duration> {
        self.shorter(link).or(self.all)
    }

    fn shorter(&self, link: LinkId) -> Option<Duration> {
        let place = usize::from(link.0).checked_sub(1)?;
        let shorter = self.links.get(place).copied().flatten()?;
        Some(self.all.map_or(shorter, |all| all.min(shorter)))
    }

    /// Returns the links whose retention is shorter than that of the query.
    pub(super) fn shorter_links(&self) -> Vec<LinkId> {
        let links = (1..).map(LinkId).take(self.links.len());
        links
            .filter(|link| self.shorter(*link).is_some_and(|shorter| Some(shorter) != self.all))
            .collect()
    }

    /// Returns whether anything ever expires.
    pub(super) fn forgets(&self) -> bool {
        self.all.is_some() || self.links.iter().any(Option::is_some)
    }
}
