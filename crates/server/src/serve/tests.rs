use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use super::*;
use crate::connection::Proof;
use crate::problem;
use crate::testing::{PATIENCE, Running, read_answer, read_to_end, status_line};
use crate::transfer::{self, Upload};

const FINE: &str = "GET /fine HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const FINE_AND_STAY: &str = "GET /fine HTTP/1.1\r\nhost: x\r\n\r\n";

fn impatient() -> HttpConfig {
    HttpConfig { header_read_timeout_ms: 200, transfer_idle_timeout_ms: 200, ..HttpConfig::default() }
}

fn fine() -> Router {
    Router::new().route("/fine", get(|| async { "fine" }))
}

#[tokio::test]
async fn a_request_is_answered() {
    let server = Running::start(fine(), HttpConfig::default()).await;
    let answer = server.exchange(FINE).await;
    assert!(answer.starts_with(&status_line(StatusCode::OK)) && answer.ends_with("\r\n\r\nfine"), "{answer}");
}

/// HTTP/2 without TLS, as gRPC-minded proxies speak it to what is behind them.
#[tokio::test]
async fn a_request_in_http_2_is_answered() {
    use tokio::io::AsyncReadExt as _;
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // One frame of headers that ends the stream 1: GET http / and the authority `x`, by the table of RFC 7541.
    const HEADERS: &[u8] = &[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'x'];
    let server = Running::start(Router::new().route("/", get(|| async { "fine" })), HttpConfig::default()).await;
    let mut stream = server.connect().await;
    let request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SETTINGS, HEADERS].concat();
    stream.write_all(&request).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"fine") {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer").expect("read"), 0, "closed after {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = Running::start(fine(), impatient()).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.expect("sent");
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.contains("200"), "{beginning:?}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let server = Running::start(fine(), impatient()).await;
    let mut stream = server.connect().await;
    let began = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    stream.write_all(b"GET /fine HTTP/1.1\r\nx: ").await.expect("sent");
    while stream.write_all(b"y").await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "the head may drip for ever");
        pause.tick().await;
    }
}

#[tokio::test]
async fn a_kept_connection_outlives_the_time_for_a_head() {
    let server = Running::start(fine(), HttpConfig { header_read_timeout_ms: 150, ..HttpConfig::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    read_answer(&mut stream).await;
    // What is waited for is that nothing happens, so here time itself is the condition.
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_millis(450), stream.peek(&mut byte)).await;
    assert!(closed.is_err(), "{closed:?}");
    stream.write_all(FINE.as_bytes()).await.expect("sent");
    assert!(read_to_end(&mut stream).await.ends_with("fine"));
}

/// A service with `/wait`, which is entered, with a valid credential, and then answers when it is told to.
fn waiting(entered: &Arc<Notify>, go_on: &Arc<Notify>) -> Router {
    let (entered, go_on) = (Arc::clone(entered), Arc::clone(go_on));
    let wait = |Extension(proof): Extension<Proof>| async move {
        proof.given();
        entered.notify_one();
        go_on.notified().await;
        "late"
    };
    fine().route("/wait", get(wait))
}

#[tokio::test]
async fn whoever_is_known_and_at_work_keeps_its_place() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = HttpConfig { max_connections: 1, ..HttpConfig::default() };
    let server = Running::start(waiting(&entered, &go_on), config).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    entered.notified().await;
    let mut next = server.connect().await;
    next.write_all(FINE.as_bytes()).await.expect("sent");
    let mut byte = [0];
    // What is waited for is that nothing happens, so here time itself is the condition.
    let early = tokio::time::timeout(Duration::from_millis(300), next.peek(&mut byte)).await;
    assert!(early.is_err(), "a second connection was served");
    go_on.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("late"));
    assert!(read_to_end(&mut next).await.ends_with("fine"));
}

#[tokio::test]
async fn of_the_strangers_of_an_address_those_make_room_who_came_first() {
    let config = HttpConfig { max_connections: 2, header_read_timeout_ms: 3_600_000, ..HttpConfig::default() };
    let server = Running::start(fine(), config).await;
    let mut kept = server.connect().await;
    kept.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    read_answer(&mut kept).await;
    let mut silent = server.connect().await;
    silent.write_all(b"GET /fi").await.expect("sent");

    let mut third = server.connect().await;
    third.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    read_answer(&mut third).await;
    assert_eq!(read_to_end(&mut kept).await, "");
    let mut fourth = server.connect().await;
    fourth.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    read_answer(&mut fourth).await;
    assert_eq!(read_to_end(&mut silent).await, "");
    third.write_all(FINE.as_bytes()).await.expect("sent");
    assert!(read_to_end(&mut third).await.ends_with("fine"));
}

/// Each is in a handler that never ends, so none of them rests.
#[tokio::test]
async fn strangers_who_look_busy_keep_nobody_out() {
    let entered = Arc::new(Notify::new());
    let hang = {
        let entered = Arc::clone(&entered);
        || async move {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let config = HttpConfig { max_connections: 4, max_connections_per_address: 0, ..HttpConfig::default() };
    let server = Running::start(fine().route("/hang", get(hang)), config).await;
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut stream = server.connect_from("127.0.0.2").await;
        stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        entered.notified().await;
        held.push(stream);
    }
    let mut alone = server.connect_from("127.0.0.3").await;
    alone.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    assert!(read_answer(&mut alone).await.ends_with("fine"));
    for _ in 0..12 {
        let mut stream = server.connect_from("127.0.0.2").await;
        stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        entered.notified().await;
        held.push(stream);
    }
    alone.write_all(FINE.as_bytes()).await.expect("sent");
    assert!(read_to_end(&mut alone).await.ends_with("fine"), "those who came in numbers made room for one another");
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let config = HttpConfig { max_connections: 100, max_connections_per_address: 2, ..HttpConfig::default() };
    let server = Running::start(fine(), config).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for stream in [&mut one, &mut two] {
        stream.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
        read_answer(stream).await;
    }
    assert_eq!(read_to_end(&mut server.connect().await).await, "", "a third is turned away");
    let mut neighbour = server.connect_from("127.0.0.2").await;
    neighbour.write_all(FINE.as_bytes()).await.expect("sent");
    assert!(read_to_end(&mut neighbour).await.ends_with("fine"));
    drop(one);
    let began = Instant::now();
    // Its place is free as soon as the server has noticed.
    while !server.exchange(FINE).await.ends_with("fine") {
        assert!(began.elapsed() < PATIENCE, "the place stays taken");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let gone = Arc::new(Notify::new());
    let endless = {
        let gone = Arc::clone(&gone);
        move || {
            let guard = Dropped(Arc::clone(&gone));
            let chunks = futures::stream::repeat_with(move || {
                let _ = &guard;
                Ok::<_, Infallible>(Bytes::from(vec![0; 65_536]))
            });
            async { Body::from_stream(chunks) }
        }
    };
    let server = Running::start(Router::new().route("/endless", get(endless)), impatient()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    tokio::time::timeout(PATIENCE, gone.notified()).await.expect("the answer is given up");
}

/// Asks for `/huge` on each of so many streams, and opens no window for the answers.
async fn take_nothing(server: &Running, address: &str, streams: u8) -> TcpStream {
    const NO_WINDOW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let mut stream = server.connect_from(address).await;
    let mut request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_WINDOW].concat();
    for number in 0..streams {
        request.extend([0, 0, 12, 1, 5, 0, 0, 0, 2 * number + 1, 0x82, 0x86, 0x41, 1, b'x', 0x04, 5]);
        request.extend(b"/huge");
    }
    stream.write_all(&request).await.expect("sent");
    stream
}

#[tokio::test]
async fn whoever_asks_for_more_than_it_takes_is_cut_off() {
    use tokio::io::AsyncReadExt as _;
    static HUGE: [u8; 1024 * 1024] = [b'x'; 1024 * 1024];
    let huge = get(|| async { Body::from(Bytes::from_static(&HUGE)) });
    let server = Running::start(fine().route("/huge", huge), HttpConfig::default()).await;
    let mut modest = take_nothing(&server, "127.0.0.2", 2).await;
    let mut many = Vec::new();
    for _ in 0..10 {
        many.push(take_nothing(&server, "127.0.0.3", 16).await);
    }
    let ends = many.iter_mut().map(|stream| Box::pin(read_to_end(stream)));
    futures::future::select_all(ends).await;
    assert!(server.exchange(FINE).await.ends_with("fine"));
    // Its connection and its first stream get windows now.
    for stream in [0, 1] {
        modest.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 16, 0, 0]).await.expect("sent");
    }
    let mut taken_bytes = 0;
    while taken_bytes < HUGE.len() {
        let mut piece = [0; 16_384];
        let read = tokio::time::timeout(PATIENCE, modest.read(&mut piece)).await.expect("an answer").expect("read");
        assert_ne!(read, 0, "closed after {taken_bytes} bytes");
        taken_bytes += read;
    }
}

/// Takes uploads and counts their bytes; refuses those that announce too much, without looking at them.
fn uploads(received: Arc<AtomicUsize>, idle_timeout: Duration) -> Router {
    use futures::StreamExt as _;
    let take = |upload: Upload| async move {
        if upload.content_length.is_some_and(|bytes| bytes > 1_000_000) {
            let error =
                drover_app::Error::new(drover_types::ErrorKind::TooLarge, "too_large", "at most 1 000 000 bytes");
            return Err(problem::Failure::from(error));
        }
        let mut body = upload.body;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| drover_app::Error::internal("read the upload", error))?;
            received.fetch_add(chunk.len(), Ordering::SeqCst);
        }
        Ok("stored")
    };
    Router::new().route("/object", put(take)).layer(from_fn_with_state(idle_timeout, transfer::guard_body))
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let received = Arc::new(AtomicUsize::new(0));
    let server =
        Running::start(uploads(Arc::clone(&received), Duration::from_millis(100)), HttpConfig::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PUT /object HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").await.expect("sent");
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with(&status_line(StatusCode::INTERNAL_SERVER_ERROR)), "{answer}");
    assert_eq!(received.load(Ordering::SeqCst), 4);
}

/// The client writes everything before it reads, as most do: without patience of the server it would see a reset.
#[tokio::test]
async fn a_refused_upload_is_told_why() {
    let server = Running::start(uploads(Arc::default(), PATIENCE), HttpConfig::default()).await;
    let mut stream = server.connect().await;
    let size_bytes = 32 * 1024 * 1024;
    let head = format!("PUT /object HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size_bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let chunk = vec![0; 65_536];
    for _ in 0..size_bytes / chunk.len() {
        stream.write_all(&chunk).await.expect("the server still listens");
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("at most 1 000 000 bytes"), "{answer}");
}

#[tokio::test]
async fn a_shutdown_answers_what_it_began_and_closes_the_rest() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut server = Running::start(waiting(&entered, &go_on), HttpConfig::default()).await;
    let (mut busy, mut kept) = (server.connect().await, server.connect().await);
    kept.write_all(FINE_AND_STAY.as_bytes()).await.expect("sent");
    read_answer(&mut kept).await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    entered.notified().await;

    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut kept).await, "", "a connection without a request is closed");
    let began = Instant::now();
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "new connections are still accepted");
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("late"));
    tokio::time::timeout(PATIENCE, &mut server.task).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let config = HttpConfig { shutdown_grace_ms: 50, ..HttpConfig::default() };
    let entered = Arc::new(Notify::new());
    let hang = {
        let entered = Arc::clone(&entered);
        || async move {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let mut server = Running::start(Router::new().route("/hang", get(hang)), config).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    entered.notified().await;
    server.shutdown.cancel();
    tokio::time::timeout(PATIENCE, &mut server.task).await.expect("it ends").expect("without a panic");
    assert_eq!(read_to_end(&mut stream).await, "");
}
