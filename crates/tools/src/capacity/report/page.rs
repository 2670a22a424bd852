//! Builds the page.

use std::time::Duration;

use bytesize::ByteSize;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot::{Mark, Plot};
use super::plots;
use crate::capacity::oracle::Judgement;
use crate::capacity::result::{Report, Step};
use crate::capacity::verdict;

const STYLE: &str = include_str!("style.css");

pub(super) fn page(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "alerttrail capacity: " (headline(report).0) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(report))
                    @if let Some(step) = representative(report) { (figures(report, step)) }
                    (main_plots(report))
                    h2 { "Trials" }
                    (trials(report))
                    h2 { "Over time" }
                    p.note { "The tinted part is the hold. Everything before it is warm-up and does not count." }
                    @for step in &report.steps { (over_time(report, step)) }
                    h2 { "How it was measured" }
                    (facts(report))
                    h2 { "What the figures mean" }
                    (words())
                    footer {
                        "alerttrail " (report.version) ", " (report.schema) ", started " (report.started) ", took "
                        (span(report.seconds)) ". The JSON file next to this page contains every figure."
                    }
                }
            }
        }
    }
}

/// Returns the result in large letters, and the rest of the sentence.
fn headline(report: &Report) -> (String, String) {
    if let Some(found) = report.found {
        let spread = match found.runs {
            1 => "one run, spread unknown".to_owned(),
            runs => format!("median of {runs} runs, {} to {}", grouped(found.low), grouped(found.high)),
        };
        let bound = if found.bounded {
            ""
        } else {
            "; no higher rate failed, so more may be possible"
        };
        return (
            format!("{} records/s", grouped(found.rate)),
            format!("sustained ({spread}{bound})"),
        );
    }
    match report.steps.as_slice() {
        [step] => {
            let word = match (report.settings.shape.as_str(), step.is_sustained()) {
                ("constant" | "soak", true) => "sustained",
                (_, true) => "passed",
                (_, false) => "not sustained",
            };
            (
                format!("{} records/s", grouped(step.rate)),
                format!("{}: {word}", report.settings.shape),
            )
        }
        [] => ("Nothing was measured".to_owned(), String::new()),
        _ => ("No rate was sustained".to_owned(), String::new()),
    }
}

/// Returns the trial whose figures represent the test: at the sustained rate, the middle one by latency. Without such a
/// trial, returns the last one.
fn representative(report: &Report) -> Option<&Step> {
    let Some(found) = report.found else {
        return report.steps.last();
    };
    let at_rate = |step: &&Step| step.is_sustained() && (step.rate / found.rate - 1.0).abs() < 1e-3;
    let mut steps: Vec<&Step> = report.steps.iter().filter(at_rate).collect();
    steps.sort_by(|a, b| a.close.p99.total_cmp(&b.close.p99));
    steps
        .get(steps.len() / 2)
        .copied()
        .or_else(|| report.steps.iter().rfind(|step| step.is_sustained()))
}

fn head(report: &Report) -> Markup {
    let (large, small) = headline(report);
    let settings = &report.settings;
    html! {
        header {
            h1 { "alerttrail capacity" }
            p.verdict { (large) " " small { (small) } }
            (answer_badge(report.answer, report.steps.len()))
            @if report.interrupted { span.badge.bad { "Interrupted: the results are incomplete" } }
            p {
                (settings.instances) @if settings.instances == 1 { " processor" } @else { " processors" }
                ", " (settings.delivery.replace('_', " ")) ", on " (report.machine.cores) " cores; records of "
                (ByteSize(settings.record_size as u64).display().si()) ", " (percent(settings.keyed_share))
                " with a correlation id, " (settings.alerts_per_second) " alerts/s with windows of " (span(settings.window)) "."
                @if let Some(every) = settings.kill_every { " A processor was killed every " (span(every)) "." }
                @if settings.broker == "embedded" {
                    " The broker was the embedded one, which shares the driver's process and keeps 5 MiB per partition: the figures are a first impression only."
                }
            }
            @if let [step] = report.steps.as_slice() { @for failure in &step.failures { p.bad { (failure) } } }
        }
    }
}

fn answer_badge(answer: Judgement, trials: usize) -> Markup {
    let pairs = grouped(answer.pairs as f64);
    html! {
        @match answer.exact {
            Some(true) => { span.badge.good { "Output exact: " (pairs) " pairs of " (grouped(answer.alerts as f64)) " alerts, none missing, none unexpected" } }
            Some(false) => { span.badge.bad { "Output wrong: " (answer.missing) " missing, " (answer.unexpected) " unexpected, " (answer.repeated) " repeated, of " (pairs) " pairs" } }
            None => { span.badge.open { @if trials == 0 { "No output to check" } @else { "Output not judged" } } }
        }
        @if answer.exact == Some(true) && answer.repeated > 0 {
            span.badge.open { (grouped(answer.repeated as f64)) " rows were repeated, which at-least-once delivery allows" }
        }
    }
}

fn figures(report: &Report, step: &Step) -> Markup {
    let limits = report.settings.limits;
    let card = |name: &str, value: String, small: String| {
        html! { div { dt { (name) } dd { (value) small { (small) } } } }
    };
    html! {
        dl.figures {
            (card("Close latency, p99", millis(step.close.p99), format!("p50 {}, limit {}", millis(step.close.p50), millis(limits.p99_ms))))
            (card("Ingest latency, p99", millis(step.ingest.p99), format!("p50 {}", millis(step.ingest.p50))))
            (card("CPU per million", step.cpu_seconds_per_million.map_or_else(not_measured, |cpu| format!("{cpu:.1} s")), "of the processors".to_owned()))
            (card("Memory, peak", step.memory_peak.map_or_else(not_measured, bytes), format!("of one processor, limit {}", bytes(limits.memory))))
            (card("State", bytes(step.state_bytes), format!("after {} records", grouped(step.messages as f64))))
            @if let Some(catch_up) = step.catch_up { (card("Caught up after", format!("{catch_up:.1} s"), "of the end of the disturbance".to_owned())) }
            @if let Some(rate) = step.fell_behind_at { (card("Fell behind at", format!("{}/s", grouped(rate)), "offered in the ramp".to_owned())) }
        }
        @if report.steps.len() > 1 { p.note { "Figures of trial " (step.number) ", the median trial at that rate." } }
    }
}

fn main_plots(report: &Report) -> Markup {
    let saturation = plots::saturation(report);
    let step = representative(report);
    let percentiles = step.and_then(plots::percentiles);
    let over = step.and_then(|step| plots::latency_over_time(step, report.settings.limits.p99_ms, Some((530, 300))));
    html! {
        @if !saturation.is_empty() {
            h2 { "Saturation" }
            div.plots { @for plot in &saturation { (figure(plot, None)) } }
        }
        @if percentiles.is_some() || over.is_some() {
            h2 { "Latency" @if let (Some(step), true) = (step, report.steps.len() > 1) { " of trial " (step.number) } }
            div.plots { @for plot in percentiles.iter().chain(&over) { (figure(plot, None)) } }
        }
    }
}

fn figure(plot: &Plot, title: Option<&str>) -> Markup {
    html! {
        figure {
            figcaption {
                b { (title.unwrap_or(&plot.title)) }
                @for series in plot.series.iter().filter(|series| !series.points.is_empty()) {
                    @let class = match series.mark { Mark::Line => "line", Mark::Dashes => "dashes", Mark::Dots => "dots", Mark::Rings => "rings" };
                    span.key { i class=(class) style=(format!("--c: var({})", series.ink.variable())) {} (series.name) }
                }
            }
            (PreEscaped(plot.svg()))
        }
    }
}

fn trials(report: &Report) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr {
                    th { "#" } th.text { "For" } th { "Offered/s" } th { "Read/s" } th { "Close p50" } th { "p99" } th { "Ingest p99" }
                    th { "Max lag" } th { "CPU s/M" } th { "Memory" } th.text { "Output" } th.text { "Verdict" }
                } }
                tbody {
                    @for step in &report.steps {
                        tr {
                            td { (step.number) }
                            td.text { (verdict::name(step.purpose)) }
                            td { (grouped(step.offered)) } td { (grouped(step.achieved)) }
                            td { (millis(step.close.p50)) } td { (millis(step.close.p99)) } td { (millis(step.ingest.p99)) }
                            td { (grouped(step.lag_max)) }
                            td { (step.cpu_seconds_per_million.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}"))) }
                            td { (step.memory_peak.map_or_else(|| "-".to_owned(), bytes)) }
                            td.text { (answer(step.answer)) }
                            td.text.long {
                                @if step.is_sustained() { span.good { "sustained" } } @else { span.bad { (step.failures.join("; ")) } }
                                @for note in &step.notes { div.note { (note) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn answer(answer: Judgement) -> Markup {
    html! {
        @match answer.exact {
            Some(true) => { span.good { "exact" } " (" (grouped(answer.pairs as f64)) ")" }
            Some(false) => { span.bad { "wrong" } }
            None => { span.open { "not judged" } }
        }
    }
}

fn over_time(report: &Report, step: &Step) -> Markup {
    // The page shows the representative trial expanded, and also one that shows an overload.
    let is_worst = report
        .steps
        .iter()
        .find(|step| !step.is_sustained())
        .is_some_and(|worst| worst.number == step.number);
    let is_representative = representative(report).is_some_and(|chosen| chosen.number == step.number);
    let plots = plots::over_time(step, report.settings.limits.p99_ms);
    html! {
        details open[is_worst || is_representative] {
            summary {
                "Trial " (step.number) ": " (grouped(step.offered)) " records/s "
                span { "for the " (verdict::name(step.purpose)) ", " @if step.is_sustained() { "sustained" } @else { "not sustained" } }
            }
            div.plots.three {
                @for plot in &plots { (figure(plot, plot.title.split(" of trial").next())) }
            }
        }
    }
}

fn facts(report: &Report) -> Markup {
    let (settings, machine) = (&report.settings, &report.machine);
    let row = |name: &str, value: String| html! { tr { td { (name) } td { (value) } } };
    html! {
        div.facts {
            table {
                (row("Shape", settings.shape.clone()))
                (row("Warm-up, hold", format!("{}, {}", span(settings.warm_up), span(settings.hold))))
                (row("Precision", percent(settings.precision)))
                (row("Limits", format!("p99 {}, memory {}", millis(settings.limits.p99_ms), bytes(settings.limits.memory))))
                (row("Records", format!("{}, {:.0} bytes on average", settings.records, settings.record_size)))
                (row("Correlation ids", format!("{} policies, {} of the activities", settings.policies, percent(settings.keyed_share))))
                (row("Alerts", format!("{}/s, windows of {}", settings.alerts_per_second, span(settings.window))))
                (row("Seed", settings.seed.to_string()))
                @if let Some(every) = settings.kill_every { (row("A processor is killed every", span(every))) }
                @if let Some(outage) = settings.outage { (row("Outage", span(outage))) }
            }
            table {
                (row("Broker", settings.broker.clone()))
                (row("Partitions", format!("{} of activities, {} of the repartition topic", settings.partitions, settings.log_partitions)))
                (row("Processors", format!("{}, {}", settings.instances, settings.delivery)))
                (row("Watermark", format!("every {}, out of order up to {}", millis(settings.watermark_interval_ms), millis(settings.out_of_orderness_ms))))
                (row("Cores", format!("{} ({})", machine.cores, machine.cpu)))
                (row("Memory", bytes(machine.memory)))
                (row("System", machine.system.clone()))
                @if let Some(load) = machine.load { (row("Load before the test", format!("{load:.2}"))) }
                (row("Version", report.version.clone()))
            }
        }
    }
}

fn words() -> Markup {
    let word = |name: &str, text: &str| html! { dt { (name) } dd { (text) } };
    html! {
        dl.words {
            (word("Sustained", "During the whole hold the lag did not grow beyond its noise, the 99th percentile of the close latency and the memory stayed within their limits, the broker refused no message, and the output was exact. If processors are killed or the load changes, latency and lag are expected to rise and do not count."))
            (word("Offered, read", "Messages that were due according to the schedule, and messages that the processor read, during the hold. A message is one record."))
            (word("Close latency", "From the time when the message that moved the watermark past an alert's end was due, to the time when each of its rows was read back from the output topic. It is measured from the schedule, so it includes the time that a message had to wait."))
            (word("Ingest latency", "From the time when an activity with a correlation id was due, to the time when it was read back from the repartition topic."))
            (word("Lag", "Messages that are due and not read yet, and records of the repartition topic that are not applied yet."))
            (word("Output", "The expected pairs of alerts and activities are computed from what was sent, and compared with the output topic, folded by id."))
        }
    }
}

/// Formats digits in groups of three.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn millis(millis: f64) -> String {
    match millis {
        m if m <= 0.0 => "-".to_owned(),
        m if m < 10.0 => format!("{m:.1} ms"),
        m if m < 10_000.0 => format!("{m:.0} ms"),
        m => format!("{:.1} s", m / 1_000.0),
    }
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1_000.0).round() / 10.0)
}

fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn span(seconds: f64) -> String {
    // Whole milliseconds are precise enough for readers.
    let millis = (seconds * 1_000.0).round();
    let millis = if seconds > 60.0 { (seconds).round() * 1_000.0 } else { millis };
    crate::words::duration(Duration::from_millis(millis.max(0.0) as u64))
}

fn not_measured() -> String {
    "not measured".to_owned()
}
