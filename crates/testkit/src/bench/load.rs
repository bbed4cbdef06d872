//! Load: devices that take turns on a few connections, each of which asks as soon as it was answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;

/// What was asked and answered.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) checks: u64,
    /// Answers with an offer.
    pub(super) offers: u64,
    /// Answers that were neither 200 nor 304.
    pub(super) failures: u64,
    /// From the first byte sent to the last one received, in microseconds; sorted.
    latencies_us: Vec<u32>,
    pub(super) wall: Duration,
}

impl Load {
    /// The time that this share of all answers stayed below, in milliseconds.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let index = (self.latencies_us.len() * percent / 100).min(self.latencies_us.len().saturating_sub(1));
        f64::from(self.latencies_us.get(index).copied().unwrap_or(0)) / 1_000.0
    }
}

/// Puts load on the server until `stop`, one device after the other from the first on; `next` counts those that asked.
pub(super) async fn run(
    address: SocketAddr,
    fleet: Fleet,
    connections: u32,
    next: Arc<AtomicU32>,
    stop: CancellationToken,
) -> Load {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(connection(address, fleet, Arc::clone(&next), stop.clone()));
    }
    let mut all = Load::default();
    while let Some(one) = tasks.join_next().await {
        let one = one.expect("the load runs to its end");
        all.checks += one.checks;
        all.offers += one.offers;
        all.failures += one.failures;
        all.latencies_us.extend(one.latencies_us);
    }
    all.wall = begun.elapsed();
    all.latencies_us.sort_unstable();
    all
}

async fn connection(address: SocketAddr, fleet: Fleet, next: Arc<AtomicU32>, stop: CancellationToken) -> Load {
    let mut stream = TcpStream::connect(address).await.expect("the server takes connections");
    stream.set_nodelay(true).expect("an option of the socket");
    let mut load = Load::default();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while !stop.is_cancelled() {
        let token = fleet.token(next.fetch_add(1, Ordering::Relaxed) % fleet.devices);
        let request = format!(
            "GET /api/v1/updates/check HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             if-none-match: W/\"nothing\"\r\n\r\n"
        );
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let answer = read_answer(&mut stream, &mut buffer).await;
        load.latencies_us.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        load.checks += 1;
        load.offers += u64::from(answer.has_offer);
        load.failures += u64::from(!matches!(answer.status, 200 | 304));
    }
    load
}

struct Answer {
    status: u16,
    has_offer: bool,
}

/// Reads one answer with `Content-Length`, or without a body.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Answer {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("the server answers");
        assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(buffer));
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("a head is text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        let body = &buffer[end + 4..];
        if body.len() >= length {
            let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
            return Answer { status, has_offer: body.starts_with(br#"{"offer":"#) };
        }
    }
}
