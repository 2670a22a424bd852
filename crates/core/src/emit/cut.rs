use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::members;

/// The columns that identify the alert and the time that it covers.
const IDENTIFYING: [&str; 13] = [
    "TimeGenerated",
    "SystemAlertId",
    "VendorOriginalId",
    "AlertType",
    "AlertName",
    "AlertSeverity",
    "ProviderName",
    "ProductName",
    "StartTime",
    "EndTime",
    "Status",
    "TenantId",
    "Type",
];

/// The greatest length of an identifying column. A longer value does not identify anything.
const LONGEST: usize = 4096;

/// Appends the SecurityAlert row `row`, cut to the columns that identify the alert.
pub(super) fn alert(row: &[u8], out: &mut Vec<u8>) {
    let columns: BTreeMap<Cow<'_, [u8]>, &[u8]> = members(row).map(|column| (column.name(), column.value)).collect();
    out.push(b'{');
    let mut separator = "";
    for name in IDENTIFYING {
        if let Some(value) = columns.get(name.as_bytes()).filter(|value| value.len() <= LONGEST) {
            out.extend_from_slice(separator.as_bytes());
            crate::json::write_string(name.as_bytes(), out);
            out.push(b':');
            out.extend_from_slice(value);
            separator = ",";
        }
    }
    out.push(b'}');
}
