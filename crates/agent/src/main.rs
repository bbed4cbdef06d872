//! The device daemon.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use drover_agent::{Agent, Config, NoObserver, Parts, Secret, check_release_keys, read_status};
use drover_types::SystemClock;
use drover_uplink::http_client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Keeps a device on the firmware that its fleet runs.
#[derive(Parser)]
#[command(name = "drover-agent", version, about, max_term_width = 100)]
struct Arguments {
    /// The configuration file
    #[arg(long, short, global = true, default_value = "/etc/drover/agent.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until told to stop (SIGTERM or Ctrl-C)
    Run,
    /// Register the device and keep its identity
    Enrol {
        /// The enrolment token; the configuration's when not given
        #[arg(long, env = "DROVER_ENROLMENT_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// Show what the device runs and is doing, from its disk
    Status,
    /// Check the configuration file
    CheckConfig,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AnyError::from)
        .and_then(|runtime| runtime.block_on(execute(Arguments::parse())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drover-agent: failed to {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn execute(arguments: Arguments) -> Result<(), AnyError> {
    let config = Config::load(&arguments.config)?;
    match arguments.command {
        Command::Run => run(config).await,
        Command::Enrol { token } => enrol(config, token.map(Secret)).await,
        Command::Status => {
            println!("{}", read_status(&config)?);
            Ok(())
        }
        Command::CheckConfig => {
            check_release_keys(&config)?;
            println!("the configuration is fine: {} component(s), server {}", config.components.len(), config.server);
            Ok(())
        }
    }
}

async fn run(config: Config) -> Result<(), AnyError> {
    let mut agent = open(config)?;
    agent.require_purpose()?;
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    agent.run(cancel).await;
    Ok(())
}

async fn enrol(config: Config, token: Option<Secret>) -> Result<(), AnyError> {
    let token = match token {
        Some(token) => token,
        None => config.read_enrolment_token()?.ok_or("find an enrolment token: give --token or configure one")?,
    };
    let mut agent = open(config)?;
    agent.enrol(&token).await?;
    println!("the device is enrolled");
    Ok(())
}

fn open(config: Config) -> Result<Agent, AnyError> {
    let parts = Parts {
        http: http_client()?,
        clock: Arc::new(SystemClock),
        random: Arc::new(unit_random),
        observer: Arc::new(NoObserver),
    };
    Ok(Agent::open(config, parts)?)
}

/// A number in `0.0..1.0`: the standard library seeds each of these from the operating system.
fn unit_random() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
