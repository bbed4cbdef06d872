//! `drover key`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use drover_api::{ReleaseKey, ReleaseKeyCreate};
use drover_trust::{PrivateKey, PublicKey};
use drover_types::KeyAlgorithm;
use serde::Serialize;

use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::time;
use crate::resolve;
use crate::run::Context;

/// `drover key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a release key on this machine: FILE (secret, mode 0600) and FILE.pub
    #[command(after_help = "Example:\n  drover key generate release.key && drover key add release.key.pub")]
    Generate {
        /// The file of the private key; it is never overwritten
        file: PathBuf,
        /// Algorithm of the key
        #[arg(long, value_enum, default_value_t = AlgorithmArg::EcdsaP256)]
        algorithm: AlgorithmArg,
    },
    /// Let a key sign firmware of the tenant
    #[command(after_help = "Example:\n  drover key add release.key.pub --name release-2026")]
    Add {
        /// The file of the public key, PEM
        file: PathBuf,
        /// What it is called; the file's name without .pub when not given
        #[arg(long)]
        name: Option<String>,
    },
    /// List release keys
    List(ListArgs),
    /// Revoke a release key; firmware signed with it is refused from then on
    Revoke {
        /// Id or name
        key: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// Algorithms as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArg {
    /// ECDSA over P-256, which cosign uses
    EcdsaP256,
    /// RSA with 3072 bits
    Rsa,
    /// Ed25519; signs manifests only
    Ed25519,
}

impl From<AlgorithmArg> for KeyAlgorithm {
    fn from(algorithm: AlgorithmArg) -> Self {
        match algorithm {
            AlgorithmArg::EcdsaP256 => Self::EcdsaP256,
            AlgorithmArg::Rsa => Self::Rsa,
            AlgorithmArg::Ed25519 => Self::Ed25519,
        }
    }
}

#[derive(Serialize)]
struct Generated {
    private_key: PathBuf,
    public_key: PathBuf,
    algorithm: KeyAlgorithm,
    fingerprint: String,
}

pub(crate) async fn run(command: KeyCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        KeyCommand::Generate { file, algorithm } => {
            let made = generate(&file, algorithm.into())?;
            context.out.value(&made, || {
                vec![
                    ("private key", format!("{}  (keep it secret, back it up)", made.private_key.display())),
                    ("public key", made.public_key.display().to_string()),
                    ("algorithm", made.algorithm.to_string()),
                    ("fingerprint", made.fingerprint.clone()),
                ]
            })
        }
        KeyCommand::Add { file, name } => {
            let public_key = read(&file)?;
            // A private key given by mistake must not leave this machine.
            PublicKey::from_pem(&public_key).map_err(|source| CliError::Key { path: file.clone(), source })?;
            let name = name.unwrap_or_else(|| name_of(&file));
            let key = context.client.add_release_key(&ReleaseKeyCreate { name, public_key }).await?;
            print(&key, context)
        }
        KeyCommand::List(list) => {
            let page = context.client.release_keys(list.at_most()).await?;
            context.out.list(&page, &["NAME", "ALGORITHM", "CREATED", "REVOKED", "FINGERPRINT", "ID"], |key| {
                let times = [Some(key.created_at), key.revoked_at].map(time);
                let names = [key.name.clone(), key.algorithm.to_string()];
                [&names[..], &times, &[key.fingerprint.to_string(), key.id.to_string()]].concat()
            })
        }
        KeyCommand::Revoke { key, yes } => {
            let id = resolve::release_key(&context.client, &key).await?;
            context.confirm(&format!("revoke release key {key}"), yes.yes).await?;
            context.client.revoke_release_key(id).await?;
            context.out.say(&format!("revoked release key {key}"))
        }
    }
}

fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".pub").unwrap_or(&name).to_owned()
}

/// Both files are new, or nothing is left of the first.
fn generate(file: &Path, algorithm: KeyAlgorithm) -> Result<Generated, CliError> {
    let mut public_name = file.as_os_str().to_owned();
    public_name.push(".pub");
    let public_file = PathBuf::from(public_name);
    for path in [file, &public_file] {
        if path.symlink_metadata().is_ok() {
            return Err(CliError::Exists { path: path.to_owned() });
        }
    }
    let key = PrivateKey::generate(algorithm).map_err(CliError::Generate)?;
    create(file, 0o600, &key.to_pem())?;
    if let Err(error) = create(&public_file, 0o644, &key.public_key().to_pem()) {
        // The error that matters is the one above.
        let _ = std::fs::remove_file(file);
        return Err(error);
    }
    let fingerprint = key.public_key().fingerprint().to_string();
    Ok(Generated { private_key: file.to_owned(), public_key: public_file, algorithm, fingerprint })
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), CliError> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => CliError::Exists { path: path.to_owned() },
        _ => CliError::File { path: path.to_owned(), source },
    })
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File { path: path.to_owned(), source })
}

/// Reads a private key.
pub(super) fn read_private(path: &Path) -> Result<PrivateKey, CliError> {
    PrivateKey::from_pem(&read(path)?).map_err(|source| CliError::Key { path: path.to_owned(), source })
}

fn print(key: &ReleaseKey, context: &mut Context<'_>) -> Result<(), CliError> {
    context.out.value(key, || {
        vec![
            ("name", key.name.clone()),
            ("id", key.id.to_string()),
            ("algorithm", key.algorithm.to_string()),
            ("fingerprint", key.fingerprint.to_string()),
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_new_key_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("release.key");
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
            let file = file.with_extension(algorithm.as_str());
            let made = generate(&file, algorithm).expect("a key");
            assert_eq!(std::fs::metadata(&file).expect("a file").mode() & 0o777, 0o600);
            let private = read_private(&file).expect("a private key");
            let public = PublicKey::from_pem(&read(&made.public_key).expect("text")).expect("a public key");
            assert_eq!(private.public_key(), public);
            assert!(matches!(generate(&file, algorithm), Err(CliError::Exists { .. })));
        }
        let taken = folder.path().join("half");
        std::fs::write(taken.with_extension("pub"), "").expect("written");
        assert!(matches!(generate(&taken, KeyAlgorithm::EcdsaP256), Err(CliError::Exists { .. })));
        assert!(!taken.exists());
    }
}
