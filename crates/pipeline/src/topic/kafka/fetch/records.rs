//! Record batches as brokers keep and send them: message format 2, KIP-98
//! (<https://kafka.apache.org/documentation/#recordbatch>). Read in place: nothing is allocated per record.

use std::io::Read;
use std::ops::Range;

/// Bytes of a batch before its records.
const HEAD: usize = 61;
/// Bytes of a batch that its length does not count.
const UNCOUNTED: usize = 12;
/// What the checksum covers begins here.
const CHECKED: usize = 21;
/// A batch never grows beyond this when decompressed: a broken one must not take all memory.
const PLAIN: u64 = 256 * 1024 * 1024;

/// What is known of a batch without decompressing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Offset of its first record.
    pub base: i64,
    /// The offset behind its last record, which compaction may have taken out.
    pub next: i64,
    /// Its bytes, the head's included.
    pub length: usize,
    /// Who wrote it; negative when not known.
    pub producer: i64,
    attributes: i16,
    base_ms: i64,
    max_ms: i64,
    count: u32,
}

impl Head {
    /// The head of the batch that `bytes` begin with; `None` if it was cut short, as a fetch's last one may be.
    ///
    /// # Errors
    /// What of it cannot be.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, String> {
        // Older formats have their version at the same place.
        let Some(&version) = bytes.get(16) else { return Ok(None) };
        if version != 2 {
            return Err(format!("message format {version}; only 2 is read, which Kafka 0.11 brought"));
        }
        let length = int(bytes, 8);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length >= HEAD - UNCOUNTED)
            .ok_or_else(|| format!("a batch of {length} bytes"))?
            + UNCOUNTED;
        if bytes.len() < length {
            return Ok(None);
        }
        let (base, last) = (long(bytes, 0), int(bytes, 23));
        let next = base
            .checked_add(i64::from(last))
            .and_then(|last| last.checked_add(1))
            .filter(|next| base >= 0 && *next > base)
            .ok_or_else(|| format!("a batch from offset {base} on whose last one lies {last} behind"))?;
        let count = u32::try_from(int(bytes, 57)).map_err(|_| "a negative count of records")?;
        Ok(Some(Self {
            base,
            next,
            length,
            producer: long(bytes, 43),
            attributes: i16::from_be_bytes([bytes[21], bytes[22]]),
            base_ms: long(bytes, 27),
            max_ms: long(bytes, 35),
            count,
        }))
    }

    /// Whether it is of a transaction, which may have been aborted.
    pub const fn transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// Whether it marks a transaction's end and holds no records.
    pub const fn control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Checks a batch and decompresses its records into `plain`, unless they lie in `bytes` as they are.
    ///
    /// # Errors
    /// The checksum differs, the compression is unknown or broken.
    pub fn open(self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<Batch, String> {
        let batch = &bytes[..self.length];
        let (told, is) = (int(batch, 17) as u32, crc32c::crc32c(&batch[CHECKED..]));
        if told != is {
            return Err(format!("checksum {is:08x} instead of {told:08x}"));
        }
        plain.clear();
        let packed = &batch[HEAD..];
        let broken = |error: std::io::Error| format!("cannot be decompressed: {error}");
        let inflated = match self.attributes & 7 {
            0 => false,
            1 => {
                flate2::read::MultiGzDecoder::new(packed).take(PLAIN).read_to_end(plain).map_err(broken)?;
                true
            }
            2 => {
                snappy(packed, plain)?;
                true
            }
            3 => {
                lz4_flex::frame::FrameDecoder::new(packed).take(PLAIN).read_to_end(plain).map_err(broken)?;
                true
            }
            4 => return Err("compressed with zstd; read are none, gzip, snappy and lz4".to_owned()),
            other => return Err(format!("compressed in a way not known ({other})")),
        };
        let left = self.count;
        Ok(Batch { head: self, inflated, at: 0, left })
    }
}

/// Snappy in the frame of its Java library, or bare.
fn snappy(packed: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
    let mut block = |packed: &[u8]| {
        let broken = |error: snap::Error| format!("cannot be decompressed: {error}");
        let start = plain.len();
        let length = snap::raw::decompress_len(packed).map_err(broken)?;
        if (start + length) as u64 > PLAIN {
            return Err("decompresses to more than 256 MiB".to_owned());
        }
        plain.resize(start + length, 0);
        snap::raw::Decoder::new().decompress(packed, &mut plain[start..]).map_err(broken)?;
        Ok(())
    };
    let Some(mut rest) = packed.strip_prefix(b"\x82SNAPPY\0").and_then(|rest| rest.get(8..)) else {
        return block(packed);
    };
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (piece, behind) = behind
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or("cannot be decompressed: a block is cut short")?;
        block(piece)?;
        rest = behind;
    }
    Ok(())
}

/// A batch that is being read.
#[derive(Debug)]
pub struct Batch {
    head: Head,
    inflated: bool,
    at: usize,
    left: u32,
}

impl Batch {
    /// The next record. `bytes` and `plain` are those it was opened with.
    ///
    /// # Errors
    /// What of it cannot be.
    #[inline]
    pub fn next<'b>(&mut self, bytes: &'b [u8], plain: &'b [u8]) -> Result<Option<Record<'b>>, String> {
        if self.left == 0 {
            return Ok(None);
        }
        let records = if self.inflated { plain } else { &bytes[HEAD..self.head.length] };
        let cut = || format!("record {} from its end is cut short", self.left);
        let mut cursor = Cursor(&records[self.at..]);
        let length = cursor.length().ok_or_else(cut)?.ok_or_else(cut)?;
        let start = records.len() - cursor.0.len();
        let end = start.checked_add(length).filter(|end| *end <= records.len()).ok_or_else(cut)?;
        let record = record(&self.head, &records[start..end]).ok_or_else(cut)?;
        (self.at, self.left) = (end, self.left - 1);
        Ok(Some(record))
    }

    /// What it is known by.
    pub const fn head(&self) -> &Head {
        &self.head
    }
}

#[inline]
fn record<'b>(head: &Head, bytes: &'b [u8]) -> Option<Record<'b>> {
    let mut cursor = Cursor(bytes.get(1..)?);
    let stamp_ms = head.base_ms.wrapping_add(cursor.number()?);
    let offset = head.base.checked_add(cursor.number()?)?;
    let key = cursor.bytes()?;
    let value = cursor.bytes()?;
    let headers = Headers(cursor.0);
    // Given by the broker when it took the batch, for all its records.
    let stamp_ms = if head.attributes & 8 != 0 { head.max_ms } else { stamp_ms };
    Some(Record { offset, stamp_ms, key: key.unwrap_or_default(), value: value.unwrap_or_default(), headers })
}

/// One record, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'b> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970.
    pub stamp_ms: i64,
    /// Its key; none is as an empty one.
    pub key: &'b [u8],
    /// Its bytes; none are as empty ones.
    pub value: &'b [u8],
    /// Its headers.
    pub headers: Headers<'b>,
}

/// A record's headers, their count first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'b>(&'b [u8]);

impl<'b> Headers<'b> {
    /// Calls `f` with each, as far as they can be read.
    #[inline]
    pub fn each(self, mut f: impl FnMut(&'b [u8], &'b [u8])) {
        let mut cursor = Cursor(self.0);
        for _ in 0..cursor.number().unwrap_or(0) {
            let (Some(name), Some(value)) = (cursor.bytes(), cursor.bytes()) else { return };
            f(name.unwrap_or_default(), value.unwrap_or_default());
        }
    }
}

struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    /// A number of seven bits a byte, the lowest first, the sign in the lowest bit.
    #[inline]
    fn number(&mut self) -> Option<i64> {
        let (&first, rest) = self.0.split_first()?;
        let mut value = u64::from(first & 0x7f);
        self.0 = rest;
        if first & 0x80 != 0 {
            let mut shift = 7;
            loop {
                let (&byte, rest) = self.0.split_first()?;
                self.0 = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
                shift += 7;
                if shift > 63 {
                    return None;
                }
            }
        }
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length, or that there is nothing; `None` is what cannot be.
    #[inline]
    fn length(&mut self) -> Option<Option<usize>> {
        match self.number()? {
            -1 => Some(None),
            length => usize::try_from(length).ok().map(Some),
        }
    }

    #[inline]
    fn bytes(&mut self) -> Option<Option<&'b [u8]>> {
        let Some(length) = self.length()? else { return Some(None) };
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(bytes))
    }
}

fn int(bytes: &[u8], at: usize) -> i32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(out)
}

fn long(bytes: &[u8], at: usize) -> i64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(out)
}

/// Which of a partition's transactions were aborted: their records are not handed over.
#[derive(Debug, Default)]
pub struct Aborted {
    /// Producer and first offset, by offset; those before `begun` have begun.
    list: Vec<(i64, i64)>,
    begun: usize,
    active: Vec<i64>,
}

impl Aborted {
    /// Those of a broker's answer.
    pub fn new(mut list: Vec<(i64, i64)>) -> Self {
        list.sort_by_key(|(_, first)| *first);
        Self { list, begun: 0, active: Vec::new() }
    }

    /// Whether a batch's records are to be left out. Asked of each batch in turn; `bytes` is the batch.
    pub fn leaves_out(&mut self, head: &Head, bytes: &[u8]) -> bool {
        while let Some((producer, _)) = self.list.get(self.begun).filter(|(_, first)| *first <= head.base) {
            self.active.push(*producer);
            self.begun += 1;
        }
        if head.control() {
            // The key of a marker, which is never compressed: version, then 0 for an abort.
            let marker = head.clone().open(bytes, &mut Vec::new()).and_then(|mut batch| {
                batch.next(bytes, &[]).map(|record| record.is_some_and(|r| r.key.get(2..4) == Some(&[0, 0])))
            });
            if marker == Ok(true) {
                self.active.retain(|producer| *producer != head.producer);
            }
            return true;
        }
        head.transactional() && self.active.contains(&head.producer)
    }
}

/// The batches of `bytes`, as far as they are whole: where each lies.
///
/// # Errors
/// What of the first that cannot be read is wrong, and where it lies.
pub fn batches(bytes: &[u8], mut f: impl FnMut(Head, Range<usize>)) -> Result<(), (usize, String)> {
    let mut at = 0;
    while let Some(head) = Head::read(&bytes[at..]).map_err(|error| (at, error))? {
        let whole = at..at + head.length;
        at = whole.end;
        f(head, whole);
    }
    Ok(())
}
