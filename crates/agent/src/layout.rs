//! Where things are in the agent's folder.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use drover_types::{ComponentName, Sha256Digest};
use drover_uplink::durable;

/// The three names of source 004: what is being installed, what runs, what ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Being installed.
    New,
    /// Runs.
    Current,
    /// Ran before; the way back.
    Old,
}

impl Link {
    const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Current => "CURRENT",
            Self::Old => "OLD",
        }
    }
}

/// The agent's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Who the device is, and its token.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    /// Pinned release keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// What failed here before.
    pub fn blacklist(&self) -> PathBuf {
        self.root.join("blacklist.json")
    }

    /// Reports that wait for the server.
    pub fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }

    /// Space that is given up when the disk is full.
    pub fn ballast(&self) -> PathBuf {
        self.root.join(".ballast")
    }

    /// Artifacts on their way, a folder per component.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Held by the one agent that uses the folder.
    pub fn lock(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// The folders of one component.
    pub fn component(&self, name: &ComponentName) -> ComponentPaths {
        ComponentPaths {
            root: self.root.join("components").join(name.as_str()),
            downloads: self.downloads().join(name.as_str()),
        }
    }
}

/// The folders of one component.
#[derive(Debug, Clone)]
pub struct ComponentPaths {
    root: PathBuf,
    downloads: PathBuf,
}

impl ComponentPaths {
    /// Makes the folders.
    pub fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.slots())
    }

    /// The journal of the update that is under way.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.json")
    }

    /// There while what `CURRENT` points at has to be activated, though no update is under way.
    pub fn reactivate(&self) -> PathBuf {
        self.root.join("reactivate")
    }

    /// The folder with `NEW`, `CURRENT` and `OLD`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All slots.
    pub fn slots(&self) -> PathBuf {
        self.root.join("slots")
    }

    /// The slot of a release, named by the digest of its manifest.
    pub fn slot(&self, release: Sha256Digest) -> PathBuf {
        self.slots().join(release.to_string())
    }

    /// The content of a slot: what the application runs from.
    pub fn content(&self, release: Sha256Digest) -> PathBuf {
        self.slot(release).join("root")
    }

    /// Where a slot grows before it gets its name.
    pub fn unpacking(&self) -> PathBuf {
        self.slots().join(".unpacking")
    }

    /// Artifacts on their way.
    pub fn downloads(&self) -> &Path {
        &self.downloads
    }

    /// Where one artifact is downloaded to. Named by content, so that the next try finds it.
    pub fn download(&self, artifact: Sha256Digest) -> PathBuf {
        self.downloads.join(artifact.to_string())
    }

    /// The path of a link.
    pub fn link(&self, link: Link) -> PathBuf {
        self.root.join(link.name())
    }

    /// Where a link points; none when it is not there or points nowhere sensible.
    pub fn target(&self, link: Link) -> io::Result<Option<Sha256Digest>> {
        match std::fs::read_link(self.link(link)) {
            Ok(target) => {
                let name = target.strip_prefix("slots").ok().and_then(Path::to_str);
                Ok(name.and_then(|name| name.parse().ok()))
            }
            // Something else than a link: not ours, and nothing to follow.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether something is in the place of a link that this agent did not make.
    pub fn is_foreign(&self, link: Link) -> io::Result<bool> {
        match std::fs::symlink_metadata(self.link(link)) {
            Ok(_) => Ok(self.target(link)?.is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Points a link at a slot. At every moment the link is the old one or the new one.
    pub fn point(&self, link: Link, release: Sha256Digest) -> io::Result<()> {
        let temporary = self.temporary(link);
        match symlink(Path::new("slots").join(release.to_string()), &temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&temporary)?;
                symlink(Path::new("slots").join(release.to_string()), &temporary)?;
            }
            made => made?,
        }
        std::fs::rename(&temporary, self.link(link))?;
        durable::sync_folder(&self.root)
    }

    /// Removes a link; it is fine when it is not there.
    pub fn unlink(&self, link: Link) -> io::Result<()> {
        durable::remove_file(&self.link(link))
    }

    /// Where a link is made before it gets its name.
    pub fn temporary(&self, link: Link) -> PathBuf {
        self.root.join(format!(".{}.tmp", link.name()))
    }
}
