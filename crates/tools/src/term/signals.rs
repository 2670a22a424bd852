//! SIGTERM and Ctrl-C: the first signal requests a shutdown, a later one ends the process. A process that does not stop
//! in time is ended before ten seconds have passed.

use std::time::{Duration, Instant};

use crate::clock;
use crate::shutdown::Shutdown;

/// How long a command may take to stop. An unavailable broker can block a last commit for longer than any user waits.
const STOP_TIMEOUT: Duration = Duration::from_millis(9_000);

/// A signal that follows the first one this quickly is the same request: `timeout`, for example, sends one to the
/// process and another to its group.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Requests a shutdown at the first signal, and ends the process at another one more than a second later. That is safe
/// because the program also survives a kill.
pub fn watch(shutdown: &Shutdown) -> std::io::Result<()> {
    watch_with(
        shutdown,
        "no data is lost, the next start resumes after what was acknowledged",
    )
}

/// Does the same as [`watch`]; `outcome` is printed if the command did not stop in time.
pub fn watch_with(shutdown: &Shutdown, outcome: &'static str) -> std::io::Result<()> {
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
            let mut first = None;
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if first.is_some_and(|first: Instant| first.elapsed() < REPEAT_INTERVAL) {
                    continue;
                }
                if shutdown.is_requested() {
                    std::process::exit(1);
                }
                first = Some(clock::start());
                shutdown.request();
                tokio::spawn(async move {
                    tokio::time::sleep(STOP_TIMEOUT).await;
                    super::eprint_line(&format!("error: the shutdown timed out and the process was ended; {outcome}"));
                    std::process::exit(1);
                });
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    wait.recv().unwrap_or(Ok(()))
}
