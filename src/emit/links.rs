use std::sync::Arc;

use crate::decode::{KeyEntry, Settings};
use crate::record::LinkId;
use crate::time::Widening;

/// What records say of links.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Links(Arc<[Link]>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Link {
    name: String,
    widening: Widening,
    pair_ids: PairIds,
}

/// What the id of a row is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PairIds {
    /// The alert and the activity, which can meet on one key only.
    ByPair,
    /// The link and the key on which they met, too.
    ByPath,
}

impl Links {
    /// Returns those of the configuration. By the query an alert and an activity meet on one key only, unless a path of `[correlation]` leads
    /// to several values.
    pub fn of(settings: &Settings) -> Self {
        let mut entries = settings.activity_key.iter().chain(&settings.alert_key);
        let pair_ids = match entries.any(KeyEntry::may_yield_several) {
            false => PairIds::ByPair,
            true => PairIds::ByPath,
        };
        let links = settings.all_links().map(|(number, link)| Link {
            name: link.name,
            widening: link.widening,
            pair_ids: match number {
                LinkId::QUERY => pair_ids,
                _ => PairIds::ByPath,
            },
        });
        Self(links.collect())
    }

    /// Returns the query alone, with such windows.
    pub fn query(widening: Widening) -> Self {
        Self::of(&Settings {
            widening,
            ..Settings::default()
        })
    }

    fn get(&self, link: LinkId) -> Option<&Link> {
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

    /// Returns the link of this name.
    pub fn named(&self, name: &str) -> Option<LinkId> {
        let mut links = (0..).map(LinkId).zip(self.0.iter());
        links.find(|(_, link)| link.name == name).map(|(number, _)| number)
    }

    /// Returns how a link's windows follow from alerts.
    pub fn widening(&self, link: LinkId) -> Widening {
        self.get(link).map(|link| link.widening).unwrap_or_default()
    }

    pub(super) fn pair_ids(&self, link: LinkId) -> PairIds {
        self.get(link).map_or(PairIds::ByPath, |link| link.pair_ids)
    }
}
