//! Judges topics.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Findings, Level};
use crate::config::{Config, Delivery};
use crate::words::duration;

/// The time by which the repartition topic must keep its records longer than `state.retention`. A rebuild reads it from
/// the beginning, which takes time.
pub const RETENTION_MARGIN: Duration = Duration::from_secs(2 * 86_400);

/// The role of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// An input topic.
    Input,
    /// The repartition topic between the stages.
    Repartition,
    /// The topic of rows.
    Output,
    /// The topic of summaries.
    Summaries,
    /// The topic of dead-letter records.
    DeadLetters,
}

impl Role {
    /// Returns the name of the role for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Repartition => "repartition",
            Self::Output => "output",
            Self::Summaries => "summaries",
            Self::DeadLetters => "dead letters",
        }
    }

    /// Returns the setting that names the topic.
    pub fn key(self) -> &'static str {
        match self {
            Self::Input => "input.topics",
            Self::Repartition => "repartition.topic",
            Self::Output => "output.topic",
            Self::Summaries => "output.summary_topic",
            Self::DeadLetters => "output.dead_letter_topic",
        }
    }
}

/// Returns the topics that a configuration names, each with its role.
pub fn configured(config: &Config) -> Vec<(Role, String)> {
    let inputs = config.input.topics.iter().map(|topic| (Role::Input, topic.clone()));
    let mut topics: Vec<_> = inputs.collect();
    topics.push((Role::Repartition, config.repartition.topic.clone()));
    topics.push((Role::Output, config.output.topic.clone()));
    topics.extend(config.output.summary_topic.clone().map(|topic| (Role::Summaries, topic)));
    topics.push((Role::DeadLetters, config.output.dead_letter_topic.clone()));
    topics
}

/// A broker's description of a topic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The number of its partitions.
    pub partitions: u32,
    /// The lowest number of replicas of a partition.
    pub replicas: u32,
    /// Its settings, or `None` if the broker does not report them.
    pub settings: Option<BTreeMap<String, String>>,
}

impl Facts {
    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref()?.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.parse().ok()
    }
}

/// Returns whether a topic loses records to compaction.
pub fn is_compacted(policy: &str) -> bool {
    policy.contains("compact")
}

/// Judges a topic; `facts` is `None` if it does not exist. `sent` is the size in bytes of the largest message that the
/// producer sends.
pub fn judge(config: &Config, role: Role, topic: &str, facts: Option<&Facts>, sent: usize) -> Findings {
    let mut findings = Findings::default();
    let mut add = |level, text: String| findings.add("topics", level, text);
    let Some(facts) = facts else {
        match role {
            Role::Repartition => add(
                Level::Note,
                format!("{topic} (repartition) does not exist; the first start creates it, or `alerttrail topics create`"),
            ),
            role => add(
                Level::Error,
                format!(
                    "{topic} ({}) does not exist; create it with `alerttrail topics create{}`, or correct {}",
                    role.name(),
                    if role == Role::Input { " --with-inputs" } else { "" },
                    role.key()
                ),
            ),
        }
        return findings;
    };
    let partitions = facts.partitions;
    let plural = if partitions == 1 { "" } else { "s" };
    add(
        Level::Ok,
        format!("{topic} ({}): {partitions} partition{plural}", role.name()),
    );
    if role == Role::Repartition && partitions != config.repartition.partitions {
        add(
            Level::Error,
            format!(
                "{topic} has {partitions} partition{plural} and repartition.partitions is {}; if nothing has been joined yet, set it to {partitions}; otherwise start over with `alerttrail reset` or another application.id",
                config.repartition.partitions
            ),
        );
    }
    if facts.settings.is_none() {
        add(
            Level::Note,
            format!(
                "the broker does not report the settings of {topic}; the permission to describe its configuration would show them"
            ),
        );
    }
    if role != Role::Input
        && let Some(policy) = facts.setting("cleanup.policy").filter(|policy| is_compacted(policy))
    {
        let level = match role {
            Role::Output | Role::Repartition => Level::Error,
            _ => Level::Warning,
        };
        add(
            level,
            format!(
                "{topic} has cleanup.policy={policy}, which keeps one record of each key; set cleanup.policy=delete or use another topic"
            ),
        );
    }
    if role == Role::Repartition {
        judge_retention(config, topic, facts, &mut add);
    }
    if role != Role::Input
        && let Some(accepted) = facts
            .number("max.message.bytes")
            .and_then(|bytes| usize::try_from(bytes).ok())
        && accepted < sent
    {
        add(
            Level::Warning,
            format!(
                "{topic} accepts messages of at most {accepted} bytes, the producer sends up to {sent}; larger records are truncated or become dead letters: raise the topic's max.message.bytes to keep them whole"
            ),
        );
    }
    let min_replicas = facts.number("min.insync.replicas").unwrap_or(1);
    if role != Role::Input && facts.replicas == 1 {
        add(
            Level::Note,
            format!(
                "{topic} has one replica only, so its records are lost with that broker; for production, create it with --replication 3"
            ),
        );
    } else if role != Role::Input && config.output.delivery == Delivery::ExactlyOnce && min_replicas < 2 {
        add(
            Level::Note,
            format!(
                "{topic} has min.insync.replicas={min_replicas}: an acknowledged record may be on one broker only; 2 is usual for production"
            ),
        );
    }
    findings
}

fn judge_retention(config: &Config, topic: &str, facts: &Facts, add: &mut dyn FnMut(Level, String)) {
    let needed = config.state.retention + RETENTION_MARGIN;
    let kept = facts.number("retention.ms").and_then(|millis| u64::try_from(millis).ok());
    if let Some(kept) = kept.map(Duration::from_millis).filter(|kept| *kept < needed) {
        add(Level::Warning, short_retention(topic, kept, needed));
    }
    if let Some(bytes) = facts.number("retention.bytes").filter(|bytes| *bytes >= 0) {
        add(
            Level::Warning,
            format!(
                "{topic} keeps at most {bytes} bytes per partition, and a lost store cannot be rebuilt from removed records; remove retention.bytes, or make sure that it covers state.retention plus two days"
            ),
        );
    }
}

/// Returns the warning about a repartition topic with a short retention.
pub fn short_retention(topic: &str, kept: Duration, needed: Duration) -> String {
    let (kept, needed) = (duration(kept), duration(needed));
    format!(
        "{topic} keeps its records for {kept}, but state.retention plus two days is {needed}: a lost store cannot be rebuilt completely; raise the topic's retention.ms or lower state.retention"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_text("test", text, std::iter::empty()).unwrap()
    }

    fn facts(partitions: u32, settings: &[(&str, &str)]) -> Facts {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Facts {
            partitions,
            replicas: 3,
            settings: Some(settings.collect()),
        }
    }

    fn judged(role: Role, facts: Option<&Facts>) -> Vec<(Level, String)> {
        let findings = judge(&config("state.retention = \"3d\""), role, "t", facts, 1_000_000);
        findings.iter().map(|finding| (finding.level, finding.text.clone())).collect()
    }

    fn only(role: Role, facts: &Facts) -> (Level, String) {
        let mut found = judged(role, Some(facts));
        found.retain(|(level, _)| *level != Level::Ok);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_correct_topic_has_one_finding() {
        let repartition = facts(
            8,
            &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "432000000"),
                ("retention.bytes", "-1"),
            ],
        );
        assert_eq!(
            judged(Role::Repartition, Some(&repartition)),
            [(Level::Ok, "t (repartition): 8 partitions".to_owned())]
        );
        assert_eq!(
            judged(Role::Input, Some(&facts(1, &[("cleanup.policy", "compact")]))).len(),
            1
        );
    }

    #[test]
    fn a_missing_topic_is_an_error_unless_it_is_the_repartition_topic() {
        for role in [Role::Input, Role::Output, Role::Summaries, Role::DeadLetters] {
            let found = judged(role, None);
            assert_eq!(found[0].0, Level::Error);
            assert!(
                found[0].1.contains("does not exist") && found[0].1.contains(role.key()),
                "{found:?}"
            );
        }
        assert_eq!(judged(Role::Repartition, None)[0].0, Level::Note);
    }

    #[test]
    fn the_repartition_topic_needs_its_partitions_and_enough_retention() {
        let (level, text) = only(Role::Repartition, &facts(4, &[]));
        assert!(
            level == Level::Error && text.contains("4 partitions and repartition.partitions is 8"),
            "{text}"
        );
        let (level, text) = only(Role::Repartition, &facts(8, &[("retention.ms", "431999999")]));
        assert!(
            level == Level::Warning && text.contains("state.retention plus two days is 5 days"),
            "{text}"
        );
        let (level, text) = only(Role::Repartition, &facts(8, &[("retention.bytes", "1073741824")]));
        assert!(level == Level::Warning && text.contains("remove retention.bytes"), "{text}");
        assert_eq!(
            only(Role::Repartition, &facts(8, &[("cleanup.policy", "compact,delete")])).0,
            Level::Error
        );
    }

    #[test]
    fn compaction_small_messages_and_single_replicas_are_reported() {
        assert_eq!(
            only(Role::Output, &facts(1, &[("cleanup.policy", "compact")])).0,
            Level::Error
        );
        assert_eq!(
            only(Role::DeadLetters, &facts(1, &[("cleanup.policy", "compact")])).0,
            Level::Warning
        );
        let (level, text) = only(Role::Output, &facts(1, &[("max.message.bytes", "20000")]));
        assert!(level == Level::Warning && text.contains("at most 20000 bytes"), "{text}");
        let single = Facts {
            replicas: 1,
            ..facts(1, &[])
        };
        assert_eq!(only(Role::Output, &single).0, Level::Note);
        let no_settings = Facts {
            settings: None,
            ..facts(1, &[])
        };
        assert!(only(Role::Output, &no_settings).1.contains("does not report the settings"));
        let exactly_once = config("output.delivery = \"exactly_once\"");
        let found = judge(
            &exactly_once,
            Role::Output,
            "t",
            Some(&facts(1, &[("min.insync.replicas", "1")])),
            1,
        );
        assert_eq!(found.count(Level::Note), 1);
    }

    #[test]
    fn every_topic_of_a_configuration_is_named_once() {
        let named = configured(&config("input.topics = [\"a\", \"b\"]\noutput.summary_topic = \"s\""));
        let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "a",
                "b",
                "alerttrail-correlation-repartition",
                "alert-activities",
                "s",
                "alerttrail-dead-letters"
            ]
        );
    }
}
