//! The rows of activities are compressed once, by ROUTE. They stay compressed in the repartition topic and in the state
//! until JOIN emits them.
//!
//! A compressed row is a zstd frame (RFC 8878) made with the dictionary `rows.zdict`, which contains the names of the
//! columns. Without it, the names take most of a row. A row that would not become smaller stays as it is.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe;

/// The dictionary, made by `scripts/dictionary`. Its number is in every frame. It is a part of the stored format: the
/// bytes never change, because rows that were compressed with it can be read only with it.
const DICTIONARY: &[u8] = include_bytes!("rows.zdict");
/// The compression level. With a dictionary, the next ones take longer and save little.
const LEVEL: i32 = 1;
/// The first byte of a zstd frame. No other value of an activity begins with it: a row is a JSON object.
const FRAME: u8 = 0x28;
/// The greatest size of a row. librdkafka's messages are smaller, so a frame that claims more is damaged.
const MAX_ROW: u64 = 1 << 30;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    /// It takes a hundred kilobytes and some microseconds to make.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses rows.
pub struct RowCompressor {
    /// `None` if there is no memory for one; then rows stay as they are.
    compressor: Option<Compressor<'static>>,
    frame: Vec<u8>,
}

impl Default for RowCompressor {
    fn default() -> Self {
        Self {
            compressor: Compressor::with_prepared_dictionary(&ENCODER).ok(),
            frame: Vec::new(),
        }
    }
}

impl RowCompressor {
    /// Returns the row compressed, or as it is if that is not smaller.
    pub fn compress<'a>(&mut self, row: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let Some(compressor) = &mut self.compressor else { return row };
        self.frame.clear();
        self.frame.reserve(zstd_safe::compress_bound(row.len()));
        match compressor.compress_to_buffer(&row, &mut self.frame) {
            Ok(size) if size < row.len() => Cow::Owned(self.frame.as_slice().to_vec()),
            _ => row,
        }
    }
}

/// The reason why a compressed row cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a compressed row is damaged")]
pub struct Damaged;

/// Returns the row that `value` is: decompressed if [`RowCompressor`] compressed it, otherwise as it is.
pub fn decompress(value: Box<[u8]>) -> Result<Box<[u8]>, Damaged> {
    if value.first() != Some(&FRAME) {
        return Ok(value);
    }
    let size = zstd_safe::get_frame_content_size(&value).ok().flatten();
    let size = size.filter(|size| *size <= MAX_ROW).ok_or(Damaged)?;
    let size = usize::try_from(size).map_err(|_| Damaged)?;
    DECOMPRESSOR.with_borrow_mut(|known| {
        let decompressor = match known {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::with_prepared_dictionary(&DECODER).map_err(|_| Damaged)?),
        };
        let row = decompressor.decompress(&value, size).map_err(|_| Damaged)?;
        Ok(row.into_boxed_slice())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn compressed(row: &[u8]) -> Vec<u8> {
        RowCompressor::default().compress(Cow::Borrowed(row)).into_owned()
    }

    fn decompressed(value: &[u8]) -> Result<Vec<u8>, Damaged> {
        decompress(value.into()).map(<[u8]>::into_vec)
    }

    const ROW: &[u8] = br#"{"ActionType":"FileDownloaded","Application":"SharePoint","AccountObjectId":"e3491938","RawEventData":{"CreationTime":"2026-03-01T00:01:08Z","Operation":"FileDownloaded","Workload":"SharePoint","Data":"{\"cid\":\"p\"}"},"Timestamp":"2026-03-01T00:01:08Z"}"#;

    #[test]
    fn the_names_of_columns_take_almost_no_room() {
        let value = compressed(ROW);
        assert!(value.len() * 2 < ROW.len(), "{} of {} bytes", value.len(), ROW.len());
        assert_eq!(decompressed(&value).unwrap(), ROW);
    }

    #[test]
    fn a_row_that_would_not_become_smaller_stays_as_it_is() {
        for row in ["", "{}", "{\"a\":1}"] {
            assert_eq!(compressed(row.as_bytes()), row.as_bytes());
            assert_eq!(decompressed(row.as_bytes()).unwrap(), row.as_bytes());
        }
        // The position of a row in a file takes the place of the row where the log is in memory.
        let position = [0, 0, 0, 0, 0, 0, 0, 40];
        assert_eq!(decompressed(&position).unwrap(), position);
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let value = compressed(ROW);
        for length in 1..value.len() {
            assert_eq!(decompressed(&value[..length]), Err(Damaged), "{length}");
        }
        assert_eq!(decompressed(&[value.as_slice(), b"x"].concat()), Err(Damaged));
    }

    /// Rows in the repartition topic and in the state were compressed with exactly these bytes.
    #[test]
    fn the_dictionary_never_changes() {
        let digest = hex::encode(Sha256::digest(DICTIONARY));
        assert_eq!(digest, "eae0b1af8873a5c55e9fe78b05c33a3d10e534e4e91c7e07f7b0a100473e2da8");
        assert_eq!(zstd_safe::get_dict_id_from_dict(DICTIONARY).map(u32::from), Some(40_001));
    }

    proptest! {
        #[test]
        fn every_row_survives(members in "[\"a-f:,\u{e9} ]{0,2000}") {
            let row = format!("{{{members}}}");
            prop_assert_eq!(decompressed(&compressed(row.as_bytes())).unwrap(), row.as_bytes());
        }
    }
}
