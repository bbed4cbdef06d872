//! Which of the bytes that leave are bytes of answers.
//!
//! Over HTTP/2 a client makes the server write as often as it likes, by pings and settings that have to be acknowledged,
//! and takes nothing of its answer all the while.

const HEAD_BYTES: usize = 9;

/// The type of the frames that carry an answer's body.
const DATA: u8 = 0;

/// What leaves on one connection, in the order in which it leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire {
    /// Nothing has left.
    New,
    /// Answers, one after the other.
    Http1,
    /// Frames.
    Http2(Frame),
}

/// The frame that is leaving.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of its payload.
    left_bytes: usize,
}

impl Wire {
    /// These bytes left: how many of them were of answers.
    pub(super) fn count(&mut self, bytes: &[u8]) -> usize {
        if let (Self::New, Some(first)) = (&self, bytes.first()) {
            // The first frame is one of settings, whose length begins with a zero; an answer begins with `HTTP/1.1`.
            *self = if *first == b'H' { Self::Http1 } else { Self::Http2(Frame::default()) };
        }
        match self {
            Self::New => 0,
            Self::Http1 => bytes.len(),
            Self::Http2(frame) => frame.count(bytes),
        }
    }
}

impl Frame {
    fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut of_answers = 0;
        while !bytes.is_empty() {
            if self.left_bytes == 0 {
                bytes = self.take_head(bytes);
            }
            let (payload, rest) = bytes.split_at(self.left_bytes.min(bytes.len()));
            self.left_bytes -= payload.len();
            if self.head[3] == DATA {
                of_answers += payload.len();
            }
            bytes = rest;
        }
        of_answers
    }

    /// Takes what there is of the next head, and returns the rest.
    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (part, rest) = bytes.split_at((HEAD_BYTES - self.head_bytes).min(bytes.len()));
        self.head[self.head_bytes..self.head_bytes + part.len()].copy_from_slice(part);
        self.head_bytes += part.len();
        if self.head_bytes == HEAD_BYTES {
            let [high, middle, low, ..] = self.head;
            self.left_bytes = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.head_bytes = 0;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload_bytes: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, payload_bytes, kind, 0, 0, 0, 0, 1];
        frame.extend(vec![b'x'; usize::from(payload_bytes)]);
        frame
    }

    #[test]
    fn only_data_counts_however_it_is_cut() {
        let (settings, headers, ping) = (frame(4, 6), frame(1, 30), frame(6, 8));
        let stream = [settings, headers, frame(DATA, 200), ping.clone(), frame(DATA, 0), frame(DATA, 7), ping].concat();
        for size in 1..=stream.len() {
            let mut wire = Wire::New;
            let counted: usize = stream.chunks(size).map(|chunk| wire.count(chunk)).sum();
            assert_eq!(counted, 207, "in pieces of {size}");
        }
    }

    #[test]
    fn every_byte_of_http_1_counts() {
        let mut wire = Wire::New;
        assert_eq!(wire.count(b""), 0);
        assert_eq!(wire.count(b"HTTP/1.1 200 OK\r\n"), 17);
        assert_eq!(wire.count(&[0; 20]), 20);
    }
}
