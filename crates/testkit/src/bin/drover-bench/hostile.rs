//! Hostile clients against the real server, while a good one asks for something every few milliseconds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_cli::{Client, ServerTrust};
use drover_testkit::bench::{Database, Place, Server, UNLIMITED};
use drover_testkit::http2::Http2;
use drover_trust::pinned_tls;
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const LOGIN: &str = "/api/v1/auth/login";

/// How often the good client asks, each time on a new connection.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How often a slow client sends a byte.
const DRIP_EVERY: Duration = Duration::from_secs(1);

/// Streams that an HTTP/2 client opens: as many as the server allows.
const STREAMS: u32 = 16;

/// What each of them sends of a login: all together fill the window of a connection, and none is refused for its size.
const LOGIN_BYTES: usize = 8_000;

/// Connections that are being opened at once.
const OPENING_MAX: usize = 100;

/// Loopback addresses that the clients come from: one address gets half of the places at most.
const ADDRESSES: u8 = 4;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The server's program
    #[arg(long)]
    program: PathBuf,
    /// Clients with slow heads, and as many for each other way to hold a connection
    #[arg(long, default_value_t = 2_000)]
    clients: usize,
    /// Connections that have asked once and stay
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Clients that guess passwords, each from an address of its own
    #[arg(long, default_value_t = 64)]
    guessers: usize,
    /// How long each attack lasts
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) async fn run(options: &Options) {
    raise_open_files();
    println!(
        "| transport | attack | good requests | failed | p50 | p99 | slowest | good log-in | server's VmRSS | VmHWM | CPU |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for tls in [false, true] {
        Bench::start(options, tls).await.run(options).await;
    }
}

/// Both ends of ten thousand connections are files; the server raises its own limit.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("it may be raised");
}

struct Bench {
    server: Server,
    target: Target,
    token: String,
    good_http: reqwest::Client,
    _place: Place,
}

/// Where the attackers go.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Target {
    async fn tcp(&self, number: usize) -> std::io::Result<TcpStream> {
        let last = 2 + u8::try_from(number % usize::from(ADDRESSES)).unwrap_or_default();
        self.tcp_from(Ipv4Addr::new(127, 0, 0, last)).await
    }

    async fn tcp_from(&self, address: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        socket.connect(self.address).await
    }

    async fn connect(&self, number: usize) -> std::io::Result<Box<dyn Stream>> {
        self.secured(self.tcp(number).await?).await
    }

    async fn secured(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::from(self.address.ip());
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// One byte of a head at a time, for as long as the server bears it; then again.
    async fn drip(self, number: usize) {
        loop {
            if let Ok(mut stream) = self.connect(number).await {
                let head =
                    b"GET /api/v1/devices HTTP/1.1\r\nhost: x\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x'));
                for byte in head {
                    if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                    tokio::time::sleep(DRIP_EVERY).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Nothing, or with TLS half a greeting, for as long as the server bears it; then again.
    async fn stay_silent(self, number: usize) {
        loop {
            if let Ok(mut stream) = self.tcp(number).await {
                if self.tls.is_some() && number.is_multiple_of(2) {
                    let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
                }
                let mut end = Vec::new();
                let _ = stream.read_to_end(&mut end).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A login without its end, for as long as the server bears it; then again.
    async fn log_in_without_end(self, number: usize) {
        let request = format!(
            "POST {LOGIN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{"
        );
        loop {
            if let Ok(mut stream) = self.connect(number).await
                && stream.write_all(request.as_bytes()).await.is_ok()
                && stream.flush().await.is_ok()
            {
                let mut end = Vec::new();
                let _ = stream.read_to_end(&mut end).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// As many large logins as a connection may hold, without their ends.
    async fn log_in_on_every_stream(self, number: usize) {
        loop {
            if let Ok(stream) = self.connect(number).await {
                let _ = fill_with_logins(stream).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Large answers of which nothing is taken, and signs of life.
    async fn take_nothing(self, number: usize) {
        loop {
            if let Ok(stream) = self.connect(number).await {
                let _ = ask_and_take_nothing(stream).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One guess after the other, each guesser from an address of its own: half of them at the account that is there.
    async fn guess(self, number: usize) {
        let [_, _, high, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let name = if number.is_multiple_of(2) { "admin".to_owned() } else { format!("user-{number}") };
        let body = format!(r#"{{"username": "{name}", "password": "guess {number}"}}"#);
        let request = format!(
            "POST {LOGIN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        loop {
            if let Ok(stream) = self.tcp_from(Ipv4Addr::new(127, 1, high, low.max(1))).await
                && let Ok(mut stream) = self.secured(stream).await
            {
                let mut answer = [0; 4096];
                while stream.write_all(request.as_bytes()).await.is_ok()
                    && stream.flush().await.is_ok()
                    && stream.read(&mut answer).await.is_ok_and(|length| length > 0)
                {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A connection that has asked once and stays open.
    async fn ask_and_stay(self, number: usize, opening: Arc<Semaphore>) -> std::io::Result<Box<dyn Stream>> {
        let _opening = opening.acquire().await;
        let mut stream = self.connect(number).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        stream.flush().await?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await?;
        if answer[..length].starts_with(b"HTTP/1.1 200") { Ok(stream) } else { Err(std::io::ErrorKind::Other.into()) }
    }
}

/// Returns when the server has had enough.
async fn fill_with_logins(stream: Box<dyn Stream>) -> std::io::Result<()> {
    let mut client = Http2::start(stream, 65_535).await?;
    for stream in (0..STREAMS).map(|number| 2 * number + 1) {
        client.post(stream, LOGIN).await?;
        client.data(stream, &[b' '; LOGIN_BYTES]).await?;
    }
    loop {
        client.frame().await?;
    }
}

/// Returns when the server has had enough.
async fn ask_and_take_nothing(stream: Box<dyn Stream>) -> std::io::Result<()> {
    let mut client = Http2::start(stream, 0).await?;
    for stream in (0..STREAMS).map(|number| 2 * number + 1) {
        client.get(stream, "/metrics").await?;
    }
    loop {
        client.ping().await?;
        client.frame().await?;
        tokio::time::sleep(DRIP_EVERY).await;
    }
}

impl Bench {
    async fn start(options: &Options, tls: bool) -> Self {
        let place = Place::new(Database::Sqlite).await;
        let most = (options.connections).to_string();
        let mode = if tls { "on" } else { "off" };
        let mut arguments = UNLIMITED.to_vec();
        arguments.extend(["--tls", mode, "--max-connections", &most, "--max-connections-per-address", "5000"]);
        let server = Server::start(&options.program, &place, &arguments).await;
        let trust = server.trust();
        let good_http = Client::http_trusting(&trust).expect("a network client");
        let token = server.log_in().await;
        let connector = match trust {
            ServerTrust::Pinned(pin) => {
                let config = pinned_tls(vec![pin], Arc::new(DefaultTimeProvider)).expect("TLS");
                Some(TlsConnector::from(Arc::new(config)))
            }
            _ => None,
        };
        let address = server.url.split_once("://").expect("an address").1.parse().expect("an address");
        let target = Target { address, tls: connector };
        Self { server, target, token, good_http, _place: place }
    }

    async fn run(&self, options: &Options) {
        self.measure("none", options).await;
        self.under("slow heads", options, options.clients, Target::drip).await;
        self.under("silence, half a handshake", options, options.clients, Target::stay_silent).await;
        self.under("logins without end", options, options.clients, Target::log_in_without_end).await;
        self.under("HTTP/2, a login on each stream", options, options.clients, Target::log_in_on_every_stream).await;
        self.under("HTTP/2, answers not taken", options, options.clients, Target::take_nothing).await;
        self.under("wrong passwords", options, options.guessers, Target::guess).await;
        self.with_many_connections(options).await;
        self.measure("none, afterwards", options).await;
    }

    async fn under<F>(&self, name: &str, options: &Options, count: usize, attack: impl Fn(Target, usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut attackers = JoinSet::new();
        for number in 0..count {
            attackers.spawn(attack(self.target.clone(), number));
        }
        // The first seconds of an attack are like the others.
        self.measure(&format!("{count} × {name}"), options).await;
        attackers.shutdown().await;
    }

    async fn with_many_connections(&self, options: &Options) {
        let opening = Arc::new(Semaphore::new(OPENING_MAX));
        let mut opened = JoinSet::new();
        for number in 0..options.connections {
            opened.spawn(self.target.clone().ask_and_stay(number, Arc::clone(&opening)));
        }
        let held: Vec<_> = opened.join_all().await.into_iter().filter_map(Result::ok).collect();
        self.measure(&format!("{} idle connections", held.len()), options).await;
    }

    /// What the good client sees while something goes on.
    async fn measure(&self, name: &str, options: &Options) {
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let (mut times, mut failed) = (Vec::new(), 0_u32);
        let cpu_before = self.server.cpu_seconds();
        let url = format!("{}/api/v1/devices?limit=1", self.server.url);
        while Instant::now() < until {
            let asked = Instant::now();
            let request =
                self.good_http.request(Method::GET, &url).bearer_auth(&self.token).header("connection", "close");
            match request.send().await {
                Ok(answer) if answer.status().is_success() => times.push(asked.elapsed()),
                _ => failed += 1,
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let begin = Instant::now();
        let good_login = match self.server.try_log_in().await {
            Ok(_) => format!("{:.0} ms", begin.elapsed().as_secs_f64() * 1e3),
            Err(error) => format!("refused: {error}"),
        };
        times.sort();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        let ms = |time: Option<&Duration>| {
            time.map_or("–".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
        };
        let transport = if self.target.tls.is_some() { "TLS" } else { "plain" };
        #[expect(clippy::cast_precision_loss, reason = "megabytes with one digit")]
        let memory_mb = |field| self.server.memory_kib(field) as f64 / 1024.0;
        println!(
            "| {transport} | {name} | {} | {failed} | {} | {} | {} | {good_login} | {:.1} MB | {:.1} MB | {:.1} s |",
            times.len(),
            ms(at(50)),
            ms(at(99)),
            ms(times.last()),
            memory_mb("VmRSS"),
            memory_mb("VmHWM"),
            self.server.cpu_seconds() - cpu_before,
        );
    }
}
