//! Classifies the bytes of a block of 64. Bit n of a mask belongs to byte n of the block.

use wide::u8x16;

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

/// Classifies sixteen bytes at a time, which every current processor compares at once.
#[inline]
pub(super) fn masks(block: &[u8; SIZE]) -> Masks {
    let equal = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
    let mut masks = Masks::default();
    let (lanes, _) = block.as_chunks::<16>();
    for (lane, shift) in lanes.iter().zip([0, 16, 32, 48]) {
        let bytes = u8x16::new(*lane);
        // `[` and `]` differ from `{` and `}` in this bit.
        let braces = bytes | u8x16::splat(0x20);
        let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        masks.quotes |= u64::from(equal(bytes, b'"').to_bitmask()) << shift;
        masks.backslashes |= u64::from(equal(bytes, b'\\').to_bitmask()) << shift;
        masks.brackets |= u64::from((equal(braces, b'{') | equal(braces, b'}')).to_bitmask()) << shift;
        masks.controls |= u64::from(controls.to_bitmask()) << shift;
    }
    masks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            prop_assert_eq!(masks(&block), plain(&block));
        }
    }

    #[test]
    fn every_byte_value_is_classified() {
        for byte in 0..=u8::MAX {
            let mut block = [b' '; SIZE];
            block[usize::from(byte) % SIZE] = byte;
            assert_eq!(masks(&block), plain(&block), "{byte}");
        }
    }
}
