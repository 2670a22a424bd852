use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The columns that say which alert it is and what it covers.
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

/// No identifying column is longer than this; one that is says nothing that identifies.
const LONGEST: usize = 4096;

/// Appends the SecurityAlert row `row`, cut to the columns that identify the alert.
pub(super) fn alert(row: &[u8], out: &mut Vec<u8>) {
    let columns: BTreeMap<&str, &RawValue> = serde_json::from_slice(row).unwrap_or_default();
    out.push(b'{');
    let mut separator = "";
    for name in IDENTIFYING {
        if let Some(value) = columns.get(name).filter(|value| value.get().len() <= LONGEST) {
            out.extend_from_slice(separator.as_bytes());
            crate::json::write_string(name.as_bytes(), out);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
            separator = ",";
        }
    }
    out.push(b'}');
}
