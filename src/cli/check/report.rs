//! The output of `check`, as text or as JSON.

use std::io::IsTerminal as _;

use serde_json::json;

use super::super::eprint_line;
use super::super::{counted, mask, out, print_line};
use crate::check::{Findings, Level};
use crate::config::{Config, link_preset};
use crate::words::duration;

/// Prints text as the checks proceed, or JSON at the end.
pub(super) struct Report {
    file: String,
    settings: Vec<(&'static str, String)>,
    /// The presets, each with its links as TOML.
    presets: Vec<(String, &'static str)>,
    findings: Findings,
    json: bool,
    broker_checked: bool,
}

impl Report {
    pub(super) fn new(file: &str, config: &Config, json: bool) -> Self {
        Self {
            file: file.to_owned(),
            settings: settings(config),
            presets: presets(config),
            findings: Findings::default(),
            json,
            broker_checked: false,
        }
    }

    pub(super) fn add(&mut self, section: &'static str, level: Level, text: String) {
        if !self.json {
            eprint_line(&format!("warning: {text}"));
        }
        self.findings.add(section, level, text);
    }

    /// Prints the settings of the file.
    pub(super) fn begin(&self) {
        if self.json {
            return;
        }
        print_line(&format!("{} is valid.", self.file));
        for (name, value) in &self.settings {
            print_line(&format!("  {name:<12} {value}"));
        }
        for (name, links) in &self.presets {
            print_line(&format!(
                "The preset {name:?} adds these links. To change them, copy them into the file and remove {name:?} from correlation.presets:\n\n{links}"
            ));
        }
    }

    /// Shows a user at a terminal which request the command waits for.
    pub(super) fn wait(&mut self, what: &str) {
        self.broker_checked = true;
        if !self.json && std::io::stderr().is_terminal() {
            eprint_line(&format!("{what} …"));
        }
    }

    /// Prints the findings about the broker.
    pub(super) fn take(&mut self, findings: Findings) {
        if !self.json {
            let mut section = "";
            for finding in findings.iter() {
                if finding.section != section {
                    section = finding.section;
                    print_line(&format!("{section}:"));
                }
                out::print_coloured_line(&format!(
                    "  {:<8} {}",
                    self.word(finding.level),
                    mask::printable(&finding.text, mask::Lines::One)
                ));
            }
        }
        self.findings.append(findings);
    }

    pub(super) fn end(&self) {
        if self.json {
            let settings: serde_json::Map<_, _> = self
                .settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            let mut document = json!({
                "file": self.file,
                "settings": settings,
                "broker_asked": self.broker_checked,
                "ok": self.errors() == 0,
                "findings": self.findings,
            });
            if !self.presets.is_empty() {
                let presets = self.presets.iter().map(|(name, links)| (name.clone(), json!(links)));
                document["presets"] = presets.collect::<serde_json::Map<_, _>>().into();
            }
            out::document(&format!("{document:#}"));
        } else if !self.broker_checked {
            print_line("The file was checked; the broker was not contacted.");
        } else if self.errors() == 0 {
            let warnings = self.findings.count(Level::Warning);
            match warnings {
                0 => print_line("It will work."),
                1 => print_line("It will work, with one warning."),
                warnings => print_line(&format!("It will work, with {warnings} warnings.")),
            }
        }
    }

    pub(super) fn errors(&self) -> usize {
        self.findings.count(Level::Error)
    }

    /// Returns the word for a level, coloured on a terminal. It is padded first, because colour escapes have no width.
    fn word(&self, level: Level) -> String {
        let (word, color) = match level {
            Level::Ok => ("ok", "32"),
            Level::Note => ("note", "36"),
            Level::Warning => ("warning", "33"),
            Level::Error => ("error", "31"),
        };
        match std::io::stdout().is_terminal() {
            true => format!("\x1b[{color}m{word:<8}\x1b[0m"),
            false => word.to_owned(),
        }
    }
}

fn settings(config: &Config) -> Vec<(&'static str, String)> {
    let widening = config.decode.widening;
    let bounds = widening.bounds.as_str();
    let mut settings = vec![
        ("application", config.application.id.clone()),
        ("broker", config.kafka.bootstrap_servers.clone()),
        ("reads", config.input.topics.join(", ")),
        (
            "through",
            format!(
                "{} ({})",
                config.repartition.topic,
                counted(config.repartition.partitions.into(), "partition")
            ),
        ),
        ("writes", config.output.topic.clone()),
    ];
    settings.extend(config.output.summary_topic.clone().map(|topic| ("summaries", topic)));
    settings.extend([
        ("dead letters", config.output.dead_letter_topic.clone()),
        (
            "state",
            format!(
                "{}, {} kept, {} MB of memory",
                config.state.dir.join(&config.application.id).display(),
                duration(config.state.retention),
                config.state.memory / 1_000_000
            ),
        ),
        (
            "watermark",
            format!(
                "{} out of orderness, partitions idle after {}, alerts wait at most {}",
                duration(config.watermark.out_of_orderness),
                duration(config.watermark.idle_timeout),
                duration(config.watermark.max_wait)
            ),
        ),
        (
            "windows",
            format!(
                "{bounds} bounds, {} before, {} after",
                duration(widening.before),
                duration(widening.after)
            ),
        ),
    ]);
    if !config.decode.links.is_empty() {
        let names: Vec<String> = config.decode.all_links().map(|(_, link)| link.name).collect();
        settings.push(("links", names.join(", ")));
    }
    settings
}

fn presets(config: &Config) -> Vec<(String, &'static str)> {
    let links = |name: &String| Some((name.clone(), link_preset(name)?));
    config.presets.iter().filter_map(links).collect()
}
