//! Classifies the bytes of a block of 64. Bit n of a mask belongs to byte n of the block.

use fearless_simd::{Simd, prelude::*, u8x64};

/// The number of bytes of a block.
pub(super) const SIZE: usize = 64;

/// The positions of relevant bytes in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// `{`, `}`, `[`, `]`
    pub(super) brackets: u64,
    /// Bytes below U+0020.
    pub(super) controls: u64,
}

/// Classifies the bytes with the widest instructions of the processor's level. It is compiled once for each level, into
/// the caller, so the caller must be too.
#[inline(always)]
pub(super) fn masks<S: Simd>(simd: S, block: &[u8; SIZE]) -> Masks {
    let bytes = u8x64::from_slice(simd, block);
    let equal = |bytes: u8x64<S>, byte: u8| bytes.simd_eq(u8x64::splat(simd, byte));
    // `[` and `]` differ from `{` and `}` in this bit.
    let braces = bytes | u8x64::splat(simd, 0x20);
    Masks {
        quotes: equal(bytes, b'"').to_bitmask(),
        backslashes: equal(bytes, b'\\').to_bitmask(),
        brackets: (equal(braces, b'{') | equal(braces, b'}')).to_bitmask(),
        controls: bytes.simd_lt(u8x64::splat(simd, 0x20)).to_bitmask(),
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;

    /// Returns the masks by the best instructions of this machine and by those that every machine has.
    fn by_levels(block: &[u8; SIZE]) -> [Masks; 2] {
        [Level::new(), Level::baseline()].map(|level| dispatch!(level, simd => masks(simd, block)))
    }

    fn plain(block: &[u8; SIZE]) -> Masks {
        let mut masks = Masks::default();
        for (place, byte) in block.iter().enumerate() {
            let bit = |holds: bool| u64::from(holds) << place;
            masks.quotes |= bit(*byte == b'"');
            masks.backslashes |= bit(*byte == b'\\');
            masks.brackets |= bit(matches!(byte, b'{' | b'}' | b'[' | b']'));
            masks.controls |= bit(*byte < 0x20);
        }
        masks
    }

    proptest! {
        #[test]
        fn every_position_is_classified(bytes in proptest::collection::vec(any::<u8>(), SIZE)) {
            let block = bytes.try_into().unwrap();
            prop_assert_eq!(by_levels(&block), [plain(&block); 2]);
        }
    }

    #[test]
    fn every_byte_value_is_classified() {
        for byte in 0..=u8::MAX {
            let mut block = [b' '; SIZE];
            block[usize::from(byte) % SIZE] = byte;
            assert_eq!(by_levels(&block), [plain(&block); 2], "{byte}");
        }
    }
}
