//! The status of the processor: watermarks, positions, rates, sizes.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::Failure;
use super::group::ForwardableRequest;
use super::samples::SAMPLE_INTERVAL;
use super::server::Server;
use crate::clock;
use crate::config::{Delivery, Unmatched};
use crate::query::shapes::{
    InstanceStatus, PartitionStatus, ProcessorStatus, ReasonCount, SettingsStatus, SourceStatus, TableCount, Totals,
};
use crate::query::{self, Partition};
use crate::store::{Reader, Snapshot};

impl Server {
    /// Samples the counters at intervals, without end.
    pub(super) async fn sample_counters(&self) {
        loop {
            self.rates().sample(self.metrics().counts());
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    pub(super) fn status(&self, request: &ForwardableRequest) -> Result<ProcessorStatus, Failure> {
        let own = self.own_status()?;
        let own_partitions: BTreeSet<u32> = own.partitions.iter().map(|partition| partition.partition).collect();
        let mut reported = own_partitions.clone();
        let mut instances = vec![InstanceStatus {
            instance: self.exposed().instance().to_owned(),
            address: self.config().http_address(),
            is_this: true,
            answers: true,
            partitions: own_partitions.into_iter().collect(),
            error: None,
        }];
        let mut others = Vec::new();
        for (member, status) in self.group().forward::<ProcessorStatus>(request) {
            let error = status.as_ref().err().map(|failure| failure.sentence.clone());
            let mut partitions = member.partitions;
            if let Ok(status) = status {
                partitions = status.partitions.iter().map(|partition| partition.partition).collect();
                reported.extend(&partitions);
                others.push(status);
            }
            instances.push(InstanceStatus {
                instance: member.instance,
                address: member.address,
                is_this: false,
                answers: error.is_none(),
                partitions,
                error,
            });
        }
        let mut status = query::merge_statuses(own, others);
        status.watermark_lag_seconds = self.lag(&status);
        status.instances = instances;
        status.unanswered_partitions = self.missing_partitions(&reported);
        Ok(status)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn lag(&self, status: &ProcessorStatus) -> Option<f64> {
        let watermark = crate::decode::parse_time(&status.watermark.as_ref()?.to_string())?;
        Some((clock::now().0 - watermark.to_wall().0) as f64 / 1000.0)
    }

    fn own_status(&self) -> Result<ProcessorStatus, Failure> {
        let totals = self.metrics().counts();
        let ends = self.exposed().log_ends();
        let sizes = self.sizes();
        let (sources, partitions) = self.with_partitions(None, |found| {
            let mut partitions = Vec::new();
            for partition in found {
                let (open, closed) = self.alert_counts().count(partition)?;
                partitions.push(self.partition(partition, open, closed, &ends, &sizes));
            }
            Ok((sources(found, &ends), partitions))
        })?;
        let counts = |counts: Vec<(String, u64)>| counts.into_iter();
        let state_bytes = (!sizes.is_empty()).then(|| sizes.values().sum());
        Ok(ProcessorStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            application_id: self.config().application.id.clone(),
            now: clock::now().into(),
            started_at: self.started().into(),
            watermark: partitions.iter().map(|partition| partition.watermark.clone()).min().flatten(),
            watermark_lag_seconds: None,
            throughput: self.rates().throughput(),
            totals: Totals {
                messages: totals.messages,
                bytes: totals.bytes,
                activities: totals.activities,
                alerts: totals.alerts,
                rows: totals.rows,
                summaries: totals.summaries,
                dead_letters: totals.dead_letters,
            },
            open_alerts: partitions.iter().map(|partition| partition.open_alerts).sum(),
            alerts: partitions.iter().map(|partition| partition.alerts).sum(),
            state_bytes,
            dead_letters: counts(self.metrics().dead_letters_by_reason())
                .map(|(reason, count)| ReasonCount { reason, count })
                .collect(),
            skipped: counts(self.metrics().skipped_by_table())
                .map(|(table, count)| TableCount { table, count })
                .collect(),
            sources,
            partitions,
            instances: Vec::new(),
            settings: self.settings_status(),
            unanswered_partitions: Vec::new(),
        })
    }

    fn partition(
        &self,
        partition: &Partition<'_, Snapshot<'_>>,
        open: u64,
        closed: u64,
        ends: &BTreeMap<(String, i32), i64>,
        sizes: &BTreeMap<u32, u64>,
    ) -> PartitionStatus {
        let position = partition.view.position().offset;
        let topic = self.config().repartition.topic.clone();
        let end = ends.get(&(topic, i32::try_from(partition.number).unwrap_or(0))).copied();
        PartitionStatus {
            partition: partition.number,
            instance: self.exposed().instance().to_owned(),
            watermark: partition.view.watermark().map(Into::into),
            position,
            end,
            lag: end.map(|end| (end - position).max(0)),
            alerts: open + closed,
            open_alerts: open,
            retained_from: partition.view.retained_from(crate::record::LinkId::QUERY).map(Into::into),
            state_bytes: sizes.get(&partition.number).copied(),
        }
    }

    /// Returns the bytes of state by partition.
    fn sizes(&self) -> BTreeMap<u32, u64> {
        let readers = self.exposed().readers.open();
        let size = |(number, reader): &(i32, Reader)| Some((u32::try_from(*number).ok()?, reader.bytes()));
        readers.iter().filter_map(size).collect()
    }

    fn settings_status(&self) -> SettingsStatus {
        let config = self.config();
        use crate::words::duration;
        let widening = config.decode.widening;
        SettingsStatus {
            links: config.decode.all_links().map(|(_, link)| link.name).collect(),
            bounds: widening.bounds.as_str().to_owned(),
            before: duration(widening.before),
            after: duration(widening.after),
            ignore_case: config.decode.ignore_case,
            out_of_orderness: duration(config.watermark.out_of_orderness),
            idle_timeout: duration(config.watermark.idle_timeout),
            max_wait: duration(config.watermark.max_wait),
            retention: duration(config.state.retention),
            delivery: match config.output.delivery {
                Delivery::AtLeastOnce => "at_least_once",
                Delivery::ExactlyOnce => "exactly_once",
            }
            .to_owned(),
            unmatched: match config.output.unmatched {
                Unmatched::Omit => "omit",
                Unmatched::Emit => "emit",
            }
            .to_owned(),
            input_topics: config.input.topics.clone(),
            output_topic: config.output.topic.clone(),
            summary_topic: config.output.summary_topic.clone(),
            dead_letter_topic: config.output.dead_letter_topic.clone(),
            repartition_partitions: config.repartition.partitions,
        }
    }
}

/// Returns the source partitions from the state of the partition with the newest watermark update.
fn sources(partitions: &[Partition<'_, Snapshot<'_>>], ends: &BTreeMap<(String, i32), i64>) -> Vec<SourceStatus> {
    let Some(latest) = partitions.iter().max_by_key(|partition| partition.view.wall()) else {
        return Vec::new();
    };
    let holder = latest.view.holder();
    let status = |source: crate::join::SourceState| {
        let end = ends
            .get(&(source.topic.clone(), i32::try_from(source.partition).unwrap_or(0)))
            .copied();
        let holds_back = holder.is_some_and(|holder| holder.topic == source.topic && holder.partition == source.partition);
        SourceStatus {
            position: source.position,
            end,
            lag: end.map(|end| (end - source.position).max(0)),
            watermark: source.watermark.map(Into::into),
            idle: source.idle,
            holds_back,
            since: source.since.into(),
            heard_at: source.reported_at.into(),
            rejected: source.rejected,
            topic: source.topic,
            partition: source.partition,
        }
    };
    latest.view.sources().into_iter().map(status).collect()
}
