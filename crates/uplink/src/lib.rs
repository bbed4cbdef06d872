//! The device's side of the wire: HTTP client, verified resumable download, durable report queue.
//!
//! Nothing here decides: the agent does. Credentials go to the server's own origin only, replies are
//! bounded, downloads are trusted only after their digest held.

mod address;
mod answer;
mod call_error;
mod client;
mod download;
pub mod durable;
mod network;
mod queue;

pub use address::{AddressError, server_address};
pub use call_error::CallError;
pub use client::{Client, Nothing};
pub use download::{Download, DownloadError, MinRate, download, download_at_least};
pub use network::{DeviceTime, Network, NetworkError, http_client};
pub use queue::{MAX_QUEUED_REPORTS, QueueError, Report, ReportQueue};
