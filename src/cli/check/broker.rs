//! Requests the data that `check` judges from the broker.

use std::time::Duration;

use rdkafka::message::Message as _;

use crate::check::sample::Sample;
use crate::check::{Findings, Level, topics};
use crate::clock;
use crate::config::{Config, Delivery, Preset};
use crate::kafka::permissions::{self, WritePermission};
use crate::kafka::topics::Topics;
use crate::kafka::{Error, clients, groups, reading};
use crate::shutdown::Shutdown;
use crate::time::WallTime;

/// If the timestamp of a record is further ahead of this machine's clock than this, one of the clocks is wrong.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// Runs all checks against the broker. Fails if the broker cannot be reached. A request that it refuses becomes a
/// finding.
pub(super) fn check(config: &Config, sample: u32) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let client = Topics::new(config)?;
    let brokers = match client.brokers() {
        Ok(brokers) => brokers,
        Err(error) => {
            findings.add("broker", Level::Error, error.to_string());
            return Ok(findings);
        }
    };
    let kind = match config.kafka.preset {
        Preset::EventHubs => "Event Hubs",
        Preset::Kafka => "Kafka",
    };
    let servers = &config.kafka.bootstrap_servers;
    let plural = if brokers == 1 { "" } else { "s" };
    findings.add(
        "broker",
        Level::Ok,
        format!("connected to {servers}: {kind}, {brokers} broker{plural}"),
    );
    let sent = clients::message_max_bytes(config);
    let (mut inputs, mut written) = (Vec::new(), Vec::new());
    for (role, topic) in topics::configured(config) {
        let facts = match client.facts(&topic) {
            Err(error @ Error::Hidden { .. }) => {
                findings.add("permissions", Level::Error, error.to_string());
                continue;
            }
            facts => facts?,
        };
        findings.append(topics::judge(config, role, &topic, facts.as_ref(), sent));
        match role {
            _ if facts.is_none() => {}
            topics::Role::Input => inputs.push(topic),
            _ => written.push(topic),
        }
    }
    check_groups(config, &mut findings);
    check_write_permissions(config, &written, &mut findings)?;
    if sample > 0 {
        check_records(config, &client, &inputs, sample, &mut findings);
    }
    Ok(findings)
}

/// Requests the consumer groups, which shows whether the application may use them.
fn check_groups(config: &Config, findings: &mut Findings) {
    for group in groups::names(config) {
        match groups::find(config, &group) {
            Ok(Some(found)) if !found.members.is_empty() => {
                let members = found.members.join(", ");
                findings.add("permissions", Level::Ok, format!("the group {group} has members: {members}"));
            }
            Ok(_) => findings.add(
                "permissions",
                Level::Ok,
                format!("the group {group} may be used; it has no members"),
            ),
            Err(error) => findings.add("permissions", Level::Error, error.to_string()),
        }
    }
}

/// Probes the write permissions with a record that Kafka never accepts.
fn check_write_permissions(config: &Config, topics: &[String], findings: &mut Findings) -> Result<(), Error> {
    if config.kafka.preset == Preset::EventHubs {
        findings.add(
            "permissions",
            Level::Note,
            "the write permission was not probed: Send is needed on every topic but the inputs".to_owned(),
        );
        return Ok(());
    }
    let mut writable = Vec::new();
    // The dead-letter topic is probed first, because an accepted record would do the least harm there.
    for topic in topics.iter().rev() {
        match permissions::probe_write(config, topic)? {
            WritePermission::Granted => writable.push(topic.as_str()),
            WritePermission::Denied => findings.add(
                "permissions",
                Level::Error,
                format!("no permission to write to {topic}; grant Write on it to this principal"),
            ),
            WritePermission::Unknown(cause) => findings.add(
                "permissions",
                Level::Warning,
                format!("cannot determine whether {topic} may be written to: {cause}"),
            ),
            WritePermission::ProbeAccepted => {
                findings.add(
                    "permissions",
                    Level::Warning,
                    format!("the broker accepted the record that probed the write permission for {topic}, which Kafka refuses: the topic now has a record without key and value; no further topic was probed"),
                );
                return Ok(());
            }
        }
    }
    if !writable.is_empty() {
        findings.add("permissions", Level::Ok, format!("{} may be written to", writable.join(", ")));
    }
    if config.output.delivery == Delivery::ExactlyOnce {
        match permissions::probe_transactions(config) {
            Ok(()) => findings.add("permissions", Level::Ok, "transactions may be used".to_owned()),
            Err(error) => findings.add("permissions", Level::Error, error.to_string()),
        }
    }
    Ok(())
}

/// Reads the newest messages of the input topics and adds the findings about them.
fn check_records(config: &Config, topics: &Topics<'_>, inputs: &[String], sample: u32, findings: &mut Findings) {
    let now = clock::now();
    let mut sampled = Sample::new(config, now).with_links();
    let mut latest = WallTime(i64::MIN);
    for topic in inputs {
        let read = topics.extent(topic).and_then(|extent| {
            let Some(mut extent) = extent else { return Ok(0) };
            let each = i64::from(sample)
                .div_euclid(i64::try_from(extent.partitions.len()).unwrap_or(1).max(1))
                .max(1);
            for (low, high) in extent.partitions.values_mut() {
                *low = (*high - each).max(*low);
            }
            reading::read::<Error>(config, "check", &extent, &Shutdown::default(), &mut |message| {
                let timestamp = message.timestamp().to_millis().map(WallTime);
                sampled.message(topic, message.partition(), message.payload(), timestamp);
                latest = latest.max(timestamp.unwrap_or(latest));
                Ok(())
            })?;
            Ok(extent.len())
        });
        match read {
            Ok(0) => findings.add(
                "records",
                Level::Note,
                format!("{topic} is empty, so there are no records to check"),
            ),
            Ok(_) => {}
            Err(error) => findings.add("permissions", Level::Error, error.to_string()),
        }
    }
    let ahead = latest.since(now);
    if ahead > MAX_CLOCK_DIFFERENCE {
        let ahead = crate::words::duration(Duration::from_secs(ahead.as_secs()));
        findings.add(
            "broker",
            Level::Warning,
            format!("the timestamp of the newest record is {ahead} ahead of this machine's clock: one of the clocks is wrong, and without traffic alerts close by this machine's clock"),
        );
    }
    findings.append(sampled.findings());
}
