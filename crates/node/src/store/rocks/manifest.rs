//! Checks whether RocksDB's list of files is complete.
//!
//! If a record of its MANIFEST seems to extend beyond the end of the file, or seems to be from an earlier use of the
//! file, RocksDB treats it as the end of the list. One flipped bit is enough for that: the store would silently open in
//! an earlier state, although files that this state needs are gone. So this module checks the framing before RocksDB
//! reads it.

/// The bytes of a block. A record never crosses the end of a block.
const BLOCK: usize = 32 << 10;
/// The bytes of a record's header: checksum (4), length (2), type (1).
const HEADER: usize = 7;

/// Fails, with the position, if a record of the MANIFEST is not what was written. A last record that was not written
/// completely is not an error, because RocksDB had not confirmed it to anyone yet.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    loop {
        let left_in_block = BLOCK - at % BLOCK;
        if left_in_block < HEADER {
            at += left_in_block;
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        // Space that was allocated and not written yet.
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let block = &rest[..rest.len().min(left_in_block)];
        let Some((&[a, b, c, d, low, high], body)) = block.split_first_chunk::<6>() else {
            return Ok(());
        };
        let stored = u32::from_le_bytes([a, b, c, d]);
        // The checksum covers the type.
        let covered = 1 + usize::from(u16::from_le_bytes([low, high]));
        if let Some(record) = body.get(..covered) {
            if mask(crc32c::crc32c(record)) != stored {
                return Err(format!("the record at byte {at} is not what was written"));
            }
            at += HEADER - 1 + covered;
        } else if rest.len() >= left_in_block || is_whole(stored, body) {
            return Err(format!("the length of the record at byte {at} is not what was written"));
        } else {
            return Ok(());
        }
    }
}

/// Returns whether the checksum is that of a record that ends within `body`. If it is, the record is complete, and its
/// length was changed.
fn is_whole(stored: u32, body: &[u8]) -> bool {
    let mut checksum = 0;
    body.iter().any(|byte| {
        checksum = crc32c::crc32c_append(checksum, &[*byte]);
        mask(checksum) == stored
    })
}

/// Converts a checksum to the form in which RocksDB stores it, so that a checksum of bytes that contain checksums is
/// sound.
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns records of these lengths as RocksDB lays them out.
    fn manifest(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let left_in_block = BLOCK - bytes.len() % BLOCK;
            // RocksDB splits a record that does not fit in the block; these all fit, or begin a block.
            if left_in_block < HEADER {
                bytes.resize(bytes.len() + left_in_block, 0);
            } else {
                assert!(
                    left_in_block >= HEADER + length,
                    "the record of {length} bytes crosses the end of a block"
                );
            }
            let mut record = vec![1];
            record.extend((0..*length).map(|at| (at + number) as u8));
            bytes.extend(mask(crc32c::crc32c(&record)).to_le_bytes());
            bytes.extend(u16::try_from(*length).unwrap().to_le_bytes());
            bytes.extend(record);
        }
        bytes
    }

    #[test]
    fn a_written_manifest_and_one_with_a_cut_tail_are_valid() {
        let bytes = manifest(&[40, 3, 0, 100, 32_587, 700, 9]);
        for cut in (0..bytes.len()).step_by(7).chain(bytes.len() - 50..=bytes.len()) {
            assert_eq!(check(&bytes[..cut]), Ok(()), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = manifest(&[40, 3, 0, 100, 9]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped).is_err(), "bit {bit}");
        }
    }
}
