//! The page of the demo: its address, and opening it in a browser.

use std::io::IsTerminal as _;
use std::net::TcpListener;

use crate::config::Config;
use crate::http;
use crate::term::Failure;

/// Binds the address that the documentation names. If it is in use, for example by a processor, binds another port.
pub(super) fn listen() -> Result<TcpListener, Failure> {
    let address = Config::defaults().map_err(Failure::failed)?.http.listen;
    let address = address.ok_or_else(|| Failure::failed("http.listen has no default"))?;
    let listener = http::listen(address).or_else(|_| http::listen((address.ip(), 0).into()));
    listener.map_err(Failure::failed)
}

/// Opens the page in a browser if there is a user at the terminal. A failure is ignored, because the address is printed
/// in any case.
pub(super) fn open(page: &str) {
    if std::io::stderr().is_terminal() && has_screen() {
        drop(open::that_detached(page));
    }
}

/// Returns whether a browser can open a window. Without a display, the system's opener may start a browser in the
/// terminal, which would overwrite the output.
fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(target_os = "macos", windows)) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
