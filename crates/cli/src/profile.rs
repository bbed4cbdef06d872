//! Profiles: which server, with which token. One file, readable by its owner only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use drover_trust::ServerPin;
use serde::{Deserialize, Serialize};

use crate::client::ServerTrust;

const FORMAT: u32 = 1;
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Why the profiles cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Neither `XDG_CONFIG_HOME` nor `HOME` is set.
    #[error("there is no home folder for the profiles: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// Others could read the tokens.
    #[error("{} can be read by others, and it holds tokens", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not the file that this program wrote.
    #[error("cannot understand {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Written by a newer program.
    #[error("{} has format {found}, this program knows {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The profiles could not be put into words.
    #[error("cannot write the profiles as TOML")]
    Encode(#[source] toml::ser::Error),
}

/// One server and its credential.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The server's address.
    pub(crate) server: String,
    /// The token; it is sent to this server only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// The key that the server has to prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<ServerPin>,
    /// The authorities (PEM) that may vouch for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
}

impl Profile {
    /// What is remembered of a server after a login.
    pub(crate) fn new(server: String, token: String, trust: &ServerTrust) -> Self {
        let (pin, ca) = match trust {
            ServerTrust::System => (None, None),
            ServerTrust::Pinned(pin) => (Some(*pin), None),
            ServerTrust::Authorities(pem) => (None, Some(pem.clone())),
        };
        Self { server, token: Some(token), pin, ca }
    }

    pub(crate) fn trust(&self) -> ServerTrust {
        match (self.pin, &self.ca) {
            (Some(pin), _) => ServerTrust::Pinned(pin),
            (None, Some(pem)) => ServerTrust::Authorities(pem.clone()),
            (None, None) => ServerTrust::System,
        }
    }
}

/// The file of profiles.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    format: u32,
    #[serde(default, rename = "profiles")]
    by_name: BTreeMap<String, Profile>,
    #[serde(skip)]
    path: PathBuf,
}

impl Profiles {
    /// Reads `path`, or the usual file; without a file there are no profiles.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ProfileError> {
        let path = path.map_or_else(usual_path, |path| Ok(path.to_owned()))?;
        let none = Self { format: FORMAT, by_name: BTreeMap::new(), path: path.clone() };
        let unreadable = |source| ProfileError::Read { path: path.clone(), source };
        let facts = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(none),
            facts => facts.map_err(unreadable)?,
        };
        if facts.mode() & 0o077 != 0 {
            return Err(ProfileError::Exposed { path });
        }
        if facts.len() > MAX_FILE_BYTES {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let parsed = toml::from_str::<Self>(&text);
        let loaded =
            parsed.map_err(|source| ProfileError::Malformed { path: path.clone(), source: Box::new(source) })?;
        if loaded.format != FORMAT {
            return Err(ProfileError::Format { path, found: loaded.format });
        }
        Ok(Self { path, ..loaded })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// Remembers a profile. The others are as the file has them by now: another login may have added some.
    pub(crate) fn keep(&mut self, name: &str, profile: Profile) -> Result<(), ProfileError> {
        self.change(|by_name| {
            by_name.insert(name.to_owned(), profile);
        })
    }

    /// Forgets the token of a profile, unless it has another one by now.
    pub(crate) fn forget(&mut self, name: &str, token: &str) -> Result<(), ProfileError> {
        self.change(|by_name| {
            if let Some(profile) = by_name.get_mut(name) {
                profile.token.take_if(|known| known == token);
            }
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again, changes what it says and replaces it as a whole, with mode 0600. One at a time.
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, Profile>)) -> Result<(), ProfileError> {
        let unwritable = |source| ProfileError::Write { path: self.path.clone(), source };
        // Held until it is dropped. The file itself cannot be: another one takes its place.
        let _lock = self.lock().map_err(unwritable)?;
        let mut profiles = Self::load(Some(&self.path))?;
        change(&mut profiles.by_name);
        let text = toml::to_string_pretty(&profiles).map_err(ProfileError::Encode)?;
        self.write(text.as_bytes()).map_err(unwritable)?;
        self.by_name = profiles.by_name;
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn lock(&self) -> std::io::Result<File> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder())?;
        let path = self.path.with_added_extension("lock");
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.folder();
        // Temporary files have mode 0600, and the new name keeps it.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map(drop).map_err(|failed| failed.error)
    }
}

/// `${XDG_CONFIG_HOME:-~/.config}/drover/cli.toml`.
fn usual_path() -> Result<PathBuf, ProfileError> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    Ok(config.ok_or(ProfileError::NoHome)?.join("drover").join("cli.toml"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_saved_is_private_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("drover/cli.toml");
        let mut profiles = Profiles::load(Some(&path)).expect("no profiles yet");
        let pin: ServerPin = format!("sha256/{}", "A".repeat(43)).parse().expect("a pin");
        for (name, trust) in [("lab", ServerTrust::Pinned(pin)), ("field", ServerTrust::Authorities("pem".to_owned()))]
        {
            let profile = Profile::new("https://fleet.example".to_owned(), "s3cret".to_owned(), &trust);
            profiles.keep(name, profile).expect("saved");
        }
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        let loaded = Profiles::load(Some(&path)).expect("profiles");
        assert_eq!(loaded.get("lab").and_then(|lab| lab.token.as_deref()), Some("s3cret"));
        assert_eq!(loaded.get("lab").map(Profile::trust), Some(ServerTrust::Pinned(pin)));
        assert_eq!(loaded.get("field").map(Profile::trust), Some(ServerTrust::Authorities("pem".to_owned())));
        assert!(loaded.get("default").is_none());
    }

    #[test]
    fn two_logins_at_once_both_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cli.toml");
        let profile = |token: &str| Profile::new("https://f".to_owned(), token.to_owned(), &ServerTrust::System);
        // Both were read before either is written.
        let load = || Profiles::load(Some(&path)).expect("profiles");
        let mut logins: Vec<Profiles> = (0..8).map(|_| load()).collect();
        std::thread::scope(|scope| {
            for (n, login) in logins.iter_mut().enumerate() {
                scope.spawn(move || login.keep(&format!("p{n}"), profile("first")).expect("saved"));
            }
        });
        assert!((0..8).all(|n| load().get(&format!("p{n}")).is_some()));
        logins[0].keep("p1", profile("second")).expect("saved");
        logins[1].forget("p1", "first").expect("saved");
        assert_eq!(load().get("p1").and_then(|p1| p1.token.as_deref()), Some("second"), "that one still holds");
        logins[1].forget("p1", "second").expect("saved");
        assert_eq!(load().get("p1").map(|p1| p1.token.clone()), Some(None));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_not_ours_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cli.toml");
        std::fs::write(&path, "format = 1\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opened up");
        assert!(matches!(Profiles::load(Some(&path)), Err(ProfileError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed");
        assert!(Profiles::load(Some(&path)).is_ok());
        std::fs::write(&path, "format = 2\n").expect("written");
        assert!(matches!(Profiles::load(Some(&path)), Err(ProfileError::Format { found: 2, .. })));
        std::fs::write(&path, "format = 1\nwhat = 1\n").expect("written");
        assert!(matches!(Profiles::load(Some(&path)), Err(ProfileError::Malformed { .. })));
    }
}
