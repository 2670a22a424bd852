//! Items on disk, divided by key into small parts. All items of one key are in one part, in the order in which they
//! were added.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Number of parts.
pub(super) const PARTS: usize = 512;
/// Bytes of a part that are buffered in memory before they are written.
const BLOCK: usize = 32 << 10;

/// Items of one type, divided by the hash of their key. Memory contains at most [`PARTS`] partly filled blocks, and the
/// positions of the blocks on disk.
pub(super) struct Buckets<T> {
    /// An unnamed temporary file: the operating system removes it when the program ends for any reason.
    file: File,
    end: u64,
    parts: Vec<Part>,
    items: PhantomData<T>,
}

#[derive(Default)]
struct Part {
    waiting: Vec<u8>,
    /// The offset of each block in the file, and its length in bytes.
    blocks: Vec<(u64, usize)>,
}

impl<T: Serialize + DeserializeOwned> Buckets<T> {
    /// Creates an empty collection whose file is in `folder`.
    pub(super) fn new_in(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(folder)?,
            end: 0,
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            items: PhantomData,
        })
    }

    /// Adds an item. `key` is a hash, so its values are evenly distributed.
    pub(super) fn push(&mut self, key: u128, item: &T) -> io::Result<()> {
        // PARTS is a power of two and not larger than the range of the shifted key.
        let number = (key >> 119) as usize % PARTS;
        let Some(part) = self.parts.get_mut(number) else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut part.waiting);
        part.waiting = postcard::to_extend(item, waiting).map_err(io::Error::other)?;
        if part.waiting.len() < BLOCK {
            return Ok(());
        }
        self.file.write_all(&part.waiting)?;
        part.blocks.push((self.end, part.waiting.len()));
        self.end += part.waiting.len() as u64;
        part.waiting.clear();
        Ok(())
    }

    /// Passes all items of a part to `each`, in the order in which they were added. No item may be added after that.
    pub(super) fn read(&mut self, part: usize, each: &mut dyn FnMut(T) -> io::Result<()>) -> io::Result<()> {
        let Some(part) = self.parts.get(part) else { return Ok(()) };
        let mut block = Vec::new();
        for (begin, length) in &part.blocks {
            self.file.seek(SeekFrom::Start(*begin))?;
            block.resize(*length, 0);
            self.file.read_exact(&mut block)?;
            items(&block, each)?;
        }
        items(&part.waiting, each)
    }
}

fn items<T: DeserializeOwned>(mut bytes: &[u8], each: &mut dyn FnMut(T) -> io::Result<()>) -> io::Result<()> {
    while !bytes.is_empty() {
        let (item, rest) = postcard::take_from_bytes(bytes).map_err(io::Error::other)?;
        bytes = rest;
        each(item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_comes_back_once_in_order_and_in_the_part_of_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut buckets = Buckets::<(u64, Vec<u8>)>::new_in(folder.path()).unwrap();
        // Large enough to write several blocks of a part and to leave some items in memory.
        let content = |number: u64| vec![u8::try_from(number % 251).unwrap(); 300];
        let key = |number: u64| u128::from(number % 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
        for number in 0..200_000 {
            buckets.push(key(number), &(number, content(number))).unwrap();
        }
        let mut seen = 0;
        for part in 0..PARTS {
            let mut last = std::collections::BTreeMap::new();
            buckets
                .read(part, &mut |(number, bytes)| {
                    assert_eq!(bytes, content(number));
                    assert_eq!((key(number) >> 119) as usize, part);
                    assert!(last.insert(number % 1_000, number).is_none_or(|before| before < number));
                    seen += 1;
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(seen, 200_000);
        assert!(buckets.end > 0, "nothing was written to disk");
    }
}
