//! The HTML page with everything in a [`Report`]. It is self-contained and makes no network requests. Its plots take
//! their colours from the style sheet, in light and dark mode and in print.

mod page;
mod plot;
mod plots;

use super::result::Report;

/// Returns the page.
pub fn html(report: &Report) -> String {
    page::page(report).into_string()
}

#[cfg(test)]
pub(crate) mod tests;
