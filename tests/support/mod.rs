//! Support for tests of the whole program on a real broker: separate topics and traffic for each test ([`World`]), and
//! the program as a process ([`Instance`]). It uses the program only through its command line, and takes the expected
//! result only from `correlate`. It relies on the broker that `ALERTTRAIL_TEST_KAFKA` names.

#![allow(dead_code, reason = "a target takes what it needs")]

mod instance;
pub(crate) mod world;

use std::time::Duration;

pub(crate) use instance::Instance;
pub(crate) use world::World;

/// Longer than anything here takes on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// Returns the broker's address, or `None` if there is none and that is allowed.
pub(crate) fn broker() -> Option<String> {
    match std::env::var("ALERTTRAIL_TEST_KAFKA") {
        Ok(address) => Some(address),
        Err(_) if std::env::var("CI").as_deref() == Ok("true") => {
            panic!("ALERTTRAIL_TEST_KAFKA is not set, and under CI=true these tests must run; scripts/test sets it")
        }
        Err(_) => {
            println!("skipped: ALERTTRAIL_TEST_KAFKA names no broker; scripts/test starts one");
            None
        }
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_alerttrail")
}

/// Returns a CloudAppEvents row with a correlation id.
pub(crate) fn activity(cid: &str, time: &str, note: &str) -> Vec<u8> {
    format!(
        r#"{{"Type":"CloudAppEvents","ActionType":"AlertTriggered","Note":"{note}","RawEventData":{{"CreationTime":"{time}","Data":"{{\"cid\":\"{cid}\"}}"}}}}"#
    )
    .into_bytes()
}

/// Returns a SecurityAlert row.
pub(crate) fn alert(id: &str, cid: &str, start: &str, end: &str, generated: &str) -> Vec<u8> {
    format!(
        r#"{{"Type":"SecurityAlert","SystemAlertId":"{id}","AlertType":"{cid}","StartTime":"{start}","EndTime":"{end}","TimeGenerated":"{generated}"}}"#
    )
    .into_bytes()
}
