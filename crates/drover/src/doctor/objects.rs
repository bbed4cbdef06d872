//! The object store: written to, and read by the address that devices get.

use drover_app::checkup::{self, CheckupError};
use drover_app::compose::Backends;
use drover_types::Timestamp;

use super::finding::{Finding, chain};
use super::http::Probe;

const NAME: &str = "objects";

/// What was seen.
#[derive(Debug)]
pub(crate) struct Facts {
    writable: Result<(), CheckupError>,
    /// Whether a signed address yields what was stored; none when our own server would have to answer it.
    fetched: Option<Result<(), String>>,
}

/// Writes and removes a probe; in S3 it is fetched by its address in between.
pub(crate) async fn look(backends: &Backends, probe: &Probe, now: Timestamp) -> Facts {
    let writable = checkup::objects(backends).await;
    let fetched = match &writable {
        Ok(()) if backends.blobs.starts_with("s3:") => Some(round_trip(backends, probe, now).await),
        _ => None,
    };
    Facts { writable, fetched }
}

async fn round_trip(backends: &Backends, probe: &Probe, now: Timestamp) -> Result<(), String> {
    let stored = checkup::put_probe(backends, now).await.map_err(|error| chain(&error))?;
    let answer = probe.get(&stored.url).await;
    let removed = checkup::remove_probe(backends, &stored).await;
    let answer = answer?;
    if (answer.status, answer.text.as_str()) != (200, stored.content.as_str()) {
        return Err(format!("it answers {}", answer.status));
    }
    removed.map_err(|error| chain(&error))
}

/// Says whether devices will get their bytes.
pub(crate) fn judge(address: &str, facts: &Facts) -> Finding {
    match (&facts.writable, &facts.fetched) {
        (Err(error), _) => {
            let next = "check --blobs, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that the bucket exists";
            Finding::fail(NAME, format!("{address}: {}", chain(error)), next)
        }
        (Ok(()), Some(Err(error))) => {
            let seen = format!("{address}: an object cannot be fetched by its signed address: {error}");
            let next = "devices cannot either: check endpoint, public_endpoint, certificate and this machine's clock";
            Finding::fail(NAME, seen, next)
        }
        (Ok(()), Some(Ok(()))) => Finding::ok(NAME, format!("{address}: written, and fetched by a signed address")),
        (Ok(()), None) => Finding::ok(NAME, format!("{address} can be written to")),
    }
}

#[cfg(test)]
mod tests {
    use drover_app::compose::ComposeError;

    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn each_fault_is_told() {
        let level = |writable, fetched| judge("s3://b", &Facts { writable, fetched }).level;
        let unreachable = || Err(CheckupError::Compose(ComposeError::Pending { steps: 1 }));
        assert_eq!(level(Ok(()), None), Level::Ok);
        assert_eq!(level(Ok(()), Some(Ok(()))), Level::Ok);
        assert_eq!(level(Ok(()), Some(Err("it answers 403".to_owned()))), Level::Fail);
        assert_eq!(level(unreachable(), None), Level::Fail);
    }
}
