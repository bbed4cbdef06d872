//! Uploads in parts.

use drover_types::{FirmwareId, Sha256Digest, Timestamp, UploadId, UploadKind, UploadState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An entity tag of S3 is 32 digits, a dash and a number, with quotes; others keep close to that.
const ETAG_MAX_BYTES: usize = 128;

/// What is going to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadCreate {
    /// What the bytes are for.
    pub kind: UploadKind,
    /// The firmware, a draft, that an artifact belongs to. Only for artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_id: Option<FirmwareId>,
    /// The artifact's name in the manifest, or the object's name.
    pub name: String,
    /// The size of the whole in bytes, from 1. Of an artifact: what the signed manifest says.
    pub size_bytes: u64,
    /// The SHA-256 of the whole. Of an artifact: what the signed manifest says.
    pub sha256: Sha256Digest,
    /// The size of each part but the last, in bytes: 5 MiB to 1 GiB, and so that there are at most 10 000 parts.
    /// 16 MiB, or more for a large upload, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_size_bytes: Option<u64>,
}

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// What the bytes are for.
    pub kind: UploadKind,
    /// The firmware that an artifact belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_id: Option<FirmwareId>,
    /// The artifact's name in the manifest, or the object's name.
    pub name: String,
    /// The size of the whole in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of the whole.
    pub sha256: Sha256Digest,
    /// The size of each part but the last, in bytes.
    pub part_size_bytes: u64,
    /// How many parts there are to be, numbered from 1.
    pub parts_total: u32,
    /// How many are there.
    pub parts_received: u32,
    /// How many bytes those have.
    pub bytes_received: u64,
    /// Whether parts may go to the object store directly: ask for their addresses. Without, send them to the server;
    /// that works in any case.
    pub direct: bool,
    /// How far it is.
    pub state: UploadState,
    /// Why it failed or was given up, or what keeps it from going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When a part came or its state changed.
    pub updated_at: Timestamp,
    /// When it is given up unless it was completed; only while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The parts that are there, by number. Left out of lists, and while it is verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<UploadPart>,
}

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadPart {
    /// Its place, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256; none when it went to the object store directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// When it came.
    pub uploaded_at: Timestamp,
}

/// Which uploads.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only those in this state.
    pub state: Option<UploadState>,
    /// Only those of this kind.
    pub kind: Option<UploadKind>,
    /// Only those of this content.
    pub sha256: Option<Sha256Digest>,
}

/// Which parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartUrlsRequest {
    /// Numbers of parts, 1 to 100 of them.
    pub numbers: Vec<u32>,
}

/// Addresses for parts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartUrls {
    /// One for each number that was asked for, in that order.
    pub items: Vec<PartUrl>,
}

/// Where a part may be sent with PUT. Treat the address as a secret, and send it no credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartUrl {
    /// The part.
    pub number: u32,
    /// The address. Its answer has an `ETag`: tell it to the server, then the part counts.
    pub url: String,
    /// How long the part must be, in bytes.
    pub size_bytes: u64,
    /// When the address stops working.
    pub expires_at: Timestamp,
}

/// A part that went to the object store directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartDone {
    /// The `ETag` of the object store's answer, with its quotes.
    pub etag: String,
}

impl PartDone {
    /// Whether it is made of what entity tags are made of: it becomes part of a request to the object store.
    pub fn is_usable(&self) -> bool {
        let text = self.etag.as_str();
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_+/=.".contains(c);
        (1..=ETAG_MAX_BYTES).contains(&bare.len()) && bare.chars().all(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entity_tags() {
        let is_usable = |etag: &str| PartDone { etag: etag.to_owned() }.is_usable();
        for right in ["\"9b2cf535f27731c974343645a3985328\"", "9b2c-12", "\"a+b/c==\""] {
            assert!(is_usable(right), "{right}");
        }
        for wrong in ["", "\"\"", "\"", "a b", "<x/>", "\"a\"b\"", "a&amp;", "a\n"] {
            assert!(!is_usable(wrong), "{wrong}");
        }
    }
}
