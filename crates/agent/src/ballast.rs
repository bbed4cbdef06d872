//! A little space that is kept for going back when the disk is full.

use std::error::Error;
use std::io;

use drover_uplink::durable;

use crate::context::Context;
use crate::world::names_in;

impl Context {
    /// Puts the ballast in its place when it is not there and the disk has room for more than that. Without it
    /// everything works that a disk with space needs: a failure is only told.
    pub(crate) fn keep_ballast(&self) {
        let (path, size_bytes) = (self.layout.ballast(), self.config.ballast_bytes);
        if size_bytes == 0 || path.exists() {
            return;
        }
        let room = rustix::fs::statvfs(self.layout.root()).map(|space| space.f_bavail.saturating_mul(space.f_frsize));
        if room.is_ok_and(|free_bytes| free_bytes < 2 * size_bytes) {
            tracing::debug!("the disk has no room for the ballast");
            return;
        }
        if let Err(error) = durable::replace_file(&path, &noise(size_bytes), 0o600) {
            tracing::warn!(%error, file = %path.display(), "the ballast cannot be kept");
            durable::remove_file(&durable::with_suffix(&path, ".tmp")).ok();
        }
    }

    /// Does what going back needs; on a full disk once more after the ballast and all downloads were given up.
    pub(crate) fn with_room<T, E: Error + 'static>(&self, mut act: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        match act() {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "the disk is full: the ballast and all downloads are given up");
                self.make_room();
                act()
            }
            done => done,
        }
    }

    fn make_room(&self) {
        let folders = names_in(&self.layout.downloads()).unwrap_or_default();
        let downloads = folders.iter().flat_map(|folder| names_in(folder).unwrap_or_default());
        for path in downloads.chain([self.layout.ballast()]) {
            if let Err(error) = durable::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "it cannot be given up");
            }
        }
    }
}

/// Whether the cause is a disk or a quota that is full.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Bytes that no file system makes smaller.
fn noise(size_bytes: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..size_bytes).map(next).collect()
}
