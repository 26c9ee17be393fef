//! Arrow IPC: exact decimals, times in nanoseconds UTC, conditions as lists, one record batch at a time, so that memory does
//! not grow with the number of rows.
//!
//! Written here rather than with the crate `arrow-ipc`, which would add 200 seconds of compilation on one core
//! (docs/exports.md): of Arrow's format, these rows need six types and no compression, dictionaries or nesting but lists.
//! The format: <https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc>.

mod column;
mod flatbuffer;

use crate::columns::{OutputColumn as Column, OutputType as Type, OutputValue as Value};
use column::{Buffers, long};
use flatbuffer::{Field, Node, buffer};
use ports::{Error, Result};
use std::io::{self, Write};

/// Rows in a record batch: a few MiB of memory.
const BATCH: usize = 65_536;
/// Maximum size of a column's texts in a batch, far from the 2 GiB that its offsets can express.
const TEXTS: usize = 64 * 1024 * 1024;
/// Alignment of buffers within a file, as Arrow recommends.
const ALIGNMENT: usize = 64;
const MAGIC: &[u8] = b"ARROW1\0\0";
/// Precedes the length of a message's metadata.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Metadata version 5.
const VERSION: Field = Field::Short(4);

/// The union tags of message headers and of types.
mod tag {
    pub(super) const SCHEMA: u8 = 1;
    pub(super) const RECORD_BATCH: u8 = 3;
    pub(super) const INT: u8 = 2;
    pub(super) const UTF8: u8 = 5;
    pub(super) const BOOL: u8 = 6;
    pub(super) const DECIMAL: u8 = 7;
    pub(super) const TIMESTAMP: u8 = 10;
    pub(super) const LIST: u8 = 12;
}

/// The two layouts of Arrow IPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The file format (`.arrow`), with a footer that lists its batches.
    File,
    /// The streaming format (`.arrows`), which can be read while it is written.
    Stream,
}

/// Rows being written.
pub struct ArrowWriter<W: Write> {
    columns: &'static [Column],
    buffers: Vec<Buffers>,
    rows: usize,
    out: W,
    written: usize,
    /// Position, length of the metadata and of the body of each batch of a file; none of a stream.
    blocks: Option<Vec<i64>>,
    open: bool,
}

/// The schema of a list of columns.
fn schema(columns: &[Column]) -> Node {
    let fields = columns.iter().map(|column| field(column.name, !column.required, column.of)).collect();
    Node::Table(vec![Field::Short(0), Field::To(Node::Tables(fields))])
}

fn field(name: &str, nullable: bool, of: Type) -> Node {
    let children = match of {
        Type::Codes => vec![field("item", false, Type::Text)],
        _ => Vec::new(),
    };
    let (tag, fields) = match of {
        Type::Time | Type::Start => {
            let utc = Node::Text("UTC".to_owned());
            (tag::TIMESTAMP, vec![Field::Short(3), Field::To(utc)])
        }
        Type::Text => (tag::UTF8, Vec::new()),
        Type::Decimal | Type::Average => {
            (tag::DECIMAL, vec![Field::Int(38), Field::Int(18), Field::Int(128)])
        }
        Type::Integer | Type::Nanos | Type::Small => (tag::INT, vec![Field::Int(64), Field::Byte(1)]),
        Type::Flag => (tag::BOOL, Vec::new()),
        Type::Codes => (tag::LIST, Vec::new()),
    };
    Node::Table(vec![
        Field::To(Node::Text(name.to_owned())),
        Field::Byte(u8::from(nullable)),
        Field::Byte(tag),
        Field::To(Node::Table(fields)),
        Field::Absent,
        Field::To(Node::Tables(children)),
    ])
}

fn message(tag: u8, header: Node, body: i64) -> Vec<u8> {
    buffer(&Node::Table(vec![VERSION, Field::Byte(tag), Field::To(header), Field::Long(body)]))
}

impl<W: Write> ArrowWriter<W> {
    /// Begins a file or stream.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn new(columns: &'static [Column], layout: Layout, out: W) -> Result<Self> {
        let buffers = columns.iter().map(|column| Buffers::new(column.of)).collect();
        let is_file = layout == Layout::File;
        let mut arrow =
            Self { columns, buffers, rows: 0, out, written: 0, blocks: is_file.then(Vec::new), open: true };
        if is_file {
            arrow.put(MAGIC)?;
        }
        arrow.message(&message(tag::SCHEMA, schema(columns), 0))?;
        Ok(arrow)
    }

    /// Adds a row, its values in the order of the columns; returns false once the reader of a pipe is gone.
    ///
    /// # Errors
    /// A value is not of its column's type or a required one is absent, or the output cannot be written.
    pub fn row(&mut self, values: &[Value<'_>]) -> Result<bool> {
        let mut texts = 0;
        for ((column, buffers), value) in self.columns.iter().zip(&mut self.buffers).zip(values) {
            if !buffers.push(value) || (column.required && matches!(value, Value::Absent)) {
                return Err(Error::internal(format!("column {}: {value:?} has the wrong type", column.name)));
            }
            texts = texts.max(buffers.texts());
        }
        self.rows += 1;
        if self.rows == BATCH || texts >= TEXTS {
            self.batch()?;
        }
        Ok(self.open)
    }

    /// Writes the rows collected so far.
    fn batch(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let (mut nodes, mut places, mut body) = (Vec::new(), Vec::new(), 0);
        for buffers in &self.buffers {
            buffers.nodes(self.rows, &mut nodes);
            for bytes in buffers.bytes() {
                places.extend([long(body), long(bytes.len())]);
                body += bytes.len().next_multiple_of(ALIGNMENT);
            }
        }
        let header = Node::Table(vec![
            Field::Long(long(self.rows)),
            Field::To(Node::Structs(nodes.len() / 2, nodes)),
            Field::To(Node::Structs(places.len() / 2, places)),
        ]);
        let start = self.written;
        self.message(&message(tag::RECORD_BATCH, header, long(body)))?;
        if let Some(blocks) = &mut self.blocks {
            blocks.extend([long(start), long(self.written - start), long(body)]);
        }
        for buffers in std::mem::take(&mut self.buffers) {
            for bytes in buffers.bytes() {
                self.put(bytes)?;
                self.put(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])?;
            }
            self.buffers.push(buffers.cleared());
        }
        self.rows = 0;
        Ok(())
    }

    /// Writes the metadata of a message, padded so that a body after it is aligned.
    fn message(&mut self, metadata: &[u8]) -> Result<()> {
        let end = self.written + 8 + metadata.len();
        let padding = end.next_multiple_of(ALIGNMENT) - end;
        let length = u32::try_from(metadata.len() + padding).unwrap_or(u32::MAX);
        self.put(&CONTINUATION)?;
        self.put(&length.to_le_bytes())?;
        self.put(metadata)?;
        self.put(&[0; ALIGNMENT][..padding])
    }

    /// Writes bytes; once the reader of a pipe is gone, does nothing.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.open {
            return Ok(());
        }
        match self.out.write_all(bytes) {
            Ok(()) => self.written += bytes.len(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.open = false,
            Err(error) => return Err(Error::user(format!("write arrow: {error}"))),
        }
        Ok(())
    }

    /// Writes what is left and returns the output.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.batch()?;
        // The end of the stream.
        self.put(&CONTINUATION)?;
        self.put(&[0; 4])?;
        if let Some(blocks) = self.blocks.take() {
            let footer = buffer(&Node::Table(vec![
                VERSION,
                Field::To(schema(self.columns)),
                Field::To(Node::Structs(0, Vec::new())),
                Field::To(Node::Structs(blocks.len() / 3, blocks)),
            ]));
            let length = u32::try_from(footer.len()).unwrap_or(u32::MAX);
            self.put(&footer)?;
            self.put(&length.to_le_bytes())?;
            self.put(&MAGIC[..6])?;
        }
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::UnixNanos;

    const COLUMNS: [Column; 2] = [
        Column { name: "ts", of: Type::Time, required: true },
        Column { name: "tape", of: Type::Text, required: false },
    ];

    /// What other readers make of all types and formats is tested in python/tests.
    #[test]
    fn a_file_lists_its_batches_and_ends_with_its_footer() {
        let mut file = ArrowWriter::new(&COLUMNS, Layout::File, Vec::new()).unwrap();
        for index in 0..=BATCH {
            let tape = if index % 2 == 0 { Value::Absent } else { Value::Text("B") };
            assert!(file.row(&[Value::Time(UnixNanos(long(index))), tape]).unwrap());
        }
        let blocks = file.blocks.clone().unwrap();
        assert_eq!((blocks.len(), file.rows), (3, 1), "the second batch is not written yet");
        assert!(blocks[0] % 64 == 0 && (blocks[0] + blocks[1]) % 64 == 0, "{blocks:?}");
        let bytes = file.finish().unwrap();
        assert_eq!(&bytes[..8], MAGIC);
        assert_eq!(&bytes[bytes.len() - 6..], b"ARROW1");
        let at = usize::try_from(blocks[0]).unwrap();
        assert_eq!(bytes[at..at + 4], CONTINUATION);
    }

    #[test]
    fn a_required_value_must_be_there() {
        let mut file = ArrowWriter::new(&COLUMNS, Layout::Stream, Vec::new()).unwrap();
        assert!(file.row(&[Value::Absent, Value::Absent]).is_err());
        assert!(file.row(&[Value::Text("x"), Value::Absent]).is_err());
    }
}
