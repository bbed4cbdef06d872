//! Where settings come from: file < environment < flags. Unknown keys are refused.

pub(crate) mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_app::compose::Backends;
use drover_app::{PresignKeys, ServerPin, Settings};
use drover_server::{HttpConfig, MetricsToken};
use url::{Host, Url};

use crate::error::RunError;
use crate::logging::LogFormat;
use crate::serve::tls::{TlsMode, TlsPin, TlsPlan, TlsSettings, may_have_authority};

/// Options of `drover serve`. Each can also be set in the environment or, under the same name with underscores, in
/// the configuration file.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, env = "DROVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the database, objects and secrets; drover in the user's data folder when not given
    #[arg(long, env = "DROVER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on; plain HTTP on loopback, TLS elsewhere
    #[arg(long, env = "DROVER_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// What devices and people reach this server under; the listening address when not given
    #[arg(long, env = "DROVER_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// When to speak TLS
    #[arg(long, env = "DROVER_TLS", value_enum, value_name = "MODE")]
    tls: Option<TlsMode>,
    /// Certificate chain (PEM), the server's first; looked at again every few seconds. Without it, an authority of its
    /// own in the data folder
    #[arg(long, env = "DROVER_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, env = "DROVER_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Which key enrolment tokens tell devices to pin
    #[arg(long, env = "DROVER_TLS_PIN", value_enum, value_name = "KEY")]
    tls_pin: Option<TlsPin>,
    /// Key that this server will prove some day (`sha256/…`): pinned devices hear of it beforehand; may be given several
    /// times
    #[arg(long = "tls-next-pin", env = "DROVER_TLS_NEXT_PINS", value_delimiter = ',', value_name = "PIN")]
    tls_next_pins: Option<Vec<ServerPin>>,
    /// Connections at once; others make room for new ones
    #[arg(long, env = "DROVER_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
    /// Connections at once from one address; 0 lifts the limit
    #[arg(long, env = "DROVER_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    max_connections_per_address: Option<usize>,
    /// `sqlite:PATH`, or `postgres://…` together with objects in S3
    #[arg(long, env = "DROVER_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// `file:PATH`, or `s3://BUCKET?endpoint=URL` together with PostgreSQL
    #[arg(long, env = "DROVER_BLOBS", value_name = "URL")]
    blobs: Option<String>,
    /// Connections to the database, 10 to 100
    #[arg(long, env = "DROVER_POOL_MAX", value_name = "N")]
    pool_max: Option<u32>,
    /// Refuse to start while schema steps are pending, instead of applying them
    #[arg(long)]
    no_migrate: bool,
    /// How long devices wait between checks, in milliseconds, 100 to 86400000
    #[arg(long, env = "DROVER_POLL_INTERVAL_MS", value_name = "MS")]
    poll_interval_ms: Option<u64>,
    /// Update checks per device and minute; 0 lifts the limit
    #[arg(long, env = "DROVER_CHECK_PER_MINUTE", value_name = "N")]
    check_per_minute: Option<u32>,
    /// Heartbeats and reports per device and minute; 0 lifts the limit
    #[arg(long, env = "DROVER_REPORT_PER_MINUTE", value_name = "N")]
    report_per_minute: Option<u32>,
    /// Requests without a valid credential per address and minute; 0 lifts the limit
    #[arg(long, env = "DROVER_STRANGER_PER_MINUTE", value_name = "N")]
    stranger_per_minute: Option<u32>,
    /// Days after a rollout's end until its sessions are archived, 1 to 3650
    #[arg(long, env = "DROVER_ARCHIVE_AFTER_DAYS", value_name = "DAYS")]
    archive_after_days: Option<u64>,
    /// Web pages from this origin may call the API; may be given several times
    #[arg(long = "cors-origin", env = "DROVER_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    cors_origins: Option<Vec<String>>,
    /// The proxy in front writes the client's address as the last one of X-Forwarded-For; without this, all strangers
    /// behind it share one rate limit
    #[arg(long, env = "DROVER_TRUST_FORWARDED_FOR", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    trust_forwarded_for: Option<bool>,
    /// Bearer token with which figures (/metrics) can be read from other machines, 16 to 200 characters; without it only
    /// on this one. Safer in the variable than on the command line
    #[arg(long, env = "DROVER_METRICS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    metrics_token: Option<String>,
    /// How log lines look
    #[arg(long, env = "DROVER_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Keys that may only presign, separated by commas: `key` or `tenant=key`
    #[arg(env = "PRESIGN_API_KEYS", long = "presign-api-keys", hide = true, hide_env_values = true)]
    presign_api_keys: Option<String>,
}

/// The same settings in a file.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FileConfig {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    tls: Option<TlsMode>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_pin: Option<TlsPin>,
    tls_next_pins: Option<Vec<ServerPin>>,
    max_connections: Option<usize>,
    max_connections_per_address: Option<usize>,
    database: Option<String>,
    blobs: Option<String>,
    pool_max: Option<u32>,
    migrate: Option<bool>,
    poll_interval_ms: Option<u64>,
    check_per_minute: Option<u32>,
    report_per_minute: Option<u32>,
    stranger_per_minute: Option<u32>,
    archive_after_days: Option<u64>,
    cors_origins: Option<Vec<String>>,
    trust_forwarded_for: Option<bool>,
    log_format: Option<LogFormat>,
    /// Secrets come from a file of their own or the environment.
    metrics_token_file: Option<PathBuf>,
    presign_api_keys_file: Option<PathBuf>,
}

impl FileConfig {
    fn of(args: &ServeArgs) -> Result<Self, RunError> {
        Ok(args.config.as_deref().map(read).transpose()?.unwrap_or_default())
    }
}

/// What to run with.
pub(crate) struct ServeConfig {
    pub(crate) data: PathBuf,
    pub(crate) public_url: Option<String>,
    pub(crate) tls: TlsPlan,
    pub(crate) database: Option<String>,
    pub(crate) blobs: Option<String>,
    pub(crate) pool_max: u32,
    pub(crate) migrate: bool,
    pub(crate) settings: Settings,
    pub(crate) http: HttpConfig,
    pub(crate) log_format: LogFormat,
}

impl ServeConfig {
    /// Where everything is, for a server that is reached under `public_url`.
    pub(crate) fn backends(&self, public_url: &str) -> Backends {
        Backends {
            database: self.database.clone().unwrap_or_else(|| own_database(&self.data)),
            blobs: self.blobs.clone().unwrap_or_else(|| format!("file:{}", self.data.join("blobs").display())),
            data_dir: self.data.clone(),
            public_url: public_url.to_owned(),
            pool_max: self.pool_max,
            migrate: self.migrate,
        }
    }
}

fn own_database(data: &Path) -> String {
    format!("sqlite:{}", data.join("drover.db").display())
}

/// Where the installation is, for commands that serve nothing: its certificate may not be there yet, or be elsewhere.
pub(crate) fn place(mut args: ServeArgs) -> Result<Backends, RunError> {
    let mut file = FileConfig::of(&args)?;
    // Plain, on loopback: what any installation may do.
    (args.listen, file.listen) = (None, None);
    (args.public_url, file.public_url) = (None, None);
    (args.tls, args.tls_cert, args.tls_key, args.tls_pin) = (None, None, None, None);
    (file.tls, file.tls_cert, file.tls_key, file.tls_pin) = (None, None, None, None);
    Ok(assemble(args, file)?.backends("http://127.0.0.1"))
}

/// The database alone: with its address, no data folder is needed.
pub(crate) fn database(args: ServeArgs) -> Result<String, RunError> {
    let file = FileConfig::of(&args)?;
    match args.database.or(file.database) {
        Some(url) => Ok(url),
        None => args.data.or(file.data).map_or_else(default_data, Ok).map(|data| own_database(&data)),
    }
}

/// Puts the settings together and checks them.
pub(crate) fn load(args: ServeArgs) -> Result<ServeConfig, RunError> {
    load_with_file(args).map(|(config, _)| config)
}

/// [`load`], with what the file sets.
pub(crate) fn load_with_file(args: ServeArgs) -> Result<(ServeConfig, FileConfig), RunError> {
    let file = FileConfig::of(&args)?;
    let config = assemble(args, file.clone())?;
    Ok((config, file))
}

fn assemble(args: ServeArgs, file: FileConfig) -> Result<ServeConfig, RunError> {
    let defaults = HttpConfig::default();
    let http = HttpConfig {
        listen: args.listen.or(file.listen).unwrap_or(defaults.listen),
        cors_origins: args.cors_origins.or(file.cors_origins).unwrap_or_default(),
        check_per_minute: args.check_per_minute.or(file.check_per_minute).unwrap_or(defaults.check_per_minute),
        report_per_minute: args.report_per_minute.or(file.report_per_minute).unwrap_or(defaults.report_per_minute),
        stranger_per_minute: args
            .stranger_per_minute
            .or(file.stranger_per_minute)
            .unwrap_or(defaults.stranger_per_minute),
        trust_forwarded_for: args
            .trust_forwarded_for
            .or(file.trust_forwarded_for)
            .unwrap_or(defaults.trust_forwarded_for),
        max_connections: args.max_connections.or(file.max_connections).unwrap_or(defaults.max_connections),
        max_connections_per_address: args
            .max_connections_per_address
            .or(file.max_connections_per_address)
            .unwrap_or(defaults.max_connections_per_address),
        metrics_token: metrics_token(args.metrics_token, file.metrics_token_file.as_deref())?,
        ..defaults
    };
    http.check().map_err(|error| RunError::Setting(error.to_string()))?;
    let keys = match (args.presign_api_keys, file.presign_api_keys_file) {
        (Some(keys), _) => keys,
        (None, Some(path)) => read_text(&path)?.trim().to_owned(),
        (None, None) => String::new(),
    };
    let presign_keys = PresignKeys::parse(&keys).map_err(|error| RunError::Setting(error.to_string()))?;
    let next_server_pins = args.tls_next_pins.or(file.tls_next_pins).unwrap_or_default();
    let mut settings = Settings { presign_keys, next_server_pins, ..Settings::default() };
    if let Some(poll_interval_ms) = args.poll_interval_ms.or(file.poll_interval_ms) {
        if !(100..=86_400_000).contains(&poll_interval_ms) {
            return Err(RunError::Setting("poll_interval_ms must be 100 to 86400000".to_owned()));
        }
        settings.poll_interval = Duration::from_millis(poll_interval_ms);
    }
    if let Some(archive_after_days) = args.archive_after_days.or(file.archive_after_days) {
        if !(1..=3_650).contains(&archive_after_days) {
            return Err(RunError::Setting("archive_after_days must be 1 to 3650".to_owned()));
        }
        settings.archive_after = Duration::from_hours(24 * archive_after_days);
    }
    let pool_max = args.pool_max.or(file.pool_max).unwrap_or(10);
    if !(10..=100).contains(&pool_max) {
        return Err(RunError::Setting("pool_max must be 10 to 100".to_owned()));
    }
    let database = args.database.or(file.database);
    let public_url = args.public_url.or(file.public_url).map(|url| public_url(&url)).transpose()?;
    let tls = TlsSettings {
        mode: args.tls.or(file.tls).unwrap_or_default(),
        certificate: args.tls_cert.or(file.tls_cert),
        key: args.tls_key.or(file.tls_key),
        pin: args.tls_pin.or(file.tls_pin).unwrap_or_default(),
    };
    let is_local = database.as_deref().is_none_or(|url| url.starts_with("sqlite:"));
    let data = args.data.or(file.data).map_or_else(default_data, Ok)?;
    let tls = tls.plan(http.listen, may_have_authority(is_local, &data))?;
    public_url.iter().try_for_each(|url| tls.check_url(url))?;
    Ok(ServeConfig {
        data,
        public_url,
        tls,
        database,
        blobs: args.blobs.or(file.blobs),
        pool_max,
        migrate: !args.no_migrate && file.migrate.unwrap_or(true),
        settings,
        http,
        log_format: args.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
    })
}

fn metrics_token(given: Option<String>, file: Option<&Path>) -> Result<Option<MetricsToken>, RunError> {
    let text = match (given, file) {
        (Some(text), _) => text,
        (None, Some(path)) => read_text(path)?.trim().to_owned(),
        (None, None) => return Ok(None),
    };
    MetricsToken::new(&text).map(Some).map_err(|error| RunError::Setting(error.to_string()))
}

/// What devices are told: `https`, or `http` to this machine, without path or query.
fn public_url(text: &str) -> Result<String, RunError> {
    let invalid = || {
        let expected = "expected https://HOST[:PORT], or http:// to a loopback address";
        RunError::Setting(format!("public_url {text:?}: {expected}, without path or query"))
    };
    let url: Url = text.parse().map_err(|_| invalid())?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_allowed = url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && is_local;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if is_allowed && is_bare { Ok(text.trim_end_matches('/').to_owned()) } else { Err(invalid()) }
}

fn read(path: &Path) -> Result<FileConfig, RunError> {
    let text = read_text(path)?;
    let wrong = |reason: String| RunError::Config { path: path.display().to_string(), reason };
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let known = settings::known_keys();
    if let Some(unknown) = table.keys().find(|key| !known.contains(key)) {
        let meant = settings::similar(unknown, &known).map(|key| format!(": did you mean {key}?"));
        return Err(wrong(format!("unknown key {unknown}{}", meant.unwrap_or_default())));
    }
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

fn read_text(path: &Path) -> Result<String, RunError> {
    std::fs::read_to_string(path)
        .map_err(|error| RunError::Config { path: path.display().to_string(), reason: error.to_string() })
}

fn default_data() -> Result<PathBuf, RunError> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("drover"))
        .ok_or_else(|| RunError::Setting("there is no home folder: say where with --data DIR".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(arguments: &[&str]) -> ServeArgs {
        use clap::{Args as _, FromArgMatches as _};
        let command = ServeArgs::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], arguments].concat()).expect("valid");
        ServeArgs::from_arg_matches(&matches).expect("valid")
    }

    #[test]
    fn what_serves_nothing_asks_for_no_certificate() {
        let url = "postgres://drover@db/drover";
        let arguments = ["--data", "/nowhere", "--listen", "0.0.0.0:8443", "--database", url, "--blobs", "s3://fleet"];
        assert!(load(args(&arguments)).is_err(), "a server needs one");
        let Ok(backends) = place(args(&arguments)) else { panic!("a restore begins with an empty folder") };
        assert_eq!((backends.database.as_str(), backends.data_dir), (url, PathBuf::from("/nowhere")));
        assert!(matches!(database(args(&arguments)), Ok(found) if found == url));
        let own = database(args(&["--data", "/nowhere", "--tls", "on"]));
        assert!(matches!(own, Ok(found) if found == "sqlite:/nowhere/drover.db"));
    }

    #[test]
    fn a_public_address_is_one_that_agents_accept() {
        for good in
            ["https://fleet.example.org", "https://fleet.example.org:8443/", "http://127.0.0.1:8080", "http://[::1]:80"]
        {
            assert_eq!(public_url(good).expect("accepted"), good.trim_end_matches('/'));
        }
        for bad in
            ["foo", "http://fleet.example.org", "https://", "https://x/path", "https://x/?q", "https://u@x", "ftp://x"]
        {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }
}
