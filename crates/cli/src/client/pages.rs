//! Lists: page after page, up to a limit.

use drover_api::Page;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{Client, ClientError};

/// What the API gives at most per page.
const MAX_PAGE_ITEMS: usize = 500;

impl Client {
    /// One page of the list at `path`, below `/api/v1`. `query` is a filter of `drover_api`; its fields that are
    /// none are left out.
    pub async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<Page<T>, ClientError> {
        self.get_url(with_query(self.api_url(path), query, &[])?).await
    }

    /// Follows the cursors of a list until its end or until there are `at_most` items. The page that comes back has
    /// a cursor when there is more. The filter's own `limit` does not count; its `cursor` is where to start.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        at_most: usize,
    ) -> Result<Page<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (at_most - items.len()).clamp(1, MAX_PAGE_ITEMS).to_string();
            let mut overrides = vec![("limit", limit.as_str())];
            overrides.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get_url(with_query(self.api_url(path), query, &overrides)?).await?;
            if page.next_cursor.is_some() && page.next_cursor == cursor {
                return Err(ClientError::EndlessList);
            }
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || items.len() >= at_most {
                items.truncate(at_most);
                return Ok(Page { items, next_cursor: cursor });
            }
        }
    }
}

/// Adds the fields of `query` that have a value; `overrides` win over them.
pub(crate) fn with_query(mut url: Url, query: &impl Serialize, overrides: &[(&str, &str)]) -> Result<Url, ClientError> {
    let fields = serde_json::to_value(query).map_err(ClientError::Request)?;
    {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in fields.as_object().into_iter().flatten() {
            let is_overridden = overrides.iter().any(|(other, _)| other == name);
            match value {
                _ if is_overridden => {}
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => drop(pairs.append_pair(name, text)),
                other => drop(pairs.append_pair(name, &other.to_string())),
            }
        }
        for (name, value) in overrides {
            pairs.append_pair(name, value);
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use drover_api::DeviceFilter;

    use super::*;

    #[test]
    fn fields_without_a_value_are_left_out_and_others_are_encoded() {
        let filter = DeviceFilter { hardware_id: Some("a b&c".to_owned()), limit: Some(7), ..DeviceFilter::default() };
        let base = Url::parse("https://fleet.example/devices").expect("an address");
        let url = with_query(base.clone(), &filter, &[("limit", "3")]).expect("a query");
        assert_eq!(url.as_str(), "https://fleet.example/devices?hardware_id=a+b%26c&limit=3");
        assert_eq!(with_query(base.clone(), &DeviceFilter::default(), &[]).expect("a query"), base);
    }
}
