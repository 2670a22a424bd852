//! Open Cybersecurity Schema Framework 1.8. A row is an API Activity (6003), a summary a Data Security Finding (2006).
//! The retraction of a row is a Base Event (0), which no rule about activities or findings reads; the retraction of a
//! summary is the same finding, closed and deleted. The record of the native format is in `unmapped.alerttrail`, with
//! the original bytes of the rows.

use super::OutputRecord;
use super::columns::Columns;
use super::facts::{self, Severity};
use super::native;
use super::object::Object;
use crate::join::{Op, Output, Row, Summary};
use crate::time::EventTime;

const VERSION: &str = "1.8.0";

pub(super) fn write(record: &OutputRecord<'_>, out: &mut Vec<u8>) {
    Object::write(out, |event| {
        match record.output {
            Output::Row(row) => match record.activity {
                Some(activity) => write_activity(record, row, &Columns::new(activity), event),
                None => write_retraction(record, row, event),
            },
            Output::Summary(summary) => write_finding(record, summary, event),
        }
        event.object("unmapped", |unmapped| {
            let own = unmapped.member(b"alerttrail");
            native::write(record.output, record.headers, record.links, record.how, own);
        });
    });
}

/// A class of events.
struct Class {
    uid: u32,
    name: &'static str,
    category_uid: u32,
    category_name: &'static str,
}

const ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category_uid: 6,
    category_name: "Application Activity",
};

const FINDING: Class = Class {
    uid: 2006,
    name: "Data Security Finding",
    category_uid: 2,
    category_name: "Findings",
};

const BASE: Class = Class {
    uid: 0,
    name: "Base Event",
    category_uid: 0,
    category_name: "Uncategorized",
};

/// Writes the class and the activity. `name` is the standard's name of the activity.
fn write_class(class: &Class, activity_id: u32, name: &str, event: &mut Object<'_>) {
    event.plain("class_uid", class.uid);
    event.text("class_name", class.name);
    event.plain("category_uid", class.category_uid);
    event.text("category_name", class.category_name);
    event.plain("activity_id", activity_id);
    write_type(class, activity_id, name, event);
}

/// Writes the type, which combines class and activity.
fn write_type(class: &Class, activity_id: u32, name: &str, event: &mut Object<'_>) {
    event.plain("type_uid", class.uid * 100 + activity_id);
    event.text("type_name", format!("{}: {name}", class.name));
}

/// Returns the `activity_id` of a row and the standard's name for it.
fn kind(activity: &Columns<'_>) -> (u32, &'static str) {
    match activity.literal("ActionType") {
        Some(_) => (99, "Other"),
        None => (0, "Unknown"),
    }
}

fn write_time(name: &str, time: EventTime, object: &mut Object<'_>) {
    // A time beyond the calendar means that there is no limit, and is written as the calendar's first or last time.
    object.plain(name, time.clamp(EventTime::FIRST, EventTime::LAST).to_wall().0);
}

fn write_severity(severity: Severity, event: &mut Object<'_>) {
    event.plain("severity_id", severity.number());
    event.text("severity", severity.name());
}

/// Writes the metadata. `table` is the table of the original event, `original` the event's id there.
fn write_metadata(record: &OutputRecord<'_>, table: &str, original: Option<impl AsRef<[u8]>>, event: &mut Object<'_>) {
    event.object("metadata", |metadata| {
        metadata.text("version", VERSION);
        metadata.object("product", |product| {
            product.text("name", "alerttrail");
            product.text("version", env!("CARGO_PKG_VERSION"));
        });
        metadata.text("uid", &record.headers.id);
        metadata.text("correlation_uid", record.correlation_id());
        metadata.json_if("original_event_uid", original);
        if !record.tenant().is_empty() {
            metadata.text("tenant_uid", record.tenant());
        }
        metadata.text("log_name", table);
        if record.how == native::AlertForm::Cut && record.alert.is_some() {
            metadata.plain("is_truncated", true);
        }
    });
}

fn write_activity(record: &OutputRecord<'_>, row: &Row, activity: &Columns<'_>, event: &mut Object<'_>) {
    let action = activity.literal("ActionType");
    let (activity_id, name) = kind(activity);
    write_class(&ACTIVITY, activity_id, name, event);
    event.json("activity_name", action.unwrap_or(br#""Unknown""#));
    write_time("time", row.time, event);
    write_severity(Severity::Unknown, event);
    write_metadata(record, "CloudAppEvents", activity.id("ReportId"), event);
    let application = activity.literal("Application");
    event.object("api", |api| {
        api.json("operation", action.unwrap_or(br#""Unknown""#));
        api.object("service", |service| {
            service.json_if("name", application);
            service.json_if("uid", activity.id("ApplicationId"));
        });
    });
    let (uid, name) = (activity.id("AccountObjectId"), activity.id("AccountId"));
    event.object("actor", |actor| match uid.is_some() || name.is_some() {
        true => actor.object("user", |user| {
            user.json_if("uid", uid);
            user.json_if("name", name);
            user.json_if("display_name", activity.literal("AccountDisplayName"));
            user.json_if("type", activity.literal("AccountType"));
        }),
        // The actor must have some name.
        false => actor.json("app_name", application.unwrap_or(br#""Unknown""#)),
    });
    event.object("src_endpoint", |endpoint| {
        match facts::address(activity) {
            Some(address) => endpoint.text("ip", address.to_string()),
            None => endpoint.text("name", "Unknown"),
        }
        endpoint.json_if("isp", facts::isp(activity));
        endpoint.object("location", |location| {
            location.json_if("country", activity.literal("CountryCode"));
            location.json_if("city", activity.literal("City"));
        });
    });
    event.object("http_request", |request| {
        request.json_if("user_agent", activity.literal("UserAgent"));
    });
    let (uid, name) = (activity.id("ObjectId"), activity.id("ObjectName"));
    if uid.is_some() || name.is_some() {
        event.list("resources", [(uid, name)], |(uid, name), resource| {
            resource.json_if("uid", uid);
            resource.json_if("name", name);
            resource.json_if("type", activity.literal("ObjectType"));
        });
    }
}

fn write_retraction(record: &OutputRecord<'_>, row: &Row, event: &mut Object<'_>) {
    write_class(&BASE, 99, "Other", event);
    event.text("activity_name", "Retract");
    write_time("time", row.time, event);
    write_severity(Severity::Informational, event);
    event.text(
        "message",
        "The activity does not belong to the alert any more: remove the record with this metadata.uid.",
    );
    write_metadata(record, "CloudAppEvents", None::<&[u8]>, event);
}

fn write_finding(record: &OutputRecord<'_>, summary: &Summary, event: &mut Object<'_>) {
    let alert = Columns::new(record.alert.unwrap_or_default());
    let activity = match summary {
        Summary { op: Op::Delete, .. } => (3, "Close"),
        summary if summary.result.revision <= 1 => (1, "Create"),
        _ => (2, "Update"),
    };
    write_class(&FINDING, activity.0, activity.1, event);
    event.text("activity_name", activity.1);
    write_time("time", facts::time_of(summary, &alert), event);
    for (name, time) in [("start_time", summary.result.first), ("end_time", summary.result.last)] {
        if let Some(time) = time {
            write_time(name, time, event);
        }
    }
    match summary.op {
        Op::Upsert => write_severity(Severity::new(&alert), event),
        // A rule with a severity threshold must not count a retraction.
        Op::Delete => write_severity(Severity::Informational, event),
    }
    write_status(summary.op, &alert, event);
    event.plain("is_alert", summary.op == Op::Upsert);
    let title = alert.literal("AlertName").or_else(|| alert.literal("DisplayName"));
    match summary.op {
        Op::Upsert => event.json_if("message", title),
        Op::Delete => event.text("message", "The alert has another key now: this finding is withdrawn."),
    }
    write_metadata(record, "SecurityAlert", alert.id("VendorOriginalId"), event);
    event.object("finding_info", |info| write_finding_info(record, summary, &alert, info));
    event.object("data_security", |security| {
        security.object("policy", |policy| {
            policy.json_if("name", title);
            policy.json_if("uid", alert.id("AlertType"));
        });
    });
}

fn write_status(op: Op, alert: &Columns<'_>, event: &mut Object<'_>) {
    let status = alert.text("Status");
    let (id, name) = match (op, status.as_deref()) {
        (Op::Delete, _) => (6, "Deleted"),
        (Op::Upsert, None) => (0, "Unknown"),
        (Op::Upsert, Some("New")) => (1, "New"),
        (Op::Upsert, Some("InProgress")) => (2, "In Progress"),
        (Op::Upsert, Some("Dismissed")) => (3, "Suppressed"),
        (Op::Upsert, Some("Resolved")) => (4, "Resolved"),
        (Op::Upsert, Some(other)) => (99, other),
    };
    event.plain("status_id", id);
    event.text("status", name);
}

fn write_finding_info(record: &OutputRecord<'_>, summary: &Summary, alert: &Columns<'_>, info: &mut Object<'_>) {
    info.text("uid", &record.headers.id);
    info.text("uid_alt", summary.alert.system_alert_id.as_bytes());
    if summary.op == Op::Delete {
        return;
    }
    let title = alert.literal("AlertName").or_else(|| alert.literal("DisplayName"));
    info.json_if("title", title);
    info.json_if("desc", alert.literal("Description"));
    info.json_if("src_url", alert.literal("AlertLink"));
    if let Some(uid) = alert.id("AlertType") {
        info.object("analytic", |analytic| {
            analytic.json("uid", &uid);
            analytic.json_if("name", title);
            analytic.plain("type_id", 1);
            analytic.text("type", "Rule");
        });
    }
    // The vendor alone does not name a product.
    if let Some(name) = alert.literal("ProductName").or_else(|| alert.literal("ProviderName")) {
        info.object("product", |product| {
            product.json("name", name);
            product.json_if("vendor_name", alert.literal("VendorName"));
        });
    }
    for (name, time) in [
        ("created_time", facts::time(alert, "ProcessingEndTime")),
        ("modified_time", facts::time(alert, "TimeGenerated")),
        ("first_seen_time", summary.result.first),
        ("last_seen_time", summary.result.last),
    ] {
        if let Some(time) = time {
            write_time(name, time, info);
        }
    }
    info.plain("related_events_count", summary.result.activities);
    info.list("related_events", &summary.related, |related, event| {
        let (activity_id, name) = kind(&Columns::new(&related.row));
        event.text(
            "uid",
            super::pair_id(&summary.alert, &summary.key, related.activity, record.links),
        );
        write_type(&ACTIVITY, activity_id, name, event);
        write_time("created_time", related.time, event);
    });
}
