//! Finds the strings, arrays and objects of a JSON text in one pass, which also validates the text.
//!
//! The grammar is that of RFC 8259, with no limit of depth. The pass has two parts. `Strings` finds the quotes around
//! strings and the brackets outside of them in blocks of 64 bytes, without a branch for each byte: bit n of a mask
//! belongs to byte n of the block. `match_grammar` checks the few bytes between them against the grammar. The pass
//! allocates nothing once its lists have grown.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

/// The text is not valid JSON, or larger than 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotJson;

/// The structure of one JSON text at a time.
#[derive(Default, Debug)]
pub struct Index {
    /// Positions of the quotes around strings and of the brackets outside of them. Only the first `structural_count`
    /// entries are valid.
    structurals: Vec<u32>,
    structural_count: usize,
    /// For an opening bracket the index of its closing one, otherwise 0.
    closings: Vec<u32>,
    open: Vec<u32>,
    /// Whether a string may have more escapes than it needs: whether there is a `\/` or a `\u`.
    has_spare_escapes: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    /// A value: at the beginning, after a colon, after a comma in an array.
    Value,
    /// A value or the end, after `[`.
    ValueOrEnd,
    /// A key or the end, after `{`.
    KeyOrEnd,
    /// A key, after a comma in an object.
    Key,
    /// The colon after a key.
    Colon,
    /// A comma or the end, after a value.
    Rest,
}

impl Index {
    /// Finds the structure of `text`. Does not check whether its strings are UTF-8.
    pub fn read(&mut self, text: &[u8]) -> Result<(), NotJson> {
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson);
        }
        self.find_structurals(text)?;
        self.match_grammar(text)
    }

    /// Returns whether strings of the text may have more escapes than they need.
    pub(super) fn has_spare_escapes(&self) -> bool {
        self.has_spare_escapes
    }

    /// Returns the position in the text of a structural character.
    #[inline]
    pub(super) fn place(&self, nth: usize) -> Option<usize> {
        Some(*self.structurals.get(..self.structural_count)?.get(nth)? as usize)
    }

    /// Returns the position after the string that begins with this structural character, and the index of the next one.
    #[inline]
    pub(super) fn behind_string(&self, nth: usize) -> Option<(usize, usize)> {
        Some((self.place(nth + 1)? + 1, nth + 2))
    }

    /// Returns the position after the array or object that begins with this structural character, and the index of the
    /// next one.
    #[inline]
    pub(super) fn behind_nested(&self, nth: usize) -> Option<(usize, usize)> {
        let last = *self.closings.get(nth)? as usize;
        Some((self.place(last)? + 1, last + 1))
    }

    fn find_structurals(&mut self, text: &[u8]) -> Result<(), NotJson> {
        dispatch!(Level::new(), simd => self.find_with(simd, text))
    }

    /// Finds the structural characters with the instructions of one level. What it calls for each block is compiled
    /// into it, because code of another level cannot be.
    #[inline(always)]
    fn find_with<S: Simd>(&mut self, simd: S, text: &[u8]) -> Result<(), NotJson> {
        self.structural_count = 0;
        let mut strings = Strings::default();
        let (chunks, rest) = text.as_chunks::<{ BLOCK }>();
        let mut base = 0;
        for chunk in chunks {
            let found = strings.block(simd, chunk, text, base)?;
            self.take_in(base, found);
            base += BLOCK;
        }
        if !rest.is_empty() {
            let mut last = [b' '; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            let found = strings.block(simd, &last, text, base)?;
            self.take_in(base, found);
        }
        self.has_spare_escapes = strings.has_spare_escapes;
        if strings.inside == 0 { Ok(()) } else { Err(NotJson) }
    }

    /// Adds the structural characters of the block at `base`, which fits into 32 bits.
    #[inline(always)]
    fn take_in(&mut self, base: usize, mut found: u64) {
        const ROOM: usize = BLOCK + AT_ONCE;
        const AT_ONCE: usize = 8;
        if self.structurals.len() < self.structural_count + ROOM {
            self.structurals.resize(2 * self.structural_count + ROOM, 0);
        }
        let count = found.count_ones() as usize;
        if let Some(room) = self.structurals[self.structural_count..].first_chunk_mut::<ROOM>() {
            // Writes a fixed number of entries, as many as most blocks have, because a branch at the actual count would
            // be mispredicted. Surplus entries are overwritten by the next block.
            for first in (0..count).step_by(AT_ONCE) {
                for position in &mut room[first..first + AT_ONCE] {
                    *position = (base as u32).wrapping_add(found.trailing_zeros());
                    found &= found.wrapping_sub(1);
                }
            }
        }
        self.structural_count += count;
    }
}

/// The number of bytes of a block.
const BLOCK: usize = 64;

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
fn masks<S: Simd>(simd: S, block: &[u8; BLOCK]) -> Masks {
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
struct Strings {
    /// All ones if the block begins inside a string.
    inside: u64,
    /// 1 if its first byte is escaped.
    escaped: u64,
    /// Whether there was a `\/` or a `\u`.
    has_spare_escapes: bool,
}

impl Strings {
    /// Returns the quotes around strings and the brackets outside of them in a block, which begins at `base` of the
    /// text. Fails if what is between the quotes is not a string, or a backslash is outside of them.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: &[u8; BLOCK], text: &[u8], base: usize) -> Result<u64, NotJson> {
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

impl Index {
    fn match_grammar(&mut self, text: &[u8]) -> Result<(), NotJson> {
        let Self {
            structurals,
            structural_count,
            closings,
            open,
            ..
        } = self;
        let structurals = &structurals[..*structural_count];
        closings.clear();
        closings.resize(structurals.len(), 0);
        open.clear();
        let mut expect = Expect::Value;
        let (mut at, mut nth, mut in_object) = (0, 0, false);
        while let Some(&place) = structurals.get(nth) {
            let place = place as usize;
            if in_object && let Some(behind) = member(text, structurals, at, nth, expect)? {
                (at, nth, expect) = behind;
                continue;
            }
            expect = match (expect, &text[at..place]) {
                (Expect::Colon, b":") => Expect::Value,
                (Expect::Rest, b",") if !open.is_empty() => after_comma(in_object),
                (expect, []) => expect,
                (expect, gap) => between(expect, gap, in_object, open.is_empty())?,
            };
            at = place + 1;
            match (text[place], expect) {
                (b'"', Expect::Value | Expect::ValueOrEnd | Expect::KeyOrEnd | Expect::Key) => {
                    // Quotes come in pairs, because nothing inside a string is in the list.
                    nth += 1;
                    at = structurals.get(nth).map_or(text.len(), |end| *end as usize + 1);
                    expect = match expect {
                        Expect::Value | Expect::ValueOrEnd => Expect::Rest,
                        _ => Expect::Colon,
                    };
                }
                (opening @ (b'{' | b'['), Expect::Value | Expect::ValueOrEnd) => {
                    open.push(u32::try_from(nth).map_err(|_| NotJson)?);
                    in_object = opening == b'{';
                    expect = if in_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                }
                (b'}', Expect::Rest | Expect::KeyOrEnd) if in_object => {
                    in_object = close(text, structurals, closings, open, nth)?;
                    expect = Expect::Rest;
                }
                (b']', Expect::Rest | Expect::ValueOrEnd) if !in_object && !open.is_empty() => {
                    in_object = close(text, structurals, closings, open, nth)?;
                    expect = Expect::Rest;
                }
                _ => return Err(NotJson),
            }
            nth += 1;
        }
        let expect = between(expect, &text[at..], in_object, open.is_empty())?;
        if expect == Expect::Rest && open.is_empty() {
            Ok(())
        } else {
            Err(NotJson)
        }
    }
}

fn after_comma(in_object: bool) -> Expect {
    if in_object { Expect::Key } else { Expect::Value }
}

/// Records that the structural character at index `nth` closes the last open bracket. Returns whether the enclosing
/// value is an object.
#[inline]
fn close(text: &[u8], structurals: &[u32], closings: &mut [u32], open: &mut Vec<u32>, nth: usize) -> Result<bool, NotJson> {
    let opening = open.pop().ok_or(NotJson)? as usize;
    closings[opening] = u32::try_from(nth).map_err(|_| NotJson)?;
    Ok(open
        .last()
        .is_some_and(|around| text[structurals[*around as usize] as usize] == b'{'))
}

/// Skips a member without white space, as nearly every writer writes it, if one comes next in the object. Returns the
/// position and the index after it, and what is expected there. Does not enter a nested value.
#[inline]
fn member(
    text: &[u8],
    structurals: &[u32],
    at: usize,
    nth: usize,
    expect: Expect,
) -> Result<Option<(usize, usize, Expect)>, NotJson> {
    let key = match (expect, text.get(at)) {
        (Expect::Rest, Some(b',')) => at + 1,
        (Expect::KeyOrEnd, _) => at,
        _ => return Ok(None),
    };
    let Some([opening, closing, next]) = structurals.get(nth..).and_then(|structurals| structurals.first_chunk()) else {
        return Ok(None);
    };
    let (colon, next) = (*closing as usize + 1, *next as usize);
    if *opening as usize != key || text[key] != b'"' || text.get(colon) != Some(&b':') {
        return Ok(None);
    }
    let value = colon + 1;
    Ok(Some(match text.get(value) {
        Some(b'"') => {
            let closing = structurals.get(nth + 3).ok_or(NotJson)?;
            (*closing as usize + 1, nth + 4, Expect::Rest)
        }
        Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t') => (value, nth + 2, Expect::Value),
        _ => (value + scalar(&text[value..next])?, nth + 2, Expect::Rest),
    }))
}

/// Checks the bytes between two structural characters: white space, commas, colons, and values that are neither strings
/// nor nested. Returns what is expected next.
fn between(mut expect: Expect, gap: &[u8], in_object: bool, at_top: bool) -> Result<Expect, NotJson> {
    let mut rest = gap;
    while let Some((&first, behind)) = rest.split_first() {
        match (first, expect) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => rest = behind,
            (b':', Expect::Colon) => (expect, rest) = (Expect::Value, behind),
            (b',', Expect::Rest) if !at_top => (expect, rest) = (after_comma(in_object), behind),
            (_, Expect::Value | Expect::ValueOrEnd) => (expect, rest) = (Expect::Rest, &rest[scalar(rest)?..]),
            _ => return Err(NotJson),
        }
    }
    Ok(expect)
}

/// Returns the length of the number or literal at the beginning of `text`.
pub(super) fn scalar(text: &[u8]) -> Result<usize, NotJson> {
    let literal: Option<&[u8]> = match text.first() {
        Some(b't') => Some(b"true"),
        Some(b'f') => Some(b"false"),
        Some(b'n') => Some(b"null"),
        _ => None,
    };
    if let Some(literal) = literal {
        return text.starts_with(literal).then_some(literal.len()).ok_or(NotJson);
    }
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |from: usize| match digits(from) {
        0 => Err(NotJson),
        count => Ok(from + count),
    };
    let start = usize::from(text.first() == Some(&b'-'));
    let mut at = match text.get(start) {
        Some(b'0') => start + 1,
        _ => some_digits(start)?,
    };
    if text.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at = some_digits(at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-'))))?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the masks by the best instructions of this machine and by those that every machine has.
    fn by_levels(block: &[u8; BLOCK]) -> [Masks; 2] {
        [Level::new(), Level::baseline()].map(|level| dispatch!(level, simd => masks(simd, block)))
    }

    fn plain(block: &[u8; BLOCK]) -> Masks {
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
        fn every_position_is_classified(bytes in proptest::collection::vec(any::<u8>(), BLOCK)) {
            let block = bytes.try_into().unwrap();
            prop_assert_eq!(by_levels(&block), [plain(&block); 2]);
        }
    }

    #[test]
    fn every_byte_value_is_classified() {
        for byte in 0..=u8::MAX {
            let mut block = [b' '; BLOCK];
            block[usize::from(byte) % BLOCK] = byte;
            assert_eq!(by_levels(&block), [plain(&block); 2], "{byte}");
        }
    }
}
