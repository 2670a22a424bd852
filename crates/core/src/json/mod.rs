//! Operations on JSON text.
//!
//! Rows keep their bytes, so these functions work on text: where a member begins and ends, what a string contains after
//! unescaping, and what two rows have in common apart from white space and the order of keys. [`Index::read`] is the
//! only validation of a text; [`prefix`] finds out how far an invalid text is valid. All other functions expect text
//! that [`Index`] has accepted; for other text they return arbitrary results, but never panic and always end. No
//! function interprets fields or recurses as deep as its input; only [`Canonical`] recurses, to [`MAX_DEPTH`].

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod canonical;
mod index;
pub mod prefix;
mod scan;
#[cfg(test)]
mod tests;
mod text;

pub use canonical::{Canonical, TooDeep};
pub use index::{Index, NotJson};
pub use scan::{Cursor, MAX_DEPTH, Member, Members, depth, key_is, members, string_values};
pub use text::{compact, one_line, unescape, unescape_into, write_string};
