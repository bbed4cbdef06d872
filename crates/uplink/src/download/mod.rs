//! Verified download that goes on where it was cut off, across restarts.
//!
//! Bytes collect in `<dest>.part`, the server's entity tag in `<dest>.part.etag`. Only when the whole has the
//! expected digest does the file get its name.

mod error;
mod fetch;
mod pace;
mod part;

use std::path::Path;
use std::time::Duration;

use drover_types::Sha256Digest;
use tokio_util::sync::CancellationToken;

pub use error::DownloadError;
use fetch::Fetched;
pub use pace::MinRate;
use part::Part;

use crate::Network;

/// What to download, and how.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// A presigned address. No credential is ever sent to it.
    pub url: &'a str,
    /// Where the file shall be; its folder exists.
    pub dest: &'a Path,
    /// The exact size, in bytes.
    pub size_bytes: u64,
    /// The expected digest.
    pub sha256: Sha256Digest,
    /// Not faster than this, in bytes per second.
    pub throttle_bytes_per_s: Option<u64>,
    /// Give up when no byte came for so long.
    pub stall_timeout: Duration,
}

/// Downloads, or goes on with a download that was cut off. `progress` is told how many bytes are there. One call is
/// one try: ask [`DownloadError::is_temporary`] whether another may help. What came so far is kept for it unless it
/// is known to be wrong. One that gets less than [`MinRate::DEFAULT`] is given up as stalled.
pub async fn download(
    network: &Network,
    request: &Download<'_>,
    progress: &mut (dyn FnMut(u64) + Send),
    cancel: &CancellationToken,
) -> Result<(), DownloadError> {
    download_at_least(network, request, MinRate::DEFAULT, progress, cancel).await
}

/// [`download`] with another least rate.
pub async fn download_at_least(
    network: &Network,
    request: &Download<'_>,
    min_rate: MinRate,
    progress: &mut (dyn FnMut(u64) + Send),
    cancel: &CancellationToken,
) -> Result<(), DownloadError> {
    if part::already_there(request).await? {
        progress(request.size_bytes);
        return Ok(());
    }
    let mut part = Part::open(request.dest, request.size_bytes).await?;
    let resumed = part.length() > 0;
    progress(part.length());
    while part.length() < request.size_bytes {
        match fetch::fetch(network, request, min_rate, &mut part, progress, cancel).await? {
            Fetched::Whole => {}
            // What is there does not go with what the server has: once more, from the start.
            Fetched::StartAgain => part.clear().await?,
        }
    }
    part.finish(request, resumed).await
}
