//! Notifies systemd about `alerttrail run` with `Type=notify`: when it is ready, when it stops, and, for the watchdog,
//! that its stages make progress.
//!
//! Without `NOTIFY_SOCKET` in the environment, it sends nothing. It uses the same rule as `/livez`.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::pipeline::exposed::{Exposed, HEARTBEAT_TIMEOUT};
use crate::shutdown::Shutdown;

/// How often to check the stages, unless the watchdog requires shorter intervals.
const INTERVAL: Duration = Duration::from_millis(500);

/// Starts a thread that notifies systemd about the state of the processor.
pub(super) fn watch(exposed: &Arc<Exposed>, shutdown: &Shutdown) -> std::io::Result<()> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    let (exposed, shutdown) = (Arc::clone(exposed), shutdown.clone());
    std::thread::Builder::new()
        .name("service".to_owned())
        .spawn(move || notify(&exposed, &shutdown))?;
    Ok(())
}

/// Sends the state of the processor to systemd at intervals, until a shutdown is requested.
fn notify(exposed: &Exposed, shutdown: &Shutdown) {
    let watchdog = sd_notify::watchdog_enabled();
    // systemd recommends half of the watchdog's timeout.
    let interval = watchdog.map_or(INTERVAL, |limit| INTERVAL.min(limit / 2));
    let mut is_ready = false;
    while !shutdown.is_requested() {
        let oldest = exposed.oldest_heartbeat();
        // The stages start after the broker has responded and topics, settings and state have been checked.
        if !is_ready && oldest.is_some() {
            is_ready = true;
            send(NotifyState::Ready);
        }
        if watchdog.is_some() && oldest.is_none_or(|(_, age)| age <= HEARTBEAT_TIMEOUT) {
            send(NotifyState::Watchdog);
        }
        shutdown.sleep(interval);
    }
    send(NotifyState::Stopping);
}

fn send(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell systemd how the service is: {error}; it may restart a service that works");
    }
}
