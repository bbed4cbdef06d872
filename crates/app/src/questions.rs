//! Turns for questions about a whole fleet: lists by condition, counts, previews.
//!
//! The database gives them few connections and little time (`Db::questions`). Here each tenant gets its share of those,
//! so that one that asks much keeps no other waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_db::{QUESTION_TIME, Turn};
use drover_types::{ErrorKind, TenantId};
use tokio::sync::Semaphore;

use crate::{App, Error, Result};

/// Questions of one tenant that a node answers at the same time.
const TURNS: usize = 2;

/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// Who asks at this moment.
#[derive(Default)]
pub(crate) struct Questions {
    by_tenant: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

impl Questions {
    /// Waits for a turn, at most for `wait`.
    async fn turn(&self, tenant: TenantId, wait: Duration) -> Result<Turn> {
        let turns = self.of(tenant);
        match tokio::time::timeout(wait, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn::new(permit, QUESTION_TIME)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        // Tenants that do not ask any more are forgotten.
        by_tenant.retain(|_, turns| Arc::strong_count(turns) > 1);
        Arc::clone(by_tenant.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(TURNS))))
    }
}

impl App {
    /// Waits for the tenant's turn to ask about its whole fleet. It lasts until the database does nothing for it any more.
    pub(crate) async fn turn(&self, tenant: TenantId) -> Result<Turn> {
        self.questions.turn(tenant, WAIT).await
    }
}

fn busy() -> Error {
    let detail = format!(
        "{TURNS} questions about the whole fleet are being answered for you at this moment: wait for them, then send the \
         request again"
    );
    Error::new(ErrorKind::Unavailable, "questions_busy", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: TenantId = TenantId(uuid::Uuid::nil());
    const OTHER: TenantId = TenantId(uuid::Uuid::max());

    #[tokio::test]
    async fn a_tenant_takes_its_own_turns_only() {
        let questions = Questions::default();
        let first = questions.turn(ACME, WAIT).await.unwrap();
        let _second = questions.turn(ACME, WAIT).await.unwrap();
        let refused = questions.turn(ACME, Duration::ZERO).await.err().unwrap();
        assert_eq!((refused.kind, refused.code), (ErrorKind::Unavailable, "questions_busy"));
        let _other = questions.turn(OTHER, WAIT).await.unwrap();
        drop(first);
        let _third = questions.turn(ACME, WAIT).await.unwrap();
        assert_eq!(questions.of(ACME).available_permits(), 0, "the place of the first");
    }

    #[tokio::test]
    async fn who_does_not_ask_any_more_is_forgotten() {
        let questions = Questions::default();
        drop(questions.turn(ACME, WAIT).await.unwrap());
        let _other = questions.turn(OTHER, WAIT).await.unwrap();
        assert_eq!(questions.by_tenant.lock().unwrap().len(), 1);
    }
}
