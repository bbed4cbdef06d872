//! Connections that are held open for nothing, more of them than there are places.

use std::io::Write as _;
use std::net::TcpStream;

use tempfile::TempDir;

use crate::operator::Operator;
use crate::server::{Profile, Server};

const PLACES: usize = 20;

/// The head of a TLS record with the beginning of a greeting.
const HALF_A_GREETING: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

fn hold(address: &str, beginning: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        // One that was closed in the meantime holds nothing, which is fine.
        let _ = stream.write_all(beginning);
        stream
    };
    (0..2 * PLACES).map(connect).collect()
}

/// Silence and halves of what was to be said, from many connections: whoever has something to say is heard.
async fn more_than_there_are_places(more: &[&str], beginnings: &[&[u8]]) {
    let folder = TempDir::new().expect("a temporary folder");
    let places = PLACES.to_string();
    let arguments = [&["--max-connections", &places, "--max-connections-per-address", "0"], more].concat();
    let server = Server::start_with(Profile::Local, folder.path(), "127.0.0.1:0", &arguments).await;
    let operator = Operator::log_in(folder.path(), &server);
    let mut held = Vec::new();
    for beginning in beginnings {
        held.extend(hold(server.address(), beginning));
        operator.run(&["device", "list"]);
    }
    for _ in 0..5 {
        held.extend(hold(server.address(), b""));
        operator.run(&["whoami"]);
    }
    drop(held);
    operator.run(&["device", "list"]);
}

/// Over plain HTTP.
pub(crate) async fn plain() {
    more_than_there_are_places(&[], &[b"", b"GET /api/v1/dev", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await;
}

/// Over TLS.
pub(crate) async fn tls() {
    more_than_there_are_places(&["--tls", "on"], &[b"", &HALF_A_GREETING[..3], HALF_A_GREETING, b"GET / HTTP/1.1\r\n"])
        .await;
}
