//! Adds a checksum to the values of the table of single values (`Table::Meta`) and to the position of `Emitted`.
//!
//! RocksDB's own checksums cover blocks of a file. A position that is wrong for any other reason would silently skip or
//! repeat records, so each of these few values has a separate checksum.

use sha2::{Digest, Sha256};

use super::Error;

/// The length of a checksum in bytes.
const LENGTH: usize = 8;

/// Returns the value followed by its checksum. The checksum covers the key, so a value under the wrong key is detected
/// too.
pub(super) fn append_checksum(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + LENGTH);
    stored.extend_from_slice(value);
    stored.extend_from_slice(&checksum(key, value));
    stored
}

/// Verifies the checksum of a stored value ([`append_checksum`]) and returns the value.
pub(super) fn verify_checksum<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Error> {
    match stored.split_last_chunk::<LENGTH>() {
        Some((value, found)) if *found == checksum(key, value) => Ok(value),
        _ => Err(Error::Damaged { what: "checksum" }),
    }
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; LENGTH] {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(value);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_value_is_returned_unchanged_and_any_other_bytes_are_damaged() {
        let stored = append_checksum(b"progress", b"0123");
        assert_eq!(verify_checksum(b"progress", &stored).unwrap(), b"0123");
        assert_eq!(verify_checksum(b"d", &append_checksum(b"d", b"")).unwrap(), b"");
        assert!(verify_checksum(b"work", &stored).is_err());
        for cut in 0..stored.len() {
            assert!(verify_checksum(b"progress", &stored[..cut]).is_err());
        }
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_checksum(b"progress", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_checksum_never_changes() {
        assert_eq!(hex::encode(append_checksum(b"k", b"v")), "761660cc30be78d14b");
    }
}
