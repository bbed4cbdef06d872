//! `drover doctor`: what is wrong with a set-up, and how to mend it. A file per check: what it sees, and what it makes of
//! it.

mod address;
mod certificate;
mod data_folder;
mod database;
mod disk;
pub(crate) mod finding;
mod http;
mod last_backup;
mod objects;
mod open_files;
mod public_url;
mod secrets;

use std::io::Write as _;
use std::time::Duration;

use drover_app::checkup;
use drover_app::compose::Backends;
use drover_cli::GlobalArgs;
use drover_types::{Clock as _, SystemClock};

use crate::error::RunError;
use crate::serve::ServeArgs;
use crate::serve::config::{self, ServeConfig, settings::without_secrets};
use finding::{Finding, Level};
use http::Probe;

/// A rollout that is due for so long is stuck: the driver looks every half second.
const OVERDUE_AFTER: Duration = Duration::from_mins(2);
const SILENT_AFTER: Duration = Duration::from_hours(1);

/// Options of `drover doctor`: those of `drover serve` say what to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Whether a server could start with these settings.
    Settings,
    /// Everything.
    All,
}

/// Looks at everything; fails when something does not work. With `--server` at the server there, too.
pub(crate) async fn run(args: DoctorArgs, global: &GlobalArgs) -> Result<(), RunError> {
    let findings = examine(config::load(args.serve), Depth::All, Some(global)).await;
    print(&findings, global.json)?;
    verdict(&findings)
}

/// Everything that can be said of these settings. Settings that cannot be used end the examination. `global` says which server to ask beside that of this machine, and who vouches for it.
pub(crate) async fn examine(
    loaded: Result<ServeConfig, RunError>,
    depth: Depth,
    global: Option<&GlobalArgs>,
) -> Vec<Finding> {
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            let next = "`drover serve --help` lists all settings, `drover config show` what is in effect";
            return vec![Finding::fail("settings", finding::chain(&error), next)];
        }
    };
    let probe = match Probe::new(&config.data.join("tls/ca.pem")) {
        Ok(probe) => probe,
        Err(error) => return vec![Finding::fail("network", error, "check the certificates of this system")],
    };
    let mut findings = vec![Finding::ok("settings", "they can be used")];
    findings.extend(of_machine(&config));
    let now = SystemClock.now();
    let facts = certificate::look(&config.tls, &config.data, now);
    findings.push(certificate::judge(&config.tls, config.public_url.as_deref(), &facts, now));
    let address = address::look(config.tls.scheme(), config.http.listen, &probe).await;
    findings.push(address::judge(config.http.listen, &address));
    findings.extend(of_back_ends(&config, &probe, depth).await);
    if depth == Depth::All {
        findings.push(last_backup::judge(last_backup::look(&config.data).as_ref(), now));
        if let Some(url) = config.public_url.as_deref().filter(|_| matches!(address, address::Facts::Ours)) {
            let facts = public_url::look(url, &probe).await;
            findings.extend(public_url::judge("public_url", url, &facts, SystemClock.now()));
        }
        if let Some((global, url)) = global.and_then(|global| Some((global, global.server.as_deref()?))) {
            findings.extend(of_server(url, global, probe).await);
        }
    }
    findings
}

/// Asks a server, trusting whoever the operator trusts.
async fn of_server(url: &str, global: &GlobalArgs, probe: Probe) -> Vec<Finding> {
    let trusted = drover_cli::trust(global).map_err(|error| finding::chain(&error));
    match trusted.and_then(|trust| probe.of_operator(&trust)) {
        Ok(probe) => {
            let facts = public_url::look(url, &probe).await;
            public_url::judge("server", url, &facts, SystemClock.now())
        }
        Err(error) => vec![Finding::fail("server", error, "check --server, --pin and --ca, or the profile")],
    }
}

fn of_machine(config: &ServeConfig) -> Vec<Finding> {
    let folder = data_folder::look(&config.data);
    let mut findings = data_folder::judge(&config.data, &folder);
    if matches!(folder, Ok(Some(_))) {
        findings.push(disk::judge(&disk::look(&config.data)));
        findings.extend(secrets::judge(&secrets::look(&config.data)));
    }
    findings.push(open_files::judge(open_files::look(), config.http.max_connections));
    findings
}

async fn of_back_ends(config: &ServeConfig, probe: &Probe, depth: Depth) -> Vec<Finding> {
    let backends = config.backends("http://127.0.0.1");
    if let Err(error) = backends.check() {
        let next = "choose one of the two accepted mixes with --database and --blobs";
        return vec![Finding::fail("back-ends", error.to_string(), next)];
    }
    let now = SystemClock.now();
    let answer = checkup::database(&backends, OVERDUE_AFTER, SILENT_AFTER, &SystemClock).await;
    let mut findings = database::judge_connection(&without_secrets(&backends.database), &answer);
    if let (Ok(answer), Depth::All) = (&answer, depth) {
        findings.extend(database::judge_work(answer));
    }
    if !is_unmade(&backends) {
        let seen = objects::look(&backends, probe, now).await;
        findings.push(objects::judge(&without_secrets(&backends.blobs), &seen));
    }
    findings
}

/// Looking at a folder of objects makes it: not before the server does.
fn is_unmade(backends: &Backends) -> bool {
    backends.blobs.strip_prefix("file:").is_some_and(|path| !std::path::Path::new(path).exists())
}

/// A table for people, or JSON.
pub(crate) fn print(findings: &[Finding], json: bool) -> Result<(), RunError> {
    let text = if json {
        let text = serde_json::to_string_pretty(findings).map_err(|error| RunError::Setting(error.to_string()))?;
        format!("{text}\n")
    } else {
        findings.iter().map(line).collect()
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the findings"))
}

fn line(finding: &Finding) -> String {
    let Finding { name, level, seen, next } = finding;
    let next = next.as_ref().map(|next| format!("      next: {next}\n")).unwrap_or_default();
    format!("{:4}  {name}: {seen}\n{next}", level.word())
}

/// An error when something does not work.
pub(crate) fn verdict(findings: &[Finding]) -> Result<(), RunError> {
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        faults => Err(RunError::Faults { faults }),
    }
}
