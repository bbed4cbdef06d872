//! Passwords: argon2id, few at a time.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::{Error, Random, Result};

/// OWASP's minimum for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Hashes at once; each takes 19 MiB and a core.
const PARALLEL_MAX: usize = 2;

/// Hashes that may wait for that, those at work among them: some seconds of work. More are refused at once.
const QUEUED_MAX: usize = 64;

/// Hashes and checks passwords off the async threads, at most two at once.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHasher {
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(PARALLEL_MAX)), queue: Arc::new(Semaphore::new(QUEUED_MAX)) }
    }
}

fn argon2id() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|error| Error::internal("set up password hashing", PasswordError(error.to_string())))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct PasswordError(String);

impl PasswordHasher {
    /// The password as a PHC string with a fresh salt.
    pub(crate) async fn hash(&self, password: String, random: &dyn Random) -> Result<String> {
        let mut salt = [0; 16];
        random.fill(&mut salt);
        self.run(move || {
            let hash = argon2id()?
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map_err(|error| Error::internal("hash the password", PasswordError(error.to_string())))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password is the one that was hashed. Without a hash (no such user) it takes as long and says no.
    pub(crate) async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        self.run(move || {
            let argon2 = argon2id()?;
            let Some(stored) = stored else {
                let _ = argon2.hash_password_with_salt(password.as_bytes(), &[0; 16]);
                return Ok(false);
            };
            let hash = PasswordHash::new(&stored)
                .map_err(|error| Error::internal("read the stored password hash", PasswordError(error.to_string())))?;
            Ok(argon2.verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _queued = self.queue.try_acquire().map_err(|_| {
            let detail = "too many passwords are being checked at this moment; try again in some seconds";
            Error::new(drover_types::ErrorKind::Unavailable, "too_many_logins", detail)
        })?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|error| Error::internal("hash a password", error))?;
        // The slot stays taken until the work is done, even when whoever asked goes away.
        let hold = move || {
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(hold).await.map_err(|error| Error::internal("hash a password", error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let hasher = PasswordHasher::default();
        let stored = hasher.hash("correct horse".into(), &SystemRandom).await.expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(hasher.verify("correct horse".into(), Some(stored.clone())).await.expect("checked"));
        assert!(!hasher.verify("wrong horse".into(), Some(stored)).await.expect("checked"));
        assert!(!hasher.verify("anything".into(), None).await.expect("checked"));
    }

    #[tokio::test]
    async fn more_than_can_be_done_soon_is_refused_at_once() {
        let hasher = PasswordHasher::default();
        let others = hasher.queue.acquire_many(u32::try_from(QUEUED_MAX).expect("few")).await.expect("a queue");
        let error = hasher.verify("anything".into(), None).await.unwrap_err();
        assert_eq!(error.code, "too_many_logins");
        drop(others);
        assert!(hasher.verify("anything".into(), None).await.is_ok());
    }
}
