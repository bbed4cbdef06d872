//! `PostgreSQL`'s binary form of rows: a head, then per row the number of fields (16 bits) and each field with its
//! length (32 bits, -1 for none), then -1 in place of a number of fields. Numbers are big-endian.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Signature, no flags, no extension.
pub(super) const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a further row.
pub(super) const END: &[u8] = &[0xff, 0xff];

/// No field of ours comes near.
const FIELD_MAX_BYTES: usize = 256 * 1024 * 1024;

/// The bytes are not rows in this form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins otherwise.
    #[error("it does not begin as rows do")]
    Head,
    /// A length that cannot be.
    #[error("a field of {length} bytes")]
    Length {
        /// What it says.
        length: i64,
    },
    /// It ends in the middle.
    #[error("it ends in the middle of a row")]
    Truncated,
    /// There is more behind the end.
    #[error("it goes on behind its end")]
    Trailing,
    /// Rows of another table.
    #[error("a row of {found} columns, which is not the table's number")]
    Columns {
        /// How many there are.
        found: usize,
    },
    /// Not a value of the column's kind.
    #[error("a value that does not fit column {column}")]
    Value {
        /// The column.
        column: String,
    },
}

pub(super) fn put_start(bytes: &mut BytesMut, fields: usize) {
    // No database has tables that wide.
    bytes.put_i16(i16::try_from(fields).unwrap_or(i16::MAX));
}

pub(super) fn put_field(bytes: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => bytes.put_i32(-1),
        Some(field) => {
            // SQLite's values end at 1 GB.
            bytes.put_i32(i32::try_from(field.len()).unwrap_or(i32::MAX));
            bytes.put_slice(field);
        }
    }
}

/// Takes rows out of bytes that arrive in any pieces.
#[derive(Debug, Default)]
pub struct RowReader {
    bytes: BytesMut,
    has_begun: bool,
    has_ended: bool,
}

impl RowReader {
    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole row, or none until there are more bytes.
    pub fn next_row(&mut self) -> Result<Option<Vec<Option<Bytes>>>, Malformed> {
        if !self.has_begun {
            if self.bytes.len() < HEAD.len() {
                return Ok(None);
            }
            if self.bytes.split_to(HEAD.len()) != HEAD {
                return Err(Malformed::Head);
            }
            self.has_begun = true;
        }
        if self.has_ended {
            return if self.bytes.is_empty() { Ok(None) } else { Err(Malformed::Trailing) };
        }
        let Some(length) = self.row_length()? else { return Ok(None) };
        let mut row = self.bytes.split_to(length).freeze();
        let fields = row.get_i16();
        if fields < 0 {
            self.has_ended = true;
            return self.next_row();
        }
        let field = |_| usize::try_from(row.get_i32()).ok().map(|length| row.split_to(length));
        Ok(Some((0..fields).map(field).collect()))
    }

    /// Bytes of the row at the beginning; none while it is not whole.
    fn row_length(&self) -> Result<Option<usize>, Malformed> {
        let mut rest = &self.bytes[..];
        let Ok(fields) = rest.try_get_i16() else { return Ok(None) };
        for _ in 0..fields {
            let Ok(length) = rest.try_get_i32() else { return Ok(None) };
            if length == -1 {
                continue;
            }
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= FIELD_MAX_BYTES)
                .ok_or(Malformed::Length { length: length.into() })?;
            let Some(behind) = rest.get(length..) else { return Ok(None) };
            rest = behind;
        }
        Ok(Some(self.bytes.len() - rest.len()))
    }

    /// Whether the end was there, and nothing behind it.
    pub fn finish(self) -> Result<(), Malformed> {
        match (self.has_ended, self.bytes.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Malformed::Trailing),
            (false, _) => Err(Malformed::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
        let mut bytes = BytesMut::from(HEAD);
        for row in rows {
            put_start(&mut bytes, row.len());
            for field in row {
                put_field(&mut bytes, field.as_deref());
            }
        }
        bytes.extend_from_slice(END);
        bytes.to_vec()
    }

    fn decoded(bytes: &[u8], piece: usize) -> Result<Vec<Vec<Option<Vec<u8>>>>, Malformed> {
        let (mut reader, mut rows) = (RowReader::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(row) = reader.next_row()? {
                rows.push(row.into_iter().map(|field| field.map(|bytes| bytes.to_vec())).collect());
            }
        }
        reader.finish().map(|()| rows)
    }

    fn rows() -> Vec<Vec<Option<Vec<u8>>>> {
        vec![vec![Some(b"one".to_vec()), None], vec![Some(Vec::new()), Some(vec![0xff; 300])]]
    }

    #[test]
    fn rows_come_back_whatever_pieces_they_arrive_in() {
        let bytes = encoded(&rows());
        for piece in 1..=bytes.len() {
            assert_eq!(decoded(&bytes, piece), Ok(rows()), "{piece}");
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_refused() {
        let bytes = encoded(&rows());
        for length in 0..bytes.len() {
            assert_eq!(decoded(&bytes[..length], 7), Err(Malformed::Truncated), "{length}");
        }
        assert_eq!(decoded(&[&bytes[..], b"x"].concat(), 7), Err(Malformed::Trailing));
        assert_eq!(decoded(&[b"x", &bytes[..]].concat(), 7), Err(Malformed::Head));
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_it_is_waited_for() {
        let mut bytes = BytesMut::from(HEAD);
        put_start(&mut bytes, 1);
        bytes.put_i32(i32::MAX);
        assert_eq!(decoded(&bytes, 64), Err(Malformed::Length { length: i32::MAX.into() }));
    }
}
