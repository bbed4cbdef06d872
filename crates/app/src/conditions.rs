//! From the text of a condition to what the store selects devices by.

use std::sync::Arc;

use drover_rules::Condition;
use drover_store::conditions::Selection;
use drover_store::groups;
use drover_types::Timestamp;

use crate::{Access, App, Error, Result};

impl App {
    /// A condition on devices, as a person wrote it in `field`. It may ask for static groups only, so that no group can
    /// depend on itself, and for none that the caller may not see.
    pub(crate) async fn condition(&self, access: &Access, field: &str, text: &str) -> Result<Arc<Condition>> {
        let condition = self.conditions.cel(text).await?.map_err(|error| Error::field(field, error.to_string()))?;
        self.check_condition(access, field, condition).await
    }

    /// The same in the spelling of RSQL.
    pub(crate) async fn condition_from_rsql(&self, access: &Access, field: &str, text: &str) -> Result<Arc<Condition>> {
        let condition = self.conditions.rsql(text).await?.map_err(|error| Error::field(field, error.to_string()))?;
        self.check_condition(access, field, condition).await
    }

    async fn check_condition(&self, access: &Access, field: &str, condition: Arc<Condition>) -> Result<Arc<Condition>> {
        Selection::new(Arc::clone(&condition), self.now()).map_err(|error| Error::field(field, error.to_string()))?;
        for name in condition.groups() {
            let group = groups::by_name(&self.db, access.tenant, name).await?;
            let there = match &group {
                Some(group) => access.reach.has_group(&self.db, access.tenant, group.id).await?,
                None => false,
            };
            match group.filter(|_| there) {
                Some(group) if group.condition.is_none() => {}
                Some(_) => {
                    let detail = format!("{name:?} is a dynamic group; write its condition instead");
                    return Err(Error::field(field, detail));
                }
                None => return Err(Error::field(field, format!("there is no group {name:?}"))),
            }
        }
        Ok(condition)
    }

    /// A condition that was checked when it was stored, at `now`.
    pub(crate) async fn stored_condition(&self, text: &str, now: Timestamp) -> Result<Selection> {
        let broken = |error| Error::internal("read a stored condition", error);
        let condition = self.conditions.cel(text).await?.map_err(broken)?;
        Selection::new(condition, now).map_err(|error| Error::internal("use a stored condition", error))
    }
}
