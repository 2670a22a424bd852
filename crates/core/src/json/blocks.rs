//! Finds the quotes around strings and the brackets outside of them, in blocks of 64 bytes. Bit n of a mask belongs to
//! byte n of the block.

use fearless_simd::{Simd, prelude::*, u8x64};

use super::NotJson;

/// The number of bytes of a block.
pub(super) const SIZE: usize = 64;

/// The positions of relevant bytes in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    /// `{`, `}`, `[`, `]`
    brackets: u64,
    /// Bytes below U+0020.
    controls: u64,
}

/// Classifies the bytes with the widest instructions of the processor's level. It is compiled once for each level, into
/// the caller, so the caller must be too.
#[inline(always)]
fn masks<S: Simd>(simd: S, block: &[u8; SIZE]) -> Masks {
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

/// The state that one block passes to the next.
#[derive(Default)]
pub(super) struct Strings {
    /// All ones if the block begins inside a string.
    pub(super) inside: u64,
    /// 1 if its first byte is escaped.
    escaped: u64,
    /// Whether there was a `\/` or a `\u`.
    pub(super) has_spare_escapes: bool,
}

impl Strings {
    /// Returns the quotes around strings and the brackets outside of them in a block, which begins at `base` of the text.
    /// Fails if what is between the quotes is not a string, or a backslash is outside of them.
    #[inline(always)]
    pub(super) fn block<S: Simd>(&mut self, simd: S, block: &[u8; SIZE], text: &[u8], base: usize) -> Result<u64, NotJson> {
        let masks = masks(simd, block);
        let quotes = match masks.backslashes == 0 && self.escaped == 0 {
            true => masks.quotes,
            false => masks.quotes & !self.escapes(masks, text, base)?,
        };
        // Each quote toggles between inside and outside: bit n is the parity of the quotes up to n.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        // An opening quote counts as inside here, a closing one as outside: neither is a control character or a
        // backslash.
        if masks.controls & inside != 0 || masks.backslashes & !inside != 0 {
            return Err(NotJson);
        }
        Ok(quotes | (masks.brackets & !inside))
    }

    /// Returns the bytes of the block that a backslash escapes. Fails if one of them may not be escaped.
    #[cold]
    fn escapes(&mut self, masks: Masks, text: &[u8], base: usize) -> Result<u64, NotJson> {
        let escaped = self.escaped(masks.backslashes);
        // Strings that contain JSON hardly have others than these.
        let mut others = escaped & !(masks.quotes | masks.backslashes);
        while others != 0 {
            let at = base + others.trailing_zeros() as usize;
            match text.get(at..).unwrap_or_default() {
                [b'b' | b'f' | b'n' | b'r' | b't', ..] => {}
                [b'/', ..] => self.has_spare_escapes = true,
                [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => {
                    self.has_spare_escapes = true;
                }
                _ => return Err(NotJson),
            }
            others &= others - 1;
        }
        Ok(escaped)
    }

    /// Returns the bytes of a block that its backslashes, or the last one of the previous block, escape.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escaped);
        let mut left = backslashes & !escaped;
        if left & (left << 1) == 0 {
            // No backslash follows another, so each escapes the next byte.
            self.escaped = left >> 63;
            return escaped | left << 1;
        }
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            if at == 63 {
                self.escaped = 1;
            } else {
                let next = 1 << (at + 1);
                escaped |= next;
                left &= !next;
            }
        }
        escaped
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
