//! Rollouts.

use drover_api::{
    Page, PageQuery, Rollout, RolloutCreate, RolloutFilter, RolloutMetrics, RolloutRollback, RolloutUpdate,
    UpdateSession, UpdateSessionFilter,
};
use drover_types::RolloutId;

use super::json::decode;
use super::{Client, ClientError};

impl Client {
    /// At most `at_most` rollouts.
    pub async fn rollouts(&self, filter: &RolloutFilter, at_most: usize) -> Result<Page<Rollout>, ClientError> {
        self.list(&["rollouts"], filter, at_most).await
    }

    /// Creates a rollout, as a draft.
    pub async fn create_rollout(&self, body: &RolloutCreate) -> Result<Rollout, ClientError> {
        self.create(&["rollouts"], body).await
    }

    /// One rollout.
    pub async fn rollout(&self, id: RolloutId) -> Result<Rollout, ClientError> {
        self.get(&["rollouts", &id.to_string()]).await
    }

    /// Changes a rollout.
    pub async fn update_rollout(&self, id: RolloutId, body: &RolloutUpdate) -> Result<Rollout, ClientError> {
        self.put(&["rollouts", &id.to_string()], body).await
    }

    /// Starts a draft.
    pub async fn start_rollout(&self, id: RolloutId) -> Result<Rollout, ClientError> {
        self.act(&["rollouts", &id.to_string(), "start"]).await
    }

    /// Offers nothing more until it is resumed; devices at work finish.
    pub async fn pause_rollout(&self, id: RolloutId) -> Result<Rollout, ClientError> {
        self.act(&["rollouts", &id.to_string(), "pause"]).await
    }

    /// Goes on after a pause.
    pub async fn resume_rollout(&self, id: RolloutId) -> Result<Rollout, ClientError> {
        self.act(&["rollouts", &id.to_string(), "resume"]).await
    }

    /// Ends a rollout; what is installed stays.
    pub async fn cancel_rollout(&self, id: RolloutId) -> Result<Rollout, ClientError> {
        self.act(&["rollouts", &id.to_string(), "cancel"]).await
    }

    /// Takes a rollout back: updated devices return to the version that they came from.
    pub async fn roll_back_rollout(&self, id: RolloutId, body: &RolloutRollback) -> Result<Rollout, ClientError> {
        let url = self.api_url(&["rollouts", &id.to_string(), "rollback"]);
        decode(&self.post_once(url, Some(body)).await?)
    }

    /// A rollout in numbers.
    pub async fn rollout_metrics(&self, id: RolloutId) -> Result<RolloutMetrics, ClientError> {
        self.get(&["rollouts", &id.to_string(), "metrics"]).await
    }

    /// At most `at_most` failed update sessions of a rollout.
    pub async fn rollout_failures(&self, id: RolloutId, at_most: usize) -> Result<Page<UpdateSession>, ClientError> {
        self.list(&["rollouts", &id.to_string(), "failures"], &PageQuery::default(), at_most).await
    }

    /// At most `at_most` update sessions of a rollout.
    pub async fn rollout_sessions(
        &self,
        id: RolloutId,
        filter: &UpdateSessionFilter,
        at_most: usize,
    ) -> Result<Page<UpdateSession>, ClientError> {
        self.list(&["rollouts", &id.to_string(), "sessions"], filter, at_most).await
    }
}
