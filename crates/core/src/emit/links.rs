use std::sync::Arc;

use crate::decode::{KeyEntry, Settings};
use crate::record::LinkId;
use crate::time::Widening;

/// The facts about links that records contain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Links(Arc<[LinkFacts]>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct LinkFacts {
    name: String,
    widening: Widening,
    pair_ids: PairIds,
}

/// The parts of the id of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PairIds {
    /// The alert and the activity, which can have only one key in common.
    ByPair,
    /// The link and the common key as well.
    ByPath,
}

impl Links {
    /// Returns the links of the configuration. By the query, an alert and an activity have only one key in common,
    /// unless a path of `[correlation]` leads to several values.
    pub fn new(settings: &Settings) -> Self {
        let mut entries = settings.activity_key.iter().chain(&settings.alert_key);
        let pair_ids = match entries.any(KeyEntry::may_yield_several) {
            false => PairIds::ByPair,
            true => PairIds::ByPath,
        };
        let links = settings.all_links().map(|(number, link)| LinkFacts {
            name: link.name,
            widening: link.widening,
            pair_ids: match number {
                LinkId::QUERY => pair_ids,
                _ => PairIds::ByPath,
            },
        });
        Self(links.collect())
    }

    /// Returns only the query, with this widening of its windows.
    pub fn query(widening: Widening) -> Self {
        Self::new(&Settings {
            widening,
            ..Settings::default()
        })
    }

    fn get(&self, link: LinkId) -> Option<&LinkFacts> {
        self.0.get(usize::from(link.0))
    }

    /// Returns the name of a link.
    pub fn name(&self, link: LinkId) -> &str {
        self.get(link).map_or("", |link| &link.name)
    }

    /// Returns the names of all links.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|link| link.name.as_str())
    }

    /// Returns the link with this name.
    pub fn named(&self, name: &str) -> Option<LinkId> {
        let mut links = (0..).map(LinkId).zip(self.0.iter());
        links.find(|(_, link)| link.name == name).map(|(number, _)| number)
    }

    /// Returns how a link's windows are derived from alerts.
    pub fn widening(&self, link: LinkId) -> Widening {
        self.get(link).map(|link| link.widening).unwrap_or_default()
    }

    pub(super) fn pair_ids(&self, link: LinkId) -> PairIds {
        self.get(link).map_or(PairIds::ByPath, |link| link.pair_ids)
    }
}
