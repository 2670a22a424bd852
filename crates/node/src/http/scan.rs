//! Adds the result of a search in the input to an explanation.

use std::sync::TryLockError;

use axum::http::StatusCode;

use super::failure::Failure;
use super::server::Server;
use crate::clock;
use crate::decode::QUERY;
use crate::pipeline::scan::{ScanRequest, Scanned, scan};
use crate::query::causes::{Explanation, Finding, Scan};
use crate::query::shapes::Status;
use crate::query::{self, Cause, DeadRecord, OtherPath};

impl Server {
    /// Returns the explanation with the result of a search in the input and the dead-letter topic.
    pub(super) fn scan(&self, mut explanation: Explanation) -> Result<Explanation, Failure> {
        let busy = "the input is being searched for another explanation; retry in a few seconds";
        let _guard = match self.scan_lock().try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, busy)),
        };
        let began = clock::start();
        let ids = self
            .settings()
            .ids(&explanation.system_alert_id, explanation.tenant_id.as_deref());
        let request = ScanRequest {
            ids: &ids,
            correlation_id: explanation.correlation_id.as_deref(),
        };
        let scanned = scan(self.config(), request);
        let scanned = scanned.map_err(|error| Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let is_unknown = explanation.status == Status::Unknown;
        let mut more: Vec<Finding> = Vec::new();
        if is_unknown {
            more.extend(self.with_partitions(None, |partitions| {
                Ok(query::in_input(partitions, self.settings(), &scanned.alert_versions))
            })?);
        }
        more.extend(self.other_paths(&scanned, explanation.link.as_deref().unwrap_or(QUERY)));
        more.extend(dead_letters(&scanned));
        // If no activity was found, the result of the search is the cause.
        let is_cause = (is_unknown || explanation.status == Status::Unmatched) && !more.is_empty();
        if is_cause {
            explanation.verdict.clone_from(&more[0].sentence);
            explanation.findings.splice(0..0, more);
        } else {
            explanation.findings.extend(more);
        }
        if is_unknown && scanned.alert_versions.is_empty() {
            let finding = query::not_in_input(scanned.messages, scanned.is_input_whole);
            explanation.findings.push(finding);
        }
        explanation.scan = Some(Scan {
            messages: scanned.messages,
            bytes: scanned.bytes,
            dead_letters: scanned.dead_letters,
            is_whole: scanned.is_input_whole && scanned.are_dead_letters_whole,
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok(explanation)
    }

    fn other_paths(&self, scanned: &Scanned, link: &str) -> Option<Finding> {
        let (_, link) = self.config().decode.all_links().find(|(_, known)| known.name == link)?;
        let setting = match link.name.as_str() {
            QUERY => "correlation.activity_key".to_owned(),
            name => format!("link.{name}.activity_key"),
        };
        let is_configured = |path: &String| {
            link.activity_key
                .iter()
                .flat_map(|key| key.paths())
                .any(|key| key.path.to_string() == *path)
        };
        let others = scanned.places.iter().filter(|(path, _)| !is_configured(path));
        let paths: Vec<OtherPath> = others
            .map(|(path, (activities, (topic, partition, offset)))| OtherPath {
                path: path.clone(),
                activities: *activities,
                topic: topic.clone(),
                partition: u32::try_from(*partition).unwrap_or(0),
                offset: *offset,
            })
            .collect();
        let most_frequent = paths.iter().max_by_key(|path| path.activities)?;
        Some(Finding {
            sentence: format!(
                "The input contains its correlation id in other fields too: {} of the activities read have it at {}; if that is the key, add the path to {setting}.",
                most_frequent.activities, most_frequent.path
            ),
            cause: Cause::KeyUnderOtherPath { paths },
        })
    }
}

fn dead_letters(scanned: &Scanned) -> Option<Finding> {
    let record = |headers: &std::collections::BTreeMap<String, String>| {
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        DeadRecord {
            reason: header("alerttrail.reason"),
            topic: header("alerttrail.topic"),
            partition: header("alerttrail.partition"),
            offset: header("alerttrail.offset"),
            index: header("alerttrail.index"),
        }
    };
    let records: Vec<DeadRecord> = scanned.dead.iter().map(record).collect();
    let first = records.first()?;
    Some(Finding {
        sentence: format!(
            "{} of the dead letters read {} its id or its correlation id; the reason of the first is {}.",
            records.len(),
            if records.len() == 1 { "contains" } else { "contain" },
            first.reason
        ),
        cause: Cause::InDeadLetters { records },
    })
}
