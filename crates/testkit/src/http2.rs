//! HTTP/2 by hand, for clients that no library would be: frames are written and read one by one.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// A stream is given up.
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// The connection ends.
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Settings by their numbers.
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// What each side may send on a stream before the other has taken it.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// One side's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// The stream that it belongs to; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A client that has said hello.
pub struct Http2<S> {
    io: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    /// Says hello; answers may have so many bytes per stream before this client asks for more.
    pub async fn start(mut io: S, window_bytes: u32) -> io::Result<Self> {
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(window_bytes.to_be_bytes());
        io.write_all(PREFACE).await?;
        let mut http2 = Self { io };
        http2.send(SETTINGS, 0, 0, &settings).await?;
        Ok(http2)
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }

    /// Asks for a path, in stream 1, 3, 5, …
    pub async fn get(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET", path)).await
    }

    /// The head of a request with a body of JSON.
    pub async fn post(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(HEADERS, END_HEADERS, stream, &head("POST", path)).await
    }

    /// A part of a body, that is not its last.
    pub async fn data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        self.send(DATA, 0, stream, bytes).await
    }

    /// Asks whether the server lives, which it has to answer.
    pub async fn ping(&mut self) -> io::Result<()> {
        self.send(PING, 0, 0, &[0; 8]).await
    }

    /// The next frame of the server.
    pub async fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await?;
        let [high, middle, low, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.io.read_exact(&mut payload).await?;
        Ok(Frame { kind, stream: u32::from_be_bytes(stream), payload })
    }

    /// Reads until an answer on this stream begins, or there will be none.
    pub async fn answer(&mut self, stream: u32) -> io::Result<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM) || frame.kind == GOAWAY {
                return Ok(frame);
            }
        }
    }

    /// The settings that the server says hello with, and what it lets a connection send beyond 65 535 bytes.
    pub async fn limits(&mut self) -> io::Result<(Vec<(u16, u32)>, u32)> {
        let (mut settings, mut more) = (Vec::new(), None);
        while settings.is_empty() || more.is_none() {
            let frame = self.frame().await?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            match frame.kind {
                SETTINGS => {
                    let pair = |pair: &[u8]| (u16::from_be_bytes([pair[0], pair[1]]), number(&pair[2..]));
                    settings.extend(frame.payload.chunks_exact(6).map(pair));
                }
                WINDOW_UPDATE => more = Some(number(&frame.payload)),
                _ => {}
            }
        }
        Ok((settings, more.unwrap_or_default()))
    }
}

/// Every field spelt out, none compressed.
fn head(method: &str, path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/json"),
    ];
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).expect("a short text"));
            head.extend(text.as_bytes());
        }
    }
    head
}
