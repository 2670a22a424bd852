//! Elastic Common Schema 8. A row is an `event`, a summary an `alert`, and a retraction a `state`, which no rule about
//! events or alerts reads.
//!
//! What the native format contains besides the rows is in `alerttrail`. The rows are strings with their original bytes:
//! otherwise Elasticsearch would infer a mapping for each of their columns, and would reject the next record that has
//! another type there.

use super::OutputRecord;
use super::columns::Columns;
use super::facts::{self, Severity};
use super::native;
use super::object::Object;
use crate::join::{Op, Output, Row, Summary};

const VERSION: &str = "8.17.0";

pub(super) fn write(record: &OutputRecord<'_>, out: &mut Vec<u8>) {
    Object::write(out, |document| {
        let alert = Columns::new(record.alert.unwrap_or_default());
        match (record.output, record.activity) {
            (Output::Row(row), Some(activity)) => write_activity(record, row, activity, &alert, document),
            (Output::Row(row), None) => write_retraction(row.time.to_string(), "activity", document),
            (Output::Summary(summary), _) if summary.op == Op::Delete => {
                write_retraction(facts::time_of(summary, &alert).to_string(), "alert", document);
            }
            (Output::Summary(summary), _) => write_alert(record, summary, &alert, document),
        }
        document.object("ecs", |ecs| ecs.text("version", VERSION));
        if !record.tenant().is_empty() {
            document.object("organization", |organization| organization.text("id", record.tenant()));
        }
        let own = document.member(b"alerttrail");
        native::write_facts(record.output, record.headers, record.links, record.how, own);
        if let (Some(alert), Some(_)) = (record.alert, record.activity) {
            own.extend_from_slice(br#","alert":"#);
            crate::json::write_string(alert, own);
        }
        own.push(b'}');
    });
}

fn write_activity(record: &OutputRecord<'_>, row: &Row, original: &[u8], alert: &Columns<'_>, document: &mut Object<'_>) {
    let activity = Columns::new(original);
    document.text("@timestamp", row.time.to_string());
    document.object("event", |event| {
        event.text("kind", "event");
        event.text("module", "alerttrail");
        event.text("dataset", "alerttrail.activity");
        event.json_if("id", activity.id("ReportId"));
        event.json_if("action", activity.literal("ActionType"));
        event.json_if("provider", activity.literal("AuditSource"));
        event.text("original", original);
    });
    let account = activity.text("AccountId");
    document.object("user", |user| {
        user.json_if("id", activity.id("AccountObjectId"));
        user.json_if("name", activity.id("AccountId"));
        user.json_if("full_name", activity.literal("AccountDisplayName"));
        if let Some(account) = account.as_ref().filter(|account| account.contains('@')) {
            user.text("email", account);
        }
    });
    let address = facts::address(&activity).map(|address| address.to_string());
    document.object("source", |source| {
        source.json_if("address", activity.literal("IPAddress"));
        if let Some(address) = &address {
            source.text("ip", address);
        }
        source.object("as", |system| {
            system.object("organization", |organization| {
                organization.json_if("name", facts::isp(&activity));
            });
        });
        source.object("geo", |geo| {
            geo.json_if("country_iso_code", activity.literal("CountryCode"));
            geo.json_if("city_name", activity.literal("City"));
        });
    });
    document.object("service", |service| {
        service.json_if("name", activity.literal("Application"));
        service.json_if("id", activity.id("ApplicationId"));
    });
    document.object("user_agent", |agent| {
        agent.json_if("original", activity.literal("UserAgent"));
        agent.object("os", |os| os.json_if("name", activity.literal("OSPlatform")));
    });
    document.object("related", |related| {
        if let Some(address) = &address {
            write_strings("ip", [address], related);
        }
        if let Some(account) = &account {
            write_strings("user", [account], related);
        }
    });
    write_rule(alert, document);
    debug_assert!(record.alert.is_some(), "an activity comes with its alert");
}

fn write_alert(record: &OutputRecord<'_>, summary: &Summary, alert: &Columns<'_>, document: &mut Object<'_>) {
    let (start, end) = native::bounds(summary.window, record.links.widening(summary.key.link));
    document.text("@timestamp", facts::time_of(summary, alert).to_string());
    document.json_if("message", alert.literal("Description").or_else(|| alert.literal("AlertName")));
    document.object("event", |event| {
        event.text("kind", "alert");
        event.text("module", "alerttrail");
        event.text("dataset", "alerttrail.alert");
        event.text("id", summary.alert.system_alert_id.as_bytes());
        event.text("start", start.to_string());
        event.text("end", end.to_string());
        event.json_if("provider", alert.literal("ProviderName"));
        event.json_if("url", alert.literal("AlertLink"));
        if let Some(created) = facts::time(alert, "ProcessingEndTime") {
            event.text("created", created.to_string());
        }
        match Severity::new(alert) {
            Severity::Unknown | Severity::Other => {}
            severity => event.plain("severity", severity.number()),
        }
        if let Some(row) = record.alert {
            event.text("original", row);
        }
    });
    document.object("observer", |observer| {
        observer.json_if("vendor", alert.literal("VendorName"));
        observer.json_if("product", alert.literal("ProductName"));
    });
    document.object("threat", |threat| {
        threat.object("tactic", |tactic| {
            write_strings("name", facts::items(alert, "Tactics"), tactic)
        });
        threat.object("technique", |technique| {
            write_strings("id", facts::items(alert, "Techniques"), technique);
        });
    });
    write_rule(alert, document);
}

fn write_rule(alert: &Columns<'_>, document: &mut Object<'_>) {
    document.object("rule", |rule| {
        rule.json_if("id", alert.id("AlertType"));
        rule.json_if("name", alert.literal("AlertName").or_else(|| alert.literal("DisplayName")));
    });
}

/// Writes a retraction. It contains nothing that a rule could look for: no user, no address, no rule, and no action of
/// the vendor.
fn write_retraction(time: String, of: &str, document: &mut Object<'_>) {
    document.text("@timestamp", time);
    document.object("event", |event| {
        event.text("kind", "state");
        event.text("module", "alerttrail");
        event.text("dataset", format!("alerttrail.{of}"));
        event.text("action", "alerttrail-retract");
    });
}

fn write_strings(name: &str, items: impl IntoIterator<Item = impl AsRef<[u8]>>, object: &mut Object<'_>) {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return;
    }
    let out = object.member(name.as_bytes());
    let mut before = b'[';
    for item in items {
        out.push(before);
        crate::json::write_string(item.as_ref(), out);
        before = b',';
    }
    out.push(b']');
}
