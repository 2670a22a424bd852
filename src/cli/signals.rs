//! SIGTERM and Ctrl-C: the first asks to stop, the second stops. What has not stopped by then is stopped before ten seconds are over.

#[cfg(any(feature = "kafka", feature = "http"))]
use std::time::Duration;

use crate::shutdown::Shutdown;

/// How long a command has to stop by itself. A broker that is away can hold up a last commit for longer than anyone waits.
#[cfg(any(feature = "kafka", feature = "http"))]
const PATIENCE: Duration = Duration::from_millis(9_000);

/// Asks `shutdown` to stop at the first signal; ends the process at the second, which is safe, because a kill is.
#[cfg(feature = "kafka")]
pub(super) fn watch(shutdown: &Shutdown) -> std::io::Result<()> {
    watch_with(shutdown, "nothing is lost, the next start goes on from what was acknowledged")
}

/// Does the same as [`watch`]; `left` tells the user what it means when the command did not stop in time.
#[cfg(any(feature = "kafka", feature = "http"))]
pub(super) fn watch_with(shutdown: &Shutdown, left: &'static str) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shutdown = shutdown.clone();
    let (installed, wait) = std::sync::mpsc::sync_channel(1);
    let watch = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            let (mut terminate, mut interrupt) = match signals {
                (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
                (Err(error), _) | (_, Err(error)) => return drop(installed.send(Err(error))),
            };
            drop(installed.send(Ok(())));
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if shutdown.is_requested() {
                    std::process::exit(1);
                }
                shutdown.request();
                tokio::spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    super::say(&format!("error: it did not stop in time and was ended; {left}"));
                    std::process::exit(1);
                });
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    wait.recv().unwrap_or(Ok(()))
}

/// Without an event loop the system's own way of dealing with signals holds.
#[cfg(not(any(feature = "kafka", feature = "http")))]
pub(super) fn watch_with(_: &Shutdown, _: &'static str) -> std::io::Result<()> {
    Ok(())
}
