//! The few parts of FlatBuffers that Arrow's metadata needs, written top-down: a table, then what it refers to.
//!
//! A table is preceded by its vtable (`u16` length of the vtable, `u16` length of the table, `u16` position of each
//! field or 0), begins with the distance back to it, and refers to texts, vectors and tables by the distance forward.
//! All numbers are little-endian and aligned to their size (<https://flatbuffers.dev/internals/>).

/// A value that other values refer to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A table with its fields in the order of the schema; trailing absent fields may be left out.
    Table(Vec<Field>),
    Text(String),
    Tables(Vec<Node>),
    /// A vector of structs of 64-bit numbers: how many structs, and their numbers.
    Structs(usize, Vec<i64>),
}

/// A field of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Absent,
    Byte(u8),
    Short(i16),
    Int(i32),
    Long(i64),
    To(Node),
}

impl Field {
    /// Size, and alignment, in bytes.
    const fn size(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Byte(_) => 1,
            Self::Short(_) => 2,
            Self::Int(_) | Self::To(_) => 4,
            Self::Long(_) => 8,
        }
    }
}

/// A buffer with `root` as its root table, padded to a multiple of 8 bytes.
pub(super) fn buffer(root: &Node) -> Vec<u8> {
    let mut out = vec![0; 4];
    let at = write(root, &mut out);
    refer(&mut out, 0, at);
    pad(&mut out, 0, 8);
    out
}

/// Appends zeros until `extra` bytes more would end at a multiple of `alignment`.
fn pad(out: &mut Vec<u8>, extra: usize, alignment: usize) {
    let length = (out.len() + extra).next_multiple_of(alignment) - extra;
    out.resize(length, 0);
}

fn set(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes at `at` the distance to `target`.
fn refer(out: &mut [u8], at: usize, target: usize) {
    set(out, at, &number(target - at).to_le_bytes());
}

/// Metadata is far smaller than 4 GiB: a schema of a few columns, or a few numbers for each column.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Appends a node and what it refers to; returns its position.
fn write(node: &Node, out: &mut Vec<u8>) -> usize {
    match node {
        Node::Table(fields) => table(fields, out),
        Node::Text(text) => {
            pad(out, 0, 4);
            let at = out.len();
            out.extend(number(text.len()).to_le_bytes());
            out.extend(text.as_bytes());
            out.push(0);
            at
        }
        Node::Tables(nodes) => {
            pad(out, 0, 4);
            let at = out.len();
            out.extend(number(nodes.len()).to_le_bytes());
            out.resize(at + 4 + 4 * nodes.len(), 0);
            for (index, node) in nodes.iter().enumerate() {
                let target = write(node, out);
                refer(out, at + 4 + 4 * index, target);
            }
            at
        }
        Node::Structs(count, numbers) => {
            pad(out, 4, 8);
            let at = out.len();
            out.extend(number(*count).to_le_bytes());
            numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
            at
        }
    }
}

fn table(fields: &[Field], out: &mut Vec<u8>) -> usize {
    let mut length: usize = 4;
    let mut positions = Vec::with_capacity(fields.len());
    for field in fields {
        if *field == Field::Absent {
            positions.push(0);
            continue;
        }
        length = length.next_multiple_of(field.size());
        positions.push(length);
        length += field.size();
    }
    let vtable = 4 + 2 * fields.len();
    pad(out, vtable, 8);
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    out.extend(short(vtable));
    out.extend(short(length));
    positions.iter().for_each(|position| out.extend(short(*position)));
    let at = out.len();
    out.resize(at + length, 0);
    set(out, at, &number(vtable).to_le_bytes());
    for (field, position) in fields.iter().zip(positions) {
        let place = at + position;
        match field {
            Field::Absent => {}
            Field::Byte(value) => set(out, place, &value.to_le_bytes()),
            Field::Short(value) => set(out, place, &value.to_le_bytes()),
            Field::Int(value) => set(out, place, &value.to_le_bytes()),
            Field::Long(value) => set(out, place, &value.to_le_bytes()),
            Field::To(node) => {
                let target = write(node, out);
                refer(out, place, target);
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn fields_are_found_through_the_vtable() {
        let fields = vec![
            Field::Short(4),
            Field::Absent,
            Field::Byte(3),
            Field::To(Node::Text("price".to_owned())),
            Field::Long(-7),
        ];
        let bytes = buffer(&Node::Table(fields));
        assert_eq!(bytes.len() % 8, 0);
        let table = int(&bytes, 0);
        let vtable = table - int(&bytes, table);
        let short = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        assert_eq!(short(vtable), 4 + 2 * 5);
        let at = |field: usize| table + short(vtable + 4 + 2 * field);
        assert_eq!((short(at(0)), short(vtable + 6), bytes[at(2)]), (4, 0, 3));
        let text = at(3) + int(&bytes, at(3));
        assert_eq!(&bytes[text + 4..text + 4 + int(&bytes, text)], b"price");
        assert_eq!(at(4) % 8, 0);
        assert_eq!(bytes[at(4)..at(4) + 8], (-7_i64).to_le_bytes());
    }
}
