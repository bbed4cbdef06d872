//! What a rollout would do.

use drover_api::{ExcludedDevice, ExcludedFilter, Page, RolloutCreate, RolloutPreview};
use drover_types::Exclusion;

use super::json::decode;
use super::pages::with_query;
use super::{Client, ClientError};

/// What the API gives at most per page.
const MAX_PAGE_ITEMS: usize = 500;

impl Client {
    /// What a rollout would do.
    pub async fn preview_rollout(&self, body: &RolloutCreate) -> Result<RolloutPreview, ClientError> {
        let url = self.api_url(&["rollouts", "preview"]);
        decode(&self.ask(url, body).await?)
    }

    /// At most `at_most` devices that a rollout would leave out, for one reason or any.
    pub async fn preview_excluded(
        &self,
        body: &RolloutCreate,
        reason: Option<Exclusion>,
        at_most: usize,
    ) -> Result<Page<ExcludedDevice>, ClientError> {
        let mut page = Page { items: Vec::new(), next_cursor: None };
        loop {
            let limit = u32::try_from((at_most - page.items.len()).clamp(1, MAX_PAGE_ITEMS)).unwrap_or(u32::MAX);
            let filter = ExcludedFilter { limit: Some(limit), cursor: page.next_cursor.take(), reason };
            let url = with_query(self.api_url(&["rollouts", "preview", "excluded"]), &filter, &[])?;
            let next: Page<ExcludedDevice> = decode(&self.ask(url, body).await?)?;
            if next.next_cursor.is_some() && next.next_cursor == filter.cursor {
                return Err(ClientError::EndlessList);
            }
            page.items.extend(next.items);
            page.next_cursor = next.next_cursor;
            if page.next_cursor.is_none() || page.items.len() >= at_most {
                page.items.truncate(at_most);
                return Ok(page);
            }
        }
    }
}
