//! Clients that hold what they can get, without a credential: others are served all the same.

use std::net::SocketAddr;

use drover_testkit::http2::{DATA, Http2, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, RST_STREAM};
use drover_testkit::{DEADLINE, Profile, ServerOptions, TestServer, answer, on_the_local_profile};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const PLACES: usize = 16;
const LOGIN: &str = "/api/v1/auth/login";

/// A server with few places, on which nothing ends because of time.
async fn small_and_patient(profile: Profile) -> TestServer {
    let mut options = ServerOptions::new(profile);
    (options.http.max_connections, options.http.max_connections_per_address) = (PLACES, 0);
    options.http.header_read_timeout_ms = 3_600_000;
    options.http.request_timeout_ms = 3_600_000;
    options.http.transfer_idle_timeout_ms = 3_600_000;
    options.start().await
}

/// A connection from another address of this machine.
async fn connect_from(server: &TestServer, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(server.address()).await.unwrap()
}

/// A newcomer of an address of its own, and the operator.
async fn is_answered(server: &TestServer) {
    let mut newcomer = connect_from(server, 9).await;
    newcomer.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(DEADLINE, newcomer.read_to_string(&mut text)).await.expect("an answer").unwrap();
    assert!(text.ends_with("ok\n"), "{text}");
    let listed = answer(server.admin_request(Method::GET, "/api/v1/devices").header("connection", "close")).await;
    assert_eq!(listed.status, 200);
}

on_the_local_profile! {
    async fn logins_that_never_end_keep_nobody_out(profile: Profile) {
        let server = small_and_patient(profile).await;
        let request = format!(
            "POST {LOGIN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
        );
        let mut held = Vec::new();
        for number in 0..3 * PLACES {
            let mut stream = connect_from(&server, 2 + u8::try_from(number % 2).unwrap()).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            held.push(stream);
            if number % PLACES == PLACES - 1 {
                is_answered(&server).await;
            }
        }
    }

    async fn clients_that_take_nothing_of_their_answers_keep_nobody_out(profile: Profile) {
        let server = small_and_patient(profile).await;
        let mut held = Vec::new();
        for number in 0..3 * PLACES {
            let stream = connect_from(&server, 2 + u8::try_from(number % 2).unwrap()).await;
            let mut client = Http2::start(stream, 0).await.unwrap();
            client.get(1, "/openapi.json").await.unwrap();
            client.answer(1).await.expect("the head of an answer");
            held.push(client);
            if number % PLACES == PLACES - 1 {
                is_answered(&server).await;
            }
        }
    }

    async fn signs_of_life_do_not_keep_an_answer_that_nobody_takes(profile: Profile) {
        let mut options = ServerOptions::new(profile);
        options.http.transfer_idle_timeout_ms = 300;
        let server = options.start().await;
        let mut client = Http2::start(connect_from(&server, 2).await, 0).await.unwrap();
        client.get(1, "/openapi.json").await.unwrap();
        client.answer(1).await.expect("the head of an answer");
        let closed = async { while client.ping().await.is_ok() && client.frame().await.is_ok() {} };
        tokio::time::timeout(DEADLINE, closed).await.expect("the server closes the connection");
    }

    async fn an_http_2_client_may_send_little_unread(profile: Profile) {
        let server = ServerOptions::new(profile).start().await;
        let mut client = Http2::start(connect_from(&server, 2).await, 65_535).await.unwrap();
        let (settings, more_bytes) = client.limits().await.unwrap();
        assert!(settings.contains(&(MAX_CONCURRENT_STREAMS, 16)), "{settings:?}");
        assert!(settings.contains(&(INITIAL_WINDOW_SIZE, 128 * 1024)), "{settings:?}");
        assert_eq!(more_bytes + 65_535, 256 * 1024);
    }

    async fn large_logins_are_refused_and_no_more_streams_than_allowed_are_open(profile: Profile) {
        let server = small_and_patient(profile).await;
        let mut client = Http2::start(connect_from(&server, 2).await, 65_535).await.unwrap();
        for stream in (1..32).step_by(2) {
            client.post(stream, LOGIN).await.unwrap();
        }
        client.post(33, LOGIN).await.unwrap();
        assert_eq!(client.answer(33).await.unwrap().kind, RST_STREAM);
        for part in [16 * 1024, 1024] {
            client.data(1, &vec![b' '; part]).await.unwrap();
        }
        client.answer(1).await.unwrap();
        let refused = loop {
            let frame = client.frame().await.unwrap();
            if frame.kind == DATA && frame.stream == 1 {
                break String::from_utf8(frame.payload).unwrap();
            }
        };
        assert!(refused.contains("too_large"), "{refused}");
        is_answered(&server).await;
    }
}
