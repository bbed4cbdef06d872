//! `backup.json`: what a backup says of itself.

use drover_db::{Kind, Migration, Table, copy::TableSum};
use drover_store::content::ContentRow;
use drover_types::{Sha256Digest, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// Raised when an older program would misread what this one writes.
pub(super) const FORMAT: u32 = 1;
/// The last entry but one.
pub(super) const MANIFEST: &str = "backup.json";
/// The last entry: the manifest's digest. Without it the backup was not finished.
pub(super) const MANIFEST_DIGEST: &str = "backup.json.sha256";
/// Some hundred thousand entries.
pub(super) const MANIFEST_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// What precedes the names of files of the data folder.
pub(super) const FILES: &str = "data/";

/// What a backup says of itself. Fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub format: u32,
    /// The program that wrote it.
    pub drover: String,
    /// When.
    pub created_at: Timestamp,
    /// The steps of the schema.
    pub schema: Vec<StepEntry>,
    /// The tables, each behind those that it refers to.
    pub tables: Vec<TableEntry>,
    /// The objects that the rows name, in the backup or not.
    pub objects: Vec<ObjectEntry>,
    /// Objects that were lost or damaged when the backup was taken.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Everything in the file before the manifest.
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Whether an object was lost or damaged when the backup was taken.
    pub(super) fn is_lost(&self, object: &ObjectEntry) -> bool {
        self.faults.iter().any(|fault| (fault.tenant_id, fault.sha256) == (object.tenant_id, object.sha256))
    }

    /// Bytes of everything in the file.
    pub fn size_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size_bytes).sum()
    }
}

/// A step of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEntry {
    version: i64,
    name: String,
}

impl StepEntry {
    pub(super) fn of(step: &Migration) -> Self {
        Self { version: step.version, name: step.name.to_owned() }
    }
}

impl std::fmt::Display for StepEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.version, self.name)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its name.
    pub name: String,
    columns: Vec<ColumnEntry>,
    /// Its rows.
    pub rows: u64,
    /// The digest of the rows, over all parts.
    pub sha256: Sha256Digest,
    /// Entries, from 1.
    pub parts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ColumnEntry {
    name: String,
    kind: String,
}

impl TableEntry {
    pub(super) fn new(table: &Table, parts: u32, sum: TableSum) -> Self {
        Self { name: table.name.clone(), columns: columns(table), rows: sum.rows, sha256: sum.sha256, parts }
    }

    /// Whether these rows fit the table.
    pub(super) fn fits(&self, table: &Table) -> bool {
        self.name == table.name && self.columns == columns(table)
    }
}

fn columns(table: &Table) -> Vec<ColumnEntry> {
    let word = |kind| match kind {
        Kind::Bytes => "bytes",
        Kind::Integer => "integer",
        Kind::Real => "real",
        Kind::Text => "text",
    };
    let entry =
        |column: &drover_db::Column| ColumnEntry { name: column.name.clone(), kind: word(column.kind).to_owned() };
    table.columns.iter().map(entry).collect()
}

/// An object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length.
    pub size_bytes: u64,
}

impl ObjectEntry {
    pub(super) fn of(row: &ContentRow) -> Self {
        let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
        Self { tenant_id: row.tenant_id, sha256: row.sha256, size_bytes }
    }
}

/// An object that cannot be saved any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// What is wrong with it.
    pub what: String,
}

/// A piece of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the archive.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

pub(super) fn part_name(table: &str, part: u32) -> String {
    format!("tables/{table}/{part:06}")
}

pub(super) fn object_name(tenant: TenantId, sha256: Sha256Digest) -> String {
    format!("objects/{tenant}/{sha256}")
}
