//! `drover audit`.

use std::time::Duration;

use clap::{Args, Subcommand};
use drover_api::{AuditActor, AuditEntry, AuditFilter};
use drover_types::{ActorKind, Timestamp};
use uuid::Uuid;

use crate::CliError;
use crate::command::ListArgs;
use crate::output::time;
use crate::run::Context;

/// How often `export --follow` asks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);

/// `drover audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show who changed what, newest first
    #[command(after_help = "Examples:\n  drover audit list --action rollout.pause\n  \
                            drover audit list --object-kind device --object-id 0190a1b2-… --json")]
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Print the whole log as lines of JSON, oldest first
    #[command(after_help = "Examples:\n  drover audit export > audit.ndjson\n  \
                            drover audit export --after-seq 4711 --follow >> audit.ndjson")]
    Export {
        /// Begin behind the entry with this number: the last one that is there already
        #[arg(long, default_value_t = 0, value_name = "N")]
        after_seq: u64,
        /// Wait for new entries and print them, until it is stopped
        #[arg(long)]
        follow: bool,
    },
}

/// Which entries; all that is given must hold.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Only by the user, API key or device with this id
    #[arg(long, value_name = "ID")]
    actor_id: Option<Uuid>,
    /// Only by this kind of actor: user, `api_key`, host or system
    #[arg(long, value_name = "KIND")]
    actor_kind: Option<ActorKind>,
    /// Only this action, for instance rollout.pause
    #[arg(long)]
    action: Option<String>,
    /// Only changes of this kind of object, for instance rollout
    #[arg(long, value_name = "KIND")]
    object_kind: Option<String>,
    /// Only changes of the object with this id or name
    #[arg(long, value_name = "ID")]
    object_id: Option<String>,
    /// Only what was done in this request
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only from this time on, for instance 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Only entries numbered above this
    #[arg(long, value_name = "N")]
    after_seq: Option<u64>,
}

impl From<FilterArgs> for AuditFilter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs { actor_id, actor_kind, action, object_kind, object_id, request_id, from, to, after_seq } = args;
        Self {
            limit: None,
            cursor: None,
            after_seq,
            actor_id,
            actor_kind,
            action,
            object_kind,
            object_id,
            request_id,
            from,
            to,
        }
    }
}

pub(crate) async fn run(command: AuditCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        AuditCommand::List { filter, list } => {
            let page = context.client.audit(&filter.into(), list.at_most()).await?;
            context.out.list(&page, &["SEQ", "TIME", "WHO", "FROM", "ACTION", "OBJECT", "NAME"], row)
        }
        AuditCommand::Export { after_seq, follow } => export(after_seq, follow, context).await,
    }
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let name = entry.details.get("name").and_then(|name| name.as_str()).unwrap_or_default();
    vec![
        entry.seq.to_string(),
        time(Some(entry.at)),
        who(&entry.actor),
        entry.actor.address.clone().unwrap_or_default(),
        entry.action.clone(),
        entry.object_id.clone(),
        name.to_owned(),
    ]
}

fn who(actor: &AuditActor) -> String {
    match (&actor.name, actor.erased) {
        (_, true) => format!("{} (erased)", actor.kind),
        (Some(name), false) => name.clone(),
        (None, false) => actor.kind.to_string(),
    }
}

async fn export(after_seq: u64, follow: bool, context: &mut Context<'_>) -> Result<(), CliError> {
    let Context { client, out, .. } = context;
    let mut last = after_seq;
    loop {
        last = client.export_audit(last, |line| Ok::<_, CliError>(writeln!(out.writer, "{line}")?)).await?;
        out.writer.flush()?;
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acted_is_shown_and_who_was_erased_is_not() {
        let actor = AuditActor {
            kind: ActorKind::User,
            tenant_id: None,
            id: None,
            name: Some("erika".to_owned()),
            address: None,
            erased: false,
        };
        assert_eq!(who(&actor), "erika");
        assert_eq!(who(&AuditActor { name: None, erased: true, ..actor.clone() }), "user (erased)");
        assert_eq!(who(&AuditActor { kind: ActorKind::System, name: None, ..actor }), "system");
    }
}
