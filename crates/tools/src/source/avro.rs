//! Decompression of the blocks of an Avro file, within a limit.
//!
//! The Avro library decompresses a block without any limit. This module decompresses the blocks itself, checks their
//! sizes, and gives the library an uncompressed file.

use std::io::{self, BufRead, Read};

use apache_avro::Codec;

/// The first bytes of an Avro object container file.
pub(super) const MAGIC: [u8; 4] = *b"Obj\x01";

/// The longest block, before or after decompression, and the longest header, in bytes. Capture's blocks have a few MiB.
const MAX_BLOCK: usize = 256 << 20;
const MAX_HEADER: usize = 1 << 20;
const MARKER: usize = 16;
const CODEC: &[u8] = b"avro.codec";

/// An Avro file without compression, read from one that may be compressed.
pub(super) struct Decompressed {
    reader: Box<dyn BufRead + Send>,
    codec: BlockCodec,
    /// The header or block that is being read, and how much of it has been read.
    ready: Vec<u8>,
    read: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BlockCodec {
    None,
    Deflate,
    Snappy,
    Zstandard,
}

impl Decompressed {
    pub(super) fn new(mut reader: Box<dyn BufRead + Send>) -> io::Result<Self> {
        let (ready, codec) = header(&mut (&mut reader).take(MAX_HEADER as u64))?;
        Ok(Self {
            reader,
            codec,
            ready,
            read: 0,
        })
    }

    /// Reads and decompresses the next block, if the file has another one.
    fn next_block(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.read = 0;
        if self.reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        let count = long(&mut self.reader)?;
        let length = length(long(&mut self.reader)?, MAX_BLOCK)?;
        let compressed = bytes(&mut self.reader, length)?;
        let plain = self.codec.decompress(compressed)?;
        if !usize::try_from(count).is_ok_and(|count| count <= plain.len()) {
            return Err(invalid("a block has more records than bytes"));
        }
        write_long(count, &mut self.ready);
        write_bytes(&plain, &mut self.ready);
        self.ready.extend(bytes(&mut self.reader, MARKER)?);
        Ok(())
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.ready.len() {
            self.next_block()?;
        }
        let mut rest = self.ready.get(self.read..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

impl BlockCodec {
    fn from_name(name: &[u8]) -> io::Result<Self> {
        match name {
            b"null" => Ok(Self::None),
            b"deflate" => Ok(Self::Deflate),
            b"snappy" => Ok(Self::Snappy),
            b"zstandard" => Ok(Self::Zstandard),
            other => Err(invalid(format!(
                "its codec is {}; only null, deflate, snappy and zstandard are supported",
                other.escape_ascii()
            ))),
        }
    }

    fn decompress(self, mut compressed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(compressed),
            Self::Deflate => limited(flate2::read::DeflateDecoder::new(compressed.as_slice())),
            Self::Zstandard => limited(zstd::Decoder::new(compressed.as_slice())?),
            Self::Snappy => {
                // A block begins with its length and ends with a checksum of four bytes.
                let size = varint(&mut compressed.as_slice())?;
                length(i64::try_from(size).unwrap_or(-1), MAX_BLOCK)?;
                if compressed.len() <= size_of::<u32>() {
                    return Err(invalid("a block is too short for its codec"));
                }
                Codec::Snappy
                    .decompress(&mut compressed)
                    .map_err(|error| invalid(error.to_string()))?;
                Ok(compressed)
            }
        }
    }
}

fn limited(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(MAX_BLOCK as u64 + 1).read_to_end(&mut plain)?;
    length(i64::try_from(plain.len()).unwrap_or(-1), MAX_BLOCK)?;
    Ok(plain)
}

/// Reads a header. Returns the header of an uncompressed file, and how the blocks are compressed.
fn header(reader: &mut dyn Read) -> io::Result<(Vec<u8>, BlockCodec)> {
    let mut plain = bytes(reader, MAGIC.len())?;
    if plain != MAGIC {
        return Err(invalid("it does not begin with the magic bytes of an Avro file"));
    }
    let mut codec = BlockCodec::None;
    loop {
        let count = long(reader)?;
        if count < 0 {
            // A negative count is followed by the size of this part in bytes.
            long(reader)?;
        }
        for _ in 0..count.unsigned_abs() {
            let [key, value] = [(); 2].map(|()| length(long(reader)?, MAX_HEADER).and_then(|length| bytes(reader, length)));
            let (key, value) = (key?, value?);
            if key == CODEC {
                codec = BlockCodec::from_name(&value)?;
            } else if !key.starts_with(CODEC) {
                write_long(1, &mut plain);
                write_bytes(&key, &mut plain);
                write_bytes(&value, &mut plain);
            }
        }
        if count == 0 {
            break;
        }
    }
    write_long(0, &mut plain);
    plain.extend(bytes(reader, MARKER)?);
    Ok((plain, codec))
}

fn bytes(reader: &mut dyn Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match reader.take(length as u64).read_to_end(&mut bytes)? == length {
        true => Ok(bytes),
        false => Err(invalid("it ends in the middle")),
    }
}

fn length(length: i64, limit: usize) -> io::Result<usize> {
    let fitting = usize::try_from(length).ok().filter(|length| *length <= limit);
    fitting.ok_or_else(|| invalid(format!("a part of it exceeds the limit of {limit} bytes")))
}

fn long(reader: &mut dyn Read) -> io::Result<i64> {
    let number = varint(reader)?;
    Ok((number >> 1) as i64 ^ -((number & 1) as i64))
}

fn varint(reader: &mut dyn Read) -> io::Result<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = bytes(reader, 1)?.try_into().unwrap_or([0]);
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(invalid("a number is not terminated"))
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Returns the error for an Avro file that cannot be read.
pub(super) fn invalid(cause: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("as Avro: {}", cause.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a file of one block with this codec and this count of records.
    fn file(codec: &str, count: i64, block: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        write_long(1, &mut file);
        write_bytes(CODEC, &mut file);
        write_bytes(codec.as_bytes(), &mut file);
        write_long(0, &mut file);
        file.extend([7; MARKER]);
        write_long(count, &mut file);
        write_bytes(block, &mut file);
        file.extend([7; MARKER]);
        file
    }

    fn read(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Decompressed::new(Box::new(io::Cursor::new(file.to_vec())))?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn a_block_is_decompressed_up_to_its_limit() {
        let deflated = |length: usize| {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            io::copy(&mut io::repeat(0).take(length as u64), &mut encoder).unwrap();
            encoder.finish().unwrap()
        };
        for (codec, compressed) in [
            ("deflate", deflated(1_000)),
            ("zstandard", zstd::encode_all(&[0; 1_000][..], 1).unwrap()),
        ] {
            let plain = read(&file(codec, 3, &compressed)).unwrap();
            assert_eq!(plain, read(&file("null", 3, &[0; 1_000])).unwrap(), "{codec}");
            assert!(plain.ends_with(&[[0; 16], [7; 16]].concat()), "{codec}");
        }
        let error_text = |file: &[u8]| read(file).unwrap_err().to_string();
        let long = error_text(&file("deflate", 3, &deflated(MAX_BLOCK + 1)));
        assert_eq!(long, "as Avro: a part of it exceeds the limit of 268435456 bytes");
        let zstd = zstd::encode_all(io::repeat(0).take(MAX_BLOCK as u64 + 1), 1).unwrap();
        assert_eq!(error_text(&file("zstandard", 3, &zstd)), long);
        let mut snappy = Vec::new();
        let mut size = MAX_BLOCK as u64 + 1;
        while size > 0 {
            snappy.push((size & 0x7f) as u8 | if size > 0x7f { 0x80 } else { 0 });
            size >>= 7;
        }
        assert_eq!(error_text(&file("snappy", 3, &snappy)), long);
        assert!(error_text(&file("snappy", 3, &[0])).contains("too short"));
        assert!(
            error_text(&file("xz", 3, &[])).contains("its codec is xz; only null, deflate, snappy and zstandard are supported")
        );
        assert!(error_text(&file("null", 3, &[0])).contains("more records than bytes"));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let file = file("null", 1, b"0123456789");
        let block = 1 + 1 + 10 + MARKER;
        for length in 0..=file.len() {
            let is_whole = length == file.len() || length == file.len() - block;
            assert_eq!(read(&file[..length]).is_ok(), is_whole, "{length} of {} bytes", file.len());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bit in 0..8 * 66_usize) {
            let mut file = file("null", 1, b"0123456789");
            file[bit / 8] ^= 1 << (bit % 8);
            // A damaged codec key is kept as another key.
            prop_assert!(read(&file).map_or(0, |plain| plain.len()) <= file.len());
        }

        #[test]
        fn numbers_are_read_back_as_written(number: i64) {
            let mut bytes = Vec::new();
            write_long(number, &mut bytes);
            prop_assert_eq!(long(&mut bytes.as_slice()).unwrap(), number);
        }
    }
}
