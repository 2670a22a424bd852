//! Adds a checksum to the values of the table of single values (`Table::Meta`) and to the note of `Emitted`.
//!
//! RocksDB's own checksums cover blocks of a file. A position that is wrong for any other reason would silently skip or
//! repeat records, so these few values have checksums of their own.

use sha2::{Digest, Sha256};

use super::Error;

/// The bytes of a checksum.
const LENGTH: usize = 8;

/// Returns the value followed by its checksum. The checksum covers the key, so a value under the wrong key is detected
/// too.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + LENGTH);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&checksum(key, value));
    sealed
}

/// Checks the checksum of a sealed value ([`seal`]) and returns the value.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Error> {
    match sealed.split_last_chunk::<LENGTH>() {
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
    fn a_value_is_itself_and_anything_else_is_damaged() {
        let sealed = seal(b"progress", b"0123");
        assert_eq!(unseal(b"progress", &sealed).unwrap(), b"0123");
        assert_eq!(unseal(b"d", &seal(b"d", b"")).unwrap(), b"");
        assert!(unseal(b"work", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(unseal(b"progress", &sealed[..cut]).is_err());
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"progress", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_checksum_stays_what_it_was() {
        assert_eq!(hex::encode(seal(b"k", b"v")), "761660cc30be78d14b");
    }
}
