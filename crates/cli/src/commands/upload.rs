//! `drover upload`.

use clap::Subcommand;
use drover_api::{Upload, UploadFilter};
use drover_types::{UploadId, UploadState};

use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{short_bytes, time};
use crate::run::Context;

/// `drover upload`.
#[derive(Debug, Subcommand)]
pub enum UploadCommand {
    /// List uploads, newest first; to continue one, run the command again that began it
    List {
        /// Only those in this state: open, verifying, complete, failed or aborted
        #[arg(long)]
        state: Option<UploadState>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one upload
    Show {
        /// Its id
        upload: UploadId,
    },
    /// Give an upload up and remove its parts
    Abort {
        /// Its id
        upload: UploadId,
        #[command(flatten)]
        yes: YesArgs,
    },
}

pub(crate) async fn run(command: UploadCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        UploadCommand::List { state, list } => {
            let filter = UploadFilter { state, ..UploadFilter::default() };
            let page = context.client.uploads(&filter, list.at_most()).await?;
            context.out.list(&page, &["NAME", "KIND", "STATE", "SENT", "SIZE", "BEGUN", "ID"], |upload| {
                vec![
                    upload.name.clone(),
                    upload.kind.to_string(),
                    upload.state.to_string(),
                    short_bytes(upload.bytes_received),
                    short_bytes(upload.size_bytes),
                    time(Some(upload.created_at)),
                    upload.id.to_string(),
                ]
            })
        }
        UploadCommand::Show { upload } => {
            let upload = context.client.upload_view(upload).await?;
            context.out.value(&upload, || lines(&upload))
        }
        UploadCommand::Abort { upload, yes } => {
            context.confirm(&format!("abort upload {upload}"), yes.yes).await?;
            context.client.abort_upload(upload).await?;
            context.out.say(&format!("aborted upload {upload}"))
        }
    }
}

fn lines(upload: &Upload) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("id", upload.id.to_string()),
        ("name", upload.name.clone()),
        ("kind", upload.kind.to_string()),
        ("state", upload.state.to_string()),
        ("size", short_bytes(upload.size_bytes)),
        ("sent", short_bytes(upload.bytes_received)),
        ("parts", format!("{} of {}", upload.parts_received, upload.parts_total)),
        ("sha256", upload.sha256.to_string()),
        ("begun", time(Some(upload.created_at))),
    ];
    lines.extend(upload.firmware_id.map(|id| ("firmware", id.to_string())));
    lines.extend(upload.expires_at.map(|at| ("expires", time(Some(at)))));
    lines.extend(upload.ended_at.map(|at| ("ended", time(Some(at)))));
    lines.extend(upload.reason.clone().map(|reason| ("reason", reason)));
    lines
}
