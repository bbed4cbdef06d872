//! The command line: what operators can type.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use drover_trust::ServerPin;

use crate::commands::account::AccountCommand;
use crate::commands::api_key::ApiKeyCommand;
use crate::commands::audit::AuditCommand;
use crate::commands::auth::LoginArgs;
use crate::commands::device::DeviceCommand;
use crate::commands::enrolment_token::EnrolmentTokenCommand;
use crate::commands::firmware::FirmwareCommand;
use crate::commands::grant::GrantCommand;
use crate::commands::group::GroupCommand;
use crate::commands::key::KeyCommand;
use crate::commands::object::ObjectCommand;
use crate::commands::presign::PresignArgs;
use crate::commands::rollout::RolloutCommand;
use crate::commands::tenant::TenantCommand;
use crate::commands::upload::UploadCommand;
use crate::commands::user::UserCommand;

/// The operator's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in with a password and remember the session in a profile
    #[command(after_help = "Example:\n  drover login --server https://fleet.example --username admin")]
    Login(LoginArgs),
    /// End the session and forget its token
    Logout,
    /// Show who the token belongs to
    Whoami,
    /// Devices: list, show, change, delete
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Groups of devices
    #[command(subcommand)]
    Group(GroupCommand),
    /// Firmware: pack, sign, publish, list, download
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Rollouts: create, start, watch, stop, take back
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Release keys, which sign firmware
    #[command(subcommand)]
    Key(KeyCommand),
    /// Your own password and logins
    #[command(subcommand)]
    Account(AccountCommand),
    /// Users: add, disable, remove, new passwords
    #[command(subcommand)]
    User(UserCommand),
    /// What users may do: a role over the tenant, one below it, or a group
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Tenants below yours
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// API keys, for programs
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Enrolment tokens, with which devices register
    #[command(subcommand)]
    EnrolmentToken(EnrolmentTokenCommand),
    /// The audit log: who changed what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Objects with names of your own choice
    #[command(subcommand)]
    Object(ObjectCommand),
    /// Uploads in parts that are under way, or ended in the last 30 days
    #[command(subcommand)]
    Upload(UploadCommand),
    /// Get a time-limited address of an object
    #[command(after_help = "Example:\n  drover presign firmware/v1/hello.bin --expires-in 10m")]
    Presign(PresignArgs),
}

const FOR_ALL: &str = "For every command";

/// Options that every command has.
#[derive(Clone, Args)]
pub struct GlobalArgs {
    /// Profile with server and token
    #[arg(long, help_heading = FOR_ALL, global = true, value_name = "NAME")]
    #[arg(env = "DROVER_PROFILE", default_value = "default")]
    pub profile: String,
    /// Address of the server; the profile's when not given, or else `drover serve` on this machine
    #[arg(long, help_heading = FOR_ALL, global = true, env = "DROVER_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Key that the server has to prove (`sha256/…`, it prints it at its start); the profile's when not given
    #[arg(long, help_heading = FOR_ALL, global = true, value_name = "PIN", env = "DROVER_PIN", conflicts_with = "ca")]
    pub pin: Option<ServerPin>,
    /// File with the certificates (PEM) of the authorities that may vouch for the server; the profile's when not given
    #[arg(long, help_heading = FOR_ALL, global = true, value_name = "FILE", env = "DROVER_CA")]
    pub ca: Option<PathBuf>,
    /// Token to use instead of the profile's; others on this machine can see it here: prefer --token-file
    #[arg(long, help_heading = FOR_ALL, global = true, value_name = "TOKEN")]
    #[arg(env = "DROVER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File whose first line is the token; wins over --token
    #[arg(long, help_heading = FOR_ALL, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File of the profiles; drover/cli.toml in the configuration folder when not given
    #[arg(long, help_heading = FOR_ALL, global = true, env = "DROVER_CLI_CONFIG", value_name = "FILE", hide = true)]
    pub config: Option<PathBuf>,
    /// Tenant below yours to work in: id or name; of `login` the name of your own
    #[arg(long, help_heading = FOR_ALL, global = true, env = "DROVER_TENANT", value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Print the API's JSON
    #[arg(long, help_heading = FOR_ALL, global = true)]
    pub json: bool,
}

impl std::fmt::Debug for GlobalArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("GlobalArgs");
        text.field("profile", &self.profile).field("server", &self.server).field("json", &self.json);
        text.finish_non_exhaustive()
    }
}

/// How much of a list.
#[derive(Debug, Clone, Copy, Args)]
pub struct ListArgs {
    /// At most this many items
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// All items, up to a million
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl ListArgs {
    const MAX_ITEMS: usize = 1_000_000;

    pub(crate) fn at_most(self) -> usize {
        if self.all { Self::MAX_ITEMS } else { usize::try_from(self.limit).unwrap_or(Self::MAX_ITEMS) }
    }
}

/// The answer to the question before something is destroyed.
#[derive(Debug, Clone, Copy, Args)]
pub struct YesArgs {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
