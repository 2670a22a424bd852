//! The one page: everything of a [`Report`], for people. It holds all it needs and asks no network; its plots take their colours from its
//! style, in light, in dark and on paper.

mod page;
mod plot;
mod plots;

use super::result::Report;

/// The page.
pub fn html(report: &Report) -> String {
    page::page(report).into_string()
}

#[cfg(test)]
pub(crate) mod tests;
