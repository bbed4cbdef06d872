//! `drover object`.

use std::path::PathBuf;

use clap::Subcommand;
use drover_api::ObjectFilter;

use super::progress;
use crate::CliError;
use crate::command::ListArgs;
use crate::output::{short_bytes, time};
use crate::run::Context;

/// `drover object`.
#[derive(Debug, Subcommand)]
pub enum ObjectCommand {
    /// Store a file under a name; the name is never overwritten
    #[command(after_help = "Example:\n  drover object put firmware/v1/hello.bin ./hello.bin")]
    Put {
        /// Segments of letters, digits, `.`, `_` and `-`, joined by `/`
        name: String,
        /// The file
        file: PathBuf,
    },
    /// List objects
    List {
        /// Only names that start so
        #[arg(long)]
        prefix: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}

pub(crate) async fn run(command: ObjectCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ObjectCommand::Put { name, file } => {
            let facts = std::fs::metadata(&file).map_err(|source| CliError::File { path: file.clone(), source })?;
            let bar = progress::bar(&context.out, &name, facts.len());
            let object = context.client.put_object(&name, &file, progress::into(&bar)).await?;
            bar.finish_and_clear();
            context.out.value(&object, || {
                vec![
                    ("name", object.object_key.clone()),
                    ("size", short_bytes(object.size_bytes)),
                    ("sha256", object.checksum.to_string()),
                ]
            })
        }
        ObjectCommand::List { prefix, list } => {
            let filter = ObjectFilter { prefix, ..ObjectFilter::default() };
            let page = context.client.objects(&filter, list.at_most()).await?;
            context.out.list(&page, &["NAME", "SIZE", "CREATED", "SHA256"], |object| {
                vec![
                    object.object_key.clone(),
                    short_bytes(object.size_bytes),
                    time(Some(object.created_at)),
                    object.checksum.to_string(),
                ]
            })
        }
    }
}
