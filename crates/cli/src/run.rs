//! From a parsed command to its effect.

use std::io::{BufRead as _, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::client::{Client, ServerTrust, ServerUrl};
use crate::command::{Command, GlobalArgs};
use crate::output::{Output, Terminal};
use crate::profile::{Profile, Profiles};
use crate::{CliError, commands};

const MAX_TOKEN_BYTES: u64 = 4096;
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// What every command works with.
pub(crate) struct Context<'a> {
    pub(crate) client: Client,
    /// Who vouches for the server.
    pub(crate) trust: ServerTrust,
    pub(crate) profiles: Profiles,
    pub(crate) profile: &'a str,
    /// As it was typed.
    pub(crate) tenant: Option<String>,
    pub(crate) out: Output<'a>,
}

impl Context<'_> {
    pub(crate) async fn confirm(&self, action: &str, yes: bool) -> Result<(), CliError> {
        Ok(crate::prompt::confirm(action, yes, self.out.terminal.input).await?)
    }
}

/// Runs a command; its answer goes to `out`. [`CliError::report`] and [`CliError::exit_code`] say what to tell when it
/// fails.
pub async fn run(
    command: Command,
    global: &GlobalArgs,
    terminal: Terminal,
    out: &mut (dyn Write + Send),
) -> Result<(), CliError> {
    let profiles = Profiles::load(global.config.as_deref())?;
    let (mut client, trust) = connect(global, &profiles)?;
    // Whoever logs in has no rights yet: there the name says whose tenant it is.
    if let Some(tenant) = global.tenant.as_deref().filter(|_| !matches!(command, Command::Login(_))) {
        let id = crate::resolve::tenant(&client, tenant).await?;
        client = client.with_tenant(id);
    }
    let output = Output { writer: out, json: global.json, terminal };
    let (profile, tenant) = (&*global.profile, global.tenant.clone());
    let mut context = Context { client, trust, profiles, profile, tenant, out: output };
    dispatch(command, &mut context).await?;
    Ok(context.out.writer.flush()?)
}

/// Who vouches for the server that these arguments mean: who was given, or whom the profile remembers.
pub fn trust(global: &GlobalArgs) -> Result<ServerTrust, CliError> {
    let profiles = Profiles::load(global.config.as_deref())?;
    connect(global, &profiles).map(|(_, trust)| trust)
}

/// [`run`] for a process: standard output, the error on standard error, and the exit code.
pub async fn run_to_exit(command: Command, global: &GlobalArgs) -> ExitCode {
    let failure = match run(command, global, Terminal::detect(), &mut std::io::stdout()).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    // Whoever reads the output has enough of it, as `head` does: no failure.
    if matches!(&failure, CliError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // Without a standard error there is still the exit code.
    let _ = writeln!(std::io::stderr(), "{}", failure.report());
    ExitCode::from(failure.exit_code())
}

async fn dispatch(command: Command, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        Command::Login(args) => commands::auth::login(args, context).await,
        Command::Logout => commands::auth::logout(context).await,
        Command::Whoami => commands::auth::whoami(context).await,
        Command::Device(command) => commands::device::run(command, context).await,
        Command::Group(command) => commands::group::run(command, context).await,
        Command::Firmware(command) => commands::firmware::run(command, context).await,
        Command::Rollout(command) => commands::rollout::run(command, context).await,
        Command::Key(command) => commands::key::run(command, context).await,
        Command::Account(command) => commands::account::run(command, context).await,
        Command::User(command) => commands::user::run(command, context).await,
        Command::Grant(command) => commands::grant::run(command, context).await,
        Command::Tenant(command) => commands::tenant::run(command, context).await,
        Command::ApiKey(command) => commands::api_key::run(command, context).await,
        Command::EnrolmentToken(command) => commands::enrolment_token::run(command, context).await,
        Command::Audit(command) => commands::audit::run(command, context).await,
        Command::Object(command) => commands::object::run(command, context).await,
        Command::Upload(command) => commands::upload::run(command, context).await,
        Command::Presign(args) => commands::presign::run(args, context).await,
    }
}

/// A profile's token goes to the profile's server only, whatever `--server` says; so does what is known of the server.
fn connect(global: &GlobalArgs, profiles: &Profiles) -> Result<(Client, ServerTrust), CliError> {
    let profile = profiles.get(&global.profile);
    let home = profile.map(|profile| profile.server.parse::<ServerUrl>()).transpose()?;
    let server = match (&global.server, &home) {
        (Some(given), _) => given.parse()?,
        (None, Some(home)) => home.clone(),
        (None, None) => ServerUrl::DEFAULT.parse()?,
    };
    let is_home = home.is_some_and(|home| home.origin() == server.origin());
    let profile = profile.filter(|_| is_home);
    let remembered = profile.and_then(|profile| profile.token.clone());
    let trust = match (global.pin, &global.ca) {
        (Some(pin), _) => ServerTrust::Pinned(pin),
        (None, Some(file)) => ServerTrust::Authorities(authorities(file)?),
        (None, None) => profile.map(Profile::trust).unwrap_or_default(),
    };
    let token = match (&global.token_file, &global.token) {
        (Some(file), _) => Some(first_line(file)?),
        (None, Some(token)) => Some(token.clone()),
        (None, None) => remembered,
    };
    let client = Client::new(Client::http()?, server);
    let client = if trust == ServerTrust::System { client } else { client.trusting(&trust)? };
    let client = match token {
        Some(token) => client.with_token(token),
        None => client,
    };
    Ok((client, trust))
}

fn authorities(file: &Path) -> Result<String, CliError> {
    let in_file = |source| CliError::File { path: file.to_owned(), source };
    let handle = std::fs::File::open(file).map_err(in_file)?;
    let mut pem = String::new();
    handle.take(MAX_CA_BYTES).read_to_string(&mut pem).map_err(in_file)?;
    if !pem.contains("BEGIN CERTIFICATE") {
        return Err(CliError::Usage { what: format!("{} has no certificate in PEM", file.display()) });
    }
    Ok(pem)
}

fn first_line(file: &Path) -> Result<String, CliError> {
    let in_file = |source| CliError::File { path: file.to_owned(), source };
    let handle = std::fs::File::open(file).map_err(in_file)?;
    let mut line = String::new();
    std::io::BufReader::new(handle.take(MAX_TOKEN_BYTES)).read_line(&mut line).map_err(in_file)?;
    Ok(line.trim().to_owned())
}
