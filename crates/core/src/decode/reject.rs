use std::borrow::Cow;

use crate::json::TooDeep;

/// The reason why a record becomes a dead-letter record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The message is not UTF-8, or not JSON.
    InvalidJson,
    /// The record is of no known form.
    UnknownRecord,
    /// The record lacks a field that it needs to join.
    MissingField,
    /// A time of the record is not a valid time, or is outside the years 1 to 9999.
    InvalidTime,
    /// Arrays and objects are nested too deeply.
    TooDeep,
    /// The record, or what is made of it, is larger than the broker accepts.
    TooLarge,
    /// The record belongs to a tenant that is not listed.
    UnknownTenant,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::InvalidJson,
        Self::UnknownRecord,
        Self::MissingField,
        Self::InvalidTime,
        Self::TooDeep,
        Self::TooLarge,
        Self::UnknownTenant,
    ];

    /// Returns the word for the reason in headers and metrics. It never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::UnknownRecord => "unknown_record",
            Self::MissingField => "missing_field",
            Self::InvalidTime => "invalid_time",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::UnknownTenant => "unknown_tenant",
        }
    }
}

/// A record, or a whole message, that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject<'a> {
    /// The reason as a word.
    pub reason: Reason,
    /// The reason as a sentence that contains nothing of the record's content.
    pub error: String,
    /// The record's own bytes, or the whole message if it is one record or cannot be split.
    pub bytes: Cow<'a, [u8]>,
}

impl Reject<'_> {
    /// Returns the same reject with owned bytes.
    pub fn into_owned(self) -> Reject<'static> {
        Reject {
            reason: self.reason,
            error: self.error,
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }
}

/// The reason why a record is rejected, without its bytes.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) error: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, error: impl Into<String>) -> Self {
        Self {
            reason,
            error: error.into(),
        }
    }

    pub(super) fn reject<'a>(self, bytes: impl Into<Cow<'a, [u8]>>) -> Reject<'a> {
        Reject {
            reason: self.reason,
            error: self.error,
            bytes: bytes.into(),
        }
    }
}

impl From<TooDeep> for Fault {
    fn from(error: TooDeep) -> Self {
        Self::new(Reason::TooDeep, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word() {
        let mut words = Reason::ALL.map(Reason::as_str).to_vec();
        assert!(
            words
                .iter()
                .all(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
        );
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
