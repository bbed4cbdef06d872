//! Creating calls that may be sent again.

use drover_db::Tx;
use drover_store::idempotency::{self, Claim};
use drover_trust::sha256;
use drover_types::{Sha256Digest, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::{Caller, Error, Result};

/// The `Idempotency-Key` of a request together with the request itself: the same key with another request is refused.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    request_sha256: Sha256Digest,
}

impl IdempotencyKey {
    /// From the header's value and what the request asks for. 1 to 200 printable ASCII characters.
    pub fn new<B: Serialize>(key: &str, operation: &str, body: &B) -> Result<Self> {
        if !(1..=200).contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::field("Idempotency-Key", "must have 1 to 200 printable characters without blanks"));
        }
        let body = serde_json::to_vec(body).map_err(|error| Error::internal("read the request again", error))?;
        let request = [operation.as_bytes(), b"\n", &body].concat();
        Ok(Self { key: key.to_owned(), request_sha256: sha256(&request) })
    }

    /// Takes the key for the resource that is about to be made, in the same transaction. Returns the id of the
    /// resource that an earlier request with the same key and body made.
    pub(crate) async fn claim(
        key: Option<&Self>,
        tx: &mut Tx,
        caller: &Caller,
        resource_id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Uuid>> {
        let Some(key) = key else { return Ok(None) };
        let identity = caller.identity();
        let claim = Claim { caller: &identity, key: &key.key, request_sha256: key.request_sha256, resource_id };
        match idempotency::claim(tx, caller.tenant, claim, now).await? {
            None => Ok(None),
            Some(earlier) if earlier.request_sha256 == key.request_sha256 => Ok(Some(earlier.resource_id)),
            Some(_) => Err(Error::unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request; use a new one",
            )),
        }
    }
}

/// What a creating transaction did.
pub(crate) enum Created {
    /// It made the resource.
    Now,
    /// An earlier request with the same key had made this one.
    Before(Uuid),
}

/// The answer to a repeated request whose answer held a secret.
pub(crate) fn secret_shown_once(noun: &str) -> Error {
    Error::conflict(
        "created_before",
        format!("this request was answered before and its secret is shown once; revoke that {noun} and make a new one"),
    )
}
