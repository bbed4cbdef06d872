//! `drover backup`.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use drover_app::backup::{self, Fault, Manifest, Objects, Progress};
use drover_app::compose::Parts;
use drover_types::{Clock as _, SystemClock, Timestamp};
use serde::Serialize;

use crate::error::RunError;
use crate::serve::{ServeArgs, config};

/// Where the data folder remembers its last backup.
pub(crate) const LAST_BACKUP: &str = "last-backup.json";

/// Options of `drover backup`: those of `drover serve` say what to save.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Save objects in S3 too; without, the backup names them and they stay where they are
    #[arg(long)]
    with_objects: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What the data folder remembers of its last backup.
#[derive(Debug, Serialize)]
pub(crate) struct LastBackup {
    /// When it was taken.
    pub(crate) created_at: Timestamp,
    /// Where it went.
    pub(crate) file: PathBuf,
    /// Objects that were lost before, and are not in it.
    pub(crate) lost_objects: usize,
}

impl LastBackup {
    fn write(&self, data: &Path) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(data)?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(data.join(LAST_BACKUP)).map(drop).map_err(|failed| failed.error)
    }
}

/// Saves the installation, while its server works or not.
pub(crate) async fn run(args: BackupArgs, json: bool) -> Result<(), RunError> {
    let backends = config::place(args.serve)?;
    let objects =
        if args.with_objects || backends.blobs.starts_with("file:") { Objects::Included } else { Objects::Named };
    let file = Draft::new(&args.to)?;
    let parts = Parts::open(&backends).await?;
    let now = SystemClock.now();
    let written = backup::write(&parts, file.writer()?, objects, now, &mut show_progress(json)).await;
    parts.close().await;
    let manifest = written?;
    file.finish()?;
    let last = LastBackup {
        created_at: now,
        file: std::path::absolute(&args.to).unwrap_or(args.to),
        lost_objects: manifest.faults.len(),
    };
    if let Err(error) = last.write(&backends.data_dir) {
        // The backup is good; only `drover doctor` will not know of it.
        tracing::debug!(%error, "the backup's time was not noted");
    }
    print(&manifest, &last.file, json)?;
    match manifest.faults.len() {
        0 => Ok(()),
        lost => Err(RunError::ObjectFaults { lost }),
    }
}

/// A file without its name: an unfinished backup is never mistaken for one.
struct Draft<'p> {
    path: &'p Path,
    file: tempfile::NamedTempFile,
}

impl<'p> Draft<'p> {
    fn new(path: &'p Path) -> Result<Self, RunError> {
        if path.exists() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(RunError::io(format!("write {}", path.display()))(source));
        }
        // Temporary files have mode 0600, and the new name keeps it.
        let file = tempfile::NamedTempFile::new_in(folder_of(path));
        Ok(Self { path, file: file.map_err(RunError::io(format!("write into {}", folder_of(path).display())))? })
    }

    fn writer(&self) -> Result<tokio::fs::File, RunError> {
        Ok(tokio::fs::File::from_std(self.file.reopen().map_err(RunError::io("open the backup"))?))
    }

    fn finish(self) -> Result<(), RunError> {
        self.file.as_file().sync_all().map_err(RunError::io("make the backup durable"))?;
        let named = self.file.persist_noclobber(self.path).map_err(|failed| failed.error);
        named.map_err(RunError::io(format!("write {}", self.path.display())))?;
        let folder = std::fs::File::open(folder_of(self.path)).and_then(|folder| folder.sync_all());
        folder.map_err(RunError::io("make the backup durable"))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Lines on standard error for whoever watches.
pub(crate) fn show_progress(json: bool) -> impl FnMut(Progress<'_>) + Send {
    let is_watched = !json && std::io::stderr().is_terminal();
    move |progress| {
        if !is_watched {
            return;
        }
        // Without a standard error nobody watches.
        let _ = match progress {
            Progress::Table { name, rows } => writeln!(std::io::stderr(), "  {name}: {rows} rows"),
            Progress::Objects { done, of } if done == of || done % 100 == 0 => {
                writeln!(std::io::stderr(), "  objects: {done} of {of}")
            }
            Progress::Objects { .. } => Ok(()),
        };
    }
}

/// A line for each object that is not there.
pub(crate) fn lost_lines(faults: &[Fault]) -> String {
    let mut text = String::new();
    let line = |fault: &Fault| format!("lost: object {} of tenant {}: {}\n", fault.sha256, fault.tenant_id, fault.what);
    text.extend(faults.iter().map(line));
    text
}

fn print(manifest: &Manifest, file: &Path, json: bool) -> Result<(), RunError> {
    let (rows, objects, size_bytes) = (manifest.rows(), manifest.objects.len(), manifest.size_bytes());
    let text = if json {
        let (created_at, faults) = (manifest.created_at, &manifest.faults);
        let value = serde_json::json!({
            "file": file, "created_at": created_at, "rows": rows, "objects": objects, "size_bytes": size_bytes,
            "faults": faults,
        });
        format!("{value:#}\n")
    } else {
        let mut text = format!(
            "saved {rows} rows and {objects} objects, {} MB: {}\nIt holds the keys and tokens of this installation: \
             keep it where nobody else can read it.\n",
            size_bytes.div_ceil(1_000_000),
            file.display()
        );
        text.push_str(&lost_lines(&manifest.faults));
        text
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}
