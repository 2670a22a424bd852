//! Responds to API requests from the stores that are open in this instance and, unless another instance forwarded the
//! request, from the responses of the other instances.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::group::{ForwardableRequest, Group};
use super::samples::{AlertCounts, Rates};
use crate::clock;
use crate::config::{Config, Http, Secret};
use crate::decode::Link;
use crate::emit::Links;
use crate::join::View;
use crate::metrics::Metrics;
use crate::pipeline::exposed::Exposed;
use crate::query::causes::Explanation;
use crate::query::shapes::{ActivityList, AlertDetail, AlertList, LinkList, Status};
use crate::query::{self, Filter, KeySettings, Partition, Settings, Wanted};
use crate::record::AlertId;
use crate::shutdown::Shutdown;
use crate::store::Snapshot;
use crate::time::WallTime;

/// Maximum number of requests that are processed at the same time, because the data path needs the machine.
const MAX_CONCURRENT: usize = 4;
/// How long a request waits for a free slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(2);

/// Shared state of the request handlers.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    config: Config,
    settings: Settings,
    retention: crate::join::Retention,
    metrics: Arc<Metrics>,
    exposed: Arc<Exposed>,
    shutdown: Shutdown,
    permits: Arc<Semaphore>,
    /// Held while the input is searched for an explanation, so that only one search runs at a time.
    scan_lock: std::sync::Mutex<()>,
    started: WallTime,
    group: Group,
    rates: Rates,
    alert_counts: AlertCounts,
}

impl Server {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>, exposed: Arc<Exposed>, shutdown: Shutdown) -> Self {
        let decode = &config.decode;
        let tenants = decode
            .tenants
            .iter()
            .flat_map(|tenants| tenants.iter().map(|(entra, _)| entra.to_owned()));
        let settings = Settings {
            links: Links::new(decode),
            keys: decode.all_links().map(|(_, link)| key_settings(&link)).collect(),
            tenants: tenants.collect(),
            out_of_orderness: config.watermark.out_of_orderness,
            idle_timeout: config.watermark.idle_timeout,
        };
        Self(Arc::new(Inner {
            retention: crate::join::Retention::new(config.state.retention, decode.links.iter().map(|link| link.retention)),
            settings,
            metrics,
            shutdown,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            scan_lock: std::sync::Mutex::default(),
            started: clock::now(),
            group: Group::new(config, Arc::clone(&exposed)),
            rates: Rates::default(),
            alert_counts: AlertCounts::default(),
            exposed,
            config: config.clone(),
        }))
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.config.http
    }

    pub(super) fn token(&self) -> Option<&Secret> {
        self.0.config.http.token.as_ref()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn exposed(&self) -> &Exposed {
        &self.0.exposed
    }

    pub(super) fn group(&self) -> &Group {
        &self.0.group
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn scan_lock(&self) -> &std::sync::Mutex<()> {
        &self.0.scan_lock
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    pub(super) fn alert_counts(&self) -> &AlertCounts {
        &self.0.alert_counts
    }

    pub(super) fn started(&self) -> WallTime {
        self.0.started
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.shutdown.is_requested()
    }

    /// Runs a request on a thread that may wait for the disk. Waits for a free slot first.
    pub(super) async fn run_blocking<T: Send + 'static>(
        &self,
        request: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let busy = || Failure::new(StatusCode::TOO_MANY_REQUESTS, "too many requests at once; retry in a moment");
        let permit = tokio::time::timeout(SLOT_TIMEOUT, Arc::clone(&self.0.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(busy()) };
        let server = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            request(&server)
        });
        let failed = |_| {
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed unexpectedly; this is a bug in alerttrail",
            )
        };
        task.await.map_err(failed)?
    }

    /// Calls `read` with the states of the partitions that are joined here. If alerts are given, only partitions that
    /// have one of them are included.
    pub(super) fn with_partitions<T>(
        &self,
        alerts: Option<&[AlertId]>,
        read: impl FnOnce(&[Partition<'_, Snapshot<'_>>]) -> Result<T, query::Error>,
    ) -> Result<T, Failure> {
        let readers = self.0.exposed.readers.open();
        let snapshots: Vec<_> = readers.iter().map(|(number, reader)| (*number, reader.snapshot())).collect();
        let mut partitions = Vec::new();
        for (number, snapshot) in &snapshots {
            let mut is_wanted = alerts.is_none();
            for alert in alerts.unwrap_or_default() {
                is_wanted |= View::holds(snapshot, &self.0.retention, alert).map_err(query::Error::from)?;
            }
            if is_wanted {
                let view = View::open(snapshot, self.0.retention.clone()).map_err(query::Error::from)?;
                partitions.push(Partition {
                    number: u32::try_from(*number).unwrap_or(0),
                    view,
                });
            }
        }
        Ok(read(&partitions)?)
    }

    /// Returns the partitions of the repartition topic that are joined here.
    pub(super) fn own_partitions(&self) -> BTreeSet<u32> {
        let readers = self.0.exposed.readers.open();
        readers.iter().filter_map(|(number, _)| u32::try_from(*number).ok()).collect()
    }

    /// Returns the partitions that are not in `reported`.
    pub(super) fn missing_partitions(&self, reported: &BTreeSet<u32>) -> Vec<u32> {
        let all = 0..self.0.config.repartition.partitions;
        all.filter(|partition| !reported.contains(partition)).collect()
    }

    pub(super) fn list(
        &self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
        request: &ForwardableRequest,
    ) -> Result<AlertList, Failure> {
        let mut reported = self.own_partitions();
        let mut pages = vec![self.with_partitions(None, |partitions| {
            query::list(partitions, &self.0.settings, filter, cursor, limit)
        })?];
        for (_, page) in self.0.group.forward::<AlertList>(request) {
            if let Ok(page) = page {
                let missing: BTreeSet<u32> = page.unanswered_partitions.iter().copied().collect();
                reported.extend((0..self.0.config.repartition.partitions).filter(|partition| !missing.contains(partition)));
                pages.push(page);
            }
        }
        let mut page = query::merge_lists(pages, limit)?;
        page.unanswered_partitions = self.missing_partitions(&reported);
        Ok(page)
    }

    /// Returns one alert. Its keys may belong to several instances, and each instance reports only the links that it
    /// has.
    pub(super) fn alert(
        &self,
        wanted: &Wanted,
        request: &ForwardableRequest,
        links: &ForwardableRequest,
    ) -> Result<AlertDetail, Failure> {
        let mut detail = self.find_in_group(wanted, request, |found| query::alert(found, &self.0.settings, Vec::new()))?;
        if request.is_first() {
            detail.links = self.links(wanted, links)?.links;
        }
        Ok(detail)
    }

    pub(super) fn links(&self, wanted: &Wanted, request: &ForwardableRequest) -> Result<LinkList, Failure> {
        let ids = self.0.settings.ids(&wanted.system_alert_id, wanted.tenant_id.as_deref());
        let mut links = self.with_partitions(Some(&ids), |partitions| query::links(partitions, &self.0.settings, &ids))?;
        for (_, remote) in self.0.group.forward::<LinkList>(request) {
            links.extend(remote.map(|remote| remote.links).unwrap_or_default());
        }
        query::sort_results(&mut links, &self.0.settings);
        Ok(LinkList { links })
    }

    /// Returns the results of an alert by the wanted link and key, or all of them if none is named. Another instance
    /// always gets all, because it selects from the results of all instances.
    pub(super) fn wanted_links(&self, wanted: &Wanted, request: &ForwardableRequest) -> Result<LinkList, Failure> {
        self.0.settings.check(wanted)?;
        let mut list = self.links(wanted, request)?;
        if request.is_first() {
            let is_wanted = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
            list.links
                .retain(|item| is_wanted(&wanted.link, &item.link) && is_wanted(&wanted.correlation_id, &item.correlation_id));
        }
        Ok(list)
    }

    pub(super) fn activities(
        &self,
        wanted: &Wanted,
        cursor: Option<&str>,
        limit: usize,
        request: &ForwardableRequest,
    ) -> Result<ActivityList, Failure> {
        self.find_in_group(wanted, request, |found| {
            query::activities(found, &self.0.settings, cursor, limit)
        })
    }

    pub(super) fn explain(&self, wanted: &Wanted, scan: bool, request: &ForwardableRequest) -> Result<Explanation, Failure> {
        let explanation = self.explain_by_state(wanted, request)?;
        match scan && request.is_first() {
            true => self.scan(explanation),
            _ => Ok(explanation),
        }
    }

    fn explain_by_state(&self, wanted: &Wanted, request: &ForwardableRequest) -> Result<Explanation, Failure> {
        let now = clock::now();
        if let Some(explanation) = self.find_locally(wanted, |found| query::explain(found, &self.0.settings, now))? {
            return Ok(explanation);
        }
        let others = self.0.group.forward::<Explanation>(request).into_iter();
        let known = others
            .filter_map(|(_, response)| response.ok())
            .filter(|explanation| explanation.status != Status::Unknown);
        // An instance with the partition of the key explains more than one with the partition of another key.
        let (with_key, others): (Vec<_>, Vec<_>) = known.partition(|explanation| explanation.correlation_id.is_some());
        if let Some(explanation) = with_key.into_iter().next() {
            return Ok(explanation);
        }
        let by_query = Wanted {
            link: None,
            correlation_id: None,
            ..wanted.clone()
        };
        let without = self.find_locally(&by_query, |found| query::without_key(found, &self.0.settings, wanted))?;
        match without.or_else(|| others.into_iter().next()) {
            Some(explanation) => Ok(explanation),
            None => self.with_partitions(None, |partitions| Ok(query::unknown(partitions, wanted))),
        }
    }

    /// Responds to a request about one alert, here or at the instance that has its partition.
    fn find_in_group<T: serde::de::DeserializeOwned + Send>(
        &self,
        wanted: &Wanted,
        request: &ForwardableRequest,
        build: impl FnOnce(&query::Found<'_, '_, Snapshot<'_>>) -> Result<T, query::Error>,
    ) -> Result<T, Failure> {
        if let Some(response) = self.find_locally(wanted, build)? {
            return Ok(response);
        }
        let mut unreachable = None;
        for (_, response) in self.0.group.forward::<T>(request) {
            match response {
                Ok(response) => return Ok(response),
                Err(failure) if failure.status == StatusCode::NOT_FOUND => {}
                Err(failure) => unreachable = Some(failure),
            }
        }
        // An instance that did not respond may have the alert.
        Err(unreachable.unwrap_or_else(|| Failure::no_such_alert(wanted)))
    }

    /// Returns what `build` makes of the alert, or `None` if no partition that is joined here has it.
    fn find_locally<T>(
        &self,
        wanted: &Wanted,
        build: impl FnOnce(&query::Found<'_, '_, Snapshot<'_>>) -> Result<T, query::Error>,
    ) -> Result<Option<T>, Failure> {
        let ids = self.0.settings.ids(&wanted.system_alert_id, wanted.tenant_id.as_deref());
        self.with_partitions(Some(&ids), |partitions| {
            let found = query::find(partitions, &self.0.settings, wanted)?;
            found.map(|found| build(&found)).transpose()
        })
    }
}

fn key_settings(link: &Link) -> KeySettings {
    let paths = link.key.iter().flat_map(|entry| entry.paths());
    KeySettings {
        ignore_case: link.ignore_case,
        alert_key: paths.map(|key| key.path.to_string()).collect(),
    }
}
