//! `drover demo`: the whole main job on this machine, with real bytes, real HTTP and the real agent.

mod progress;
mod releases;
mod scenario;
mod summary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use drover_app::compose::Backends;
use drover_app::{FirstStart, PresignKeys, Settings};
use drover_server::HttpConfig;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::error::RunError;
use crate::logging::{self, LogFormat};
use crate::node::{Node, address_of, listen};
use crate::serve::{make_private, stop_on_signal};
use progress::Progress;
use scenario::Scenario;

/// The key of source 000's example. The demo serves loopback only and its data is thrown away.
const PRESIGN_KEY: &str = "dev-local-key";

/// Options of `drover demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// End when the job is done; fails when anything was not as it should be
    #[arg(long)]
    once: bool,
    /// Address to listen on; port 8080, or with --once a free one, when not given
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder to keep server and devices in; a temporary one, removed at the end, when not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the demo.
pub(crate) async fn run(args: DemoArgs, json: bool) -> Result<(), RunError> {
    logging::start(LogFormat::Text, "off");
    let folder = Folder::new(args.data)?;
    let fallback = SocketAddr::from(([127, 0, 0, 1], if args.once { 0 } else { 8080 }));
    let listener = listen(args.listen.unwrap_or(fallback)).await?;
    let url = format!("http://{}", address_of(&listener)?);
    let mut node = open_node(&folder, &url, listener).await?;
    let first = node
        .first_start
        .take()
        .ok_or_else(|| RunError::Demo("the folder of --data has been used before; choose an empty one".to_owned()))?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let server = tokio::spawn(node.serve(stop.clone()));

    let progress = Progress::new(!json);
    let job = Scenario::run(&url, folder.path(), &first, &progress);
    let outcome = tokio::select! {
        outcome = job => outcome,
        () = stop.cancelled() => Err(RunError::Demo("interrupted".to_owned())),
    };
    match outcome {
        Ok(summary) => {
            summary.print(json, &progress)?;
            let verdict = summary.verdict();
            if !args.once && verdict.is_ok() {
                progress.say(&stays_up(&url, &first));
                stop.cancelled().await;
            }
            end(stop, server).await?;
            verdict
        }
        Err(error) => {
            end(stop, server).await?;
            Err(error)
        }
    }
}

async fn open_node(folder: &Folder, url: &str, listener: tokio::net::TcpListener) -> Result<Node, RunError> {
    let data = folder.path().join("server");
    make_private(&data)?;
    let backends = Backends {
        database: format!("sqlite:{}", data.join("drover.db").display()),
        blobs: format!("file:{}", data.join("blobs").display()),
        data_dir: data,
        public_url: url.to_owned(),
        pool_max: 10,
        migrate: true,
    };
    let presign_keys = PresignKeys::parse(PRESIGN_KEY).map_err(|error| RunError::Setting(error.to_string()))?;
    let settings = Settings { poll_interval: Duration::from_millis(300), presign_keys, ..Settings::default() };
    // The devices of the demo ask several times a second.
    let http = HttpConfig { check_per_minute: 0, report_per_minute: 0, ..HttpConfig::default() };
    Node::open(&backends, settings, http, None, listener).await
}

async fn end(stop: CancellationToken, server: tokio::task::JoinHandle<Result<(), RunError>>) -> Result<(), RunError> {
    stop.cancel();
    server.await.map_err(|error| RunError::Demo(format!("the server stopped: {error}")))?
}

fn stays_up(url: &str, first: &FirstStart) -> String {
    // As it was called: from a fresh clone it is not in the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "drover".to_owned());
    format!(
        "\nThe server stays up at {url} until you press Ctrl-C. Look around:\n\n  \
         {program} login --server {url} --username {}      (password {})\n  \
         {program} device list\n  {program} rollout list\n\n  \
         curl -sS -X POST {url}/v1/presign -H \"Authorization: Bearer {PRESIGN_KEY}\" \\\n    \
         -H \"Content-Type: application/json\" -d '{{\"object_key\":\"{}\"}}'\n",
        first.username,
        first.password,
        releases::HELLO_OBJECT,
    )
}

/// Where the demo keeps everything.
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(kept: Option<PathBuf>) -> Result<Self, RunError> {
        if let Some(path) = kept {
            make_private(&path)?;
            return Ok(Self::Kept(path));
        }
        let made = tempfile::Builder::new().prefix("drover-demo-").tempdir();
        made.map(Self::Temporary).map_err(RunError::io("make a temporary folder"))
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
