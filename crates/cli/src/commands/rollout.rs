//! `drover rollout`.

use clap::Subcommand;
use drover_api::{Rollout, RolloutCounts, RolloutFilter, RolloutRollback, UpdateSessionFilter};
use drover_types::{RolloutId, RolloutState, SessionState};

use super::rollout_args::{CreateArgs, PreviewArgs, UpdateArgs};
use super::rollout_preview;
use super::rollout_watch::{self, WatchArgs};
use super::{rollout_metrics, update_sessions};
use crate::CliError;
use crate::client::{Client, ClientError};
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, time};
use crate::parse::HumanDuration;
use crate::resolve;
use crate::run::Context;

const CREATE_EXAMPLE: &str = "Example:
  drover rollout create --firmware robot@1.2.3 --stage 20 --stage 50:soak=10m --stage 100 \\
    --rollback-threshold 25% --min-sample 4 --on-breach rollback --session-timeout 1h --start";

const PREVIEW_EXAMPLE: &str = r#"Examples:
  drover rollout preview --firmware robot@1.2.3 --where 'device.attr.region == "eu"'
  drover rollout preview --firmware robot@1.2.3 --excluded --reason dependency --all"#;

/// `drover rollout`.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Create a rollout; it does nothing until it is started
    #[command(after_help = CREATE_EXAMPLE)]
    Create(Box<CreateArgs>),
    /// Show what a rollout would do: how many devices it would take, in which stages, and who is left out and why
    #[command(after_help = PREVIEW_EXAMPLE)]
    Preview(Box<PreviewArgs>),
    /// List rollouts
    List {
        /// Only in this state
        #[arg(long)]
        status: Option<RolloutState>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one rollout
    Show {
        /// Id or name
        rollout: String,
    },
    /// Change a rollout: its name at any time, all else only while it is a draft
    Update(Box<UpdateArgs>),
    /// Start a draft
    Start {
        /// Id or name
        rollout: String,
    },
    /// Offer nothing more until it is resumed; devices at work finish
    Pause {
        /// Id or name
        rollout: String,
    },
    /// Go on after a pause
    Resume {
        /// Id or name
        rollout: String,
    },
    /// End a rollout; what is installed stays
    Cancel {
        /// Id or name
        rollout: String,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Take a rollout back: updated devices return to the version they came from
    Rollback {
        /// Id or name
        rollout: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Follow a rollout to its end; exits with 0 when it completed, else with 8
    Watch(WatchArgs),
    /// Show how a rollout is doing, in numbers
    Metrics {
        /// Id or name
        rollout: String,
    },
    /// List the update sessions that failed
    Failures {
        /// Id or name
        rollout: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the update sessions
    Sessions {
        /// Id or name
        rollout: String,
        /// Only in this state
        #[arg(long)]
        state: Option<SessionState>,
        #[command(flatten)]
        list: ListArgs,
    },
}

pub(crate) async fn run(command: RolloutCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        RolloutCommand::Create(args) => create(*args, context).await,
        RolloutCommand::Preview(args) => rollout_preview::run(*args, context).await,
        RolloutCommand::List { status, list } => show_list(status, list, context).await,
        RolloutCommand::Update(args) => update(*args, context).await,
        RolloutCommand::Watch(args) => rollout_watch::run(args, context).await,
        RolloutCommand::Metrics { rollout } => rollout_metrics::run(&rollout, context).await,
        RolloutCommand::Failures { rollout, list } => {
            let id = resolve::rollout(&context.client, &rollout).await?;
            let page = context.client.rollout_failures(id, list.at_most()).await?;
            update_sessions::print(&page, &mut context.out)
        }
        RolloutCommand::Sessions { rollout, state, list } => {
            let id = resolve::rollout(&context.client, &rollout).await?;
            let filter = UpdateSessionFilter { state, ..UpdateSessionFilter::default() };
            let page = context.client.rollout_sessions(id, &filter, list.at_most()).await?;
            update_sessions::print(&page, &mut context.out)
        }
        RolloutCommand::Show { rollout } => act(&rollout, context, Client::rollout).await,
        RolloutCommand::Start { rollout } => act(&rollout, context, Client::start_rollout).await,
        RolloutCommand::Pause { rollout } => act(&rollout, context, Client::pause_rollout).await,
        RolloutCommand::Resume { rollout } => act(&rollout, context, Client::resume_rollout).await,
        RolloutCommand::Cancel { rollout, yes } => {
            context.confirm(&format!("cancel rollout {rollout}"), yes.yes).await?;
            act(&rollout, context, Client::cancel_rollout).await
        }
        RolloutCommand::Rollback { rollout, reason, yes } => {
            context.confirm(&format!("take back rollout {rollout}"), yes.yes).await?;
            let body = RolloutRollback { reason };
            act(&rollout, context, async |client: &Client, id| client.roll_back_rollout(id, &body).await).await
        }
    }
}

/// Does something to one rollout and shows it as it is afterwards.
async fn act(
    rollout: &str,
    context: &mut Context<'_>,
    action: impl AsyncFnOnce(&Client, RolloutId) -> Result<Rollout, ClientError>,
) -> Result<(), CliError> {
    let id = resolve::rollout(&context.client, rollout).await?;
    let rollout = action(&context.client, id).await?;
    print(&rollout, context)
}

async fn create(args: CreateArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let start = args.start;
    let body = args.body.into_body(&context.client).await?;
    rollout_preview::tell(&body, context).await?;
    let mut rollout = context.client.create_rollout(&body).await?;
    if start {
        rollout = context.client.start_rollout(rollout.id).await?;
    }
    print(&rollout, context)
}

async fn update(args: UpdateArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::rollout(&context.client, &args.rollout).await?;
    let body = args.into_body(&context.client).await?;
    let rollout = context.client.update_rollout(id, &body).await?;
    print(&rollout, context)
}

async fn show_list(status: Option<RolloutState>, list: ListArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let filter = RolloutFilter { status, ..RolloutFilter::default() };
    let page = context.client.rollouts(&filter, list.at_most()).await?;
    let header = ["NAME", "STATUS", "KIND", "FIRMWARE", "DONE", "FAILED", "CREATED", "ID"];
    context.out.list(&page, &header, |rollout| {
        vec![
            rollout.name.clone(),
            rollout.status.to_string(),
            rollout.kind.to_string(),
            format!("{}@{}", rollout.device_type, rollout.version),
            rollout.counts.succeeded.to_string(),
            rollout.counts.failed.to_string(),
            time(Some(rollout.created_at)),
            rollout.id.to_string(),
        ]
    })
}

fn print(rollout: &Rollout, context: &mut Context<'_>) -> Result<(), CliError> {
    context.out.value(rollout, || lines(rollout))?;
    if !context.out.json {
        context.out.say("")?;
        context.out.table(&STAGE_HEADER, stage_rows(rollout))?;
    }
    Ok(())
}

fn lines(rollout: &Rollout) -> Vec<(&'static str, String)> {
    let session_timeout = std::time::Duration::from_millis(rollout.session_timeout_ms);
    let mut lines =
        vec![("name", rollout.name.clone()), ("id", rollout.id.to_string()), ("status", rollout.status.to_string())];
    lines.extend(rollout.reason.iter().map(|reason| ("reason", reason.clone())));
    lines.extend([
        ("kind", rollout.kind.to_string()),
        ("firmware", format!("{}/{}@{}", rollout.device_type, rollout.component, rollout.version)),
        ("success threshold", rollout.success_threshold.to_string()),
        ("rollback threshold", format!("{} of at least {}", rollout.rollback_threshold, rollout.min_sample)),
        ("on breach", rollout.on_breach.to_string()),
        ("max in flight", optional(rollout.max_in_flight.as_ref())),
        ("session timeout", HumanDuration::from(session_timeout).to_string()),
    ]);
    lines.extend(rollout.parent_id.iter().map(|parent| ("takes back", parent.to_string())));
    lines.extend(rollout.target_groups.iter().map(|group| ("group", group.to_string())));
    lines.extend(rollout.target_condition.iter().map(|condition| ("where", condition.clone())));
    let conditions = rollout.stages.iter().filter_map(|stage| Some((stage, stage.condition.as_ref()?)));
    lines.extend(conditions.map(|(stage, condition)| ("stage where", format!("{}: {condition}", stage.name))));
    lines
}

pub(super) const STAGE_HEADER: [&str; 8] = ["STAGE", "SHARE", "STATUS", "PENDING", "AT WORK", "DONE", "FAILED", "SOAK"];

pub(super) fn stage_rows(rollout: &Rollout) -> impl Iterator<Item = Vec<String>> {
    rollout.stages.iter().map(|stage| {
        let soak = HumanDuration::from(std::time::Duration::from_millis(stage.soak_ms));
        let share = stage.percentage.map_or_else(|| "where".to_owned(), |percentage| format!("{percentage} %"));
        let names = [stage.name.clone(), share, stage.status.to_string()];
        [&names[..], &count_cells(&stage.counts), &[soak.to_string()]].concat()
    })
}

pub(super) fn count_cells(counts: &RolloutCounts) -> [String; 4] {
    [counts.pending, counts.in_flight, counts.succeeded, counts.failed].map(|count| count.to_string())
}
