//! The page of the demo: where it is served, and showing it without being asked for it.

use std::io::IsTerminal as _;
use std::net::TcpListener;

use super::super::Failure;
use crate::config::Config;
use crate::http;

/// Takes the address of the documents, or another one of this machine: a processor may be running beside the demo.
pub(super) fn listen() -> Result<TcpListener, Failure> {
    let address = Config::defaults().map_err(Failure::failed)?.http.listen;
    let address = address.ok_or_else(|| Failure::failed("http.listen has no default"))?;
    let listener = http::listen(address).or_else(|_| http::listen((address.ip(), 0).into()));
    listener.map_err(Failure::failed)
}

/// Opens the page in the browser of the person at the terminal, if there is one. Whether that works is of no importance: the address is
/// printed in any case.
pub(super) fn open(page: &str) {
    if std::io::stderr().is_terminal() && has_screen() {
        drop(open::that_detached(page));
    }
}

/// Whether a browser would have a window. Without a display, the system's opener may start one in the terminal, over what is printed.
fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(target_os = "macos", windows)) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
