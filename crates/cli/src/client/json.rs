//! Calls with JSON in and out.

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::attempt::{Call, Repeat};
use super::{Client, ClientError};

/// Where the API lives.
const API: [&str; 2] = ["api", "v1"];

/// For requests without a body.
const NOTHING: Option<&()> = None;

impl Client {
    /// The address of a resource of the API.
    pub(crate) fn api_url(&self, path: &[&str]) -> Url {
        self.server.join(API.iter().chain(path).copied())
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.get_url(self.api_url(path)).await
    }

    pub(crate) async fn get_url<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        decode(&self.send(Method::GET, url, NOTHING, Repeat::Idempotent, false).await?)
    }

    /// Replaces something: the same request twice does no harm.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(&self.send(Method::PUT, self.api_url(path), Some(body), Repeat::Idempotent, false).await?)
    }

    /// Changes some of something: the same request twice does no harm.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(&self.send(Method::PATCH, self.api_url(path), Some(body), Repeat::Idempotent, false).await?)
    }

    /// Creates something: an idempotency key makes repeated attempts one request.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(&self.send(Method::POST, self.api_url(path), Some(body), Repeat::Idempotent, true).await?)
    }

    /// Does something that is not repeated once it may have happened.
    pub(crate) async fn act<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        decode(&self.send(Method::POST, self.api_url(path), NOTHING, Repeat::Unsent, false).await?)
    }

    /// The same with a body, and the answer as bytes.
    pub(crate) async fn post_once(&self, url: Url, body: Option<&impl Serialize>) -> Result<Vec<u8>, ClientError> {
        self.send(Method::POST, url, body, Repeat::Unsent, false).await
    }

    /// Asks a question that needs a body; it changes nothing.
    pub(crate) async fn ask(&self, url: Url, body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
        self.send(Method::POST, url, Some(body), Repeat::Idempotent, false).await
    }

    /// Adds to a set: the same request twice does no harm. The answer's body does not matter.
    pub(crate) async fn post_into_set(&self, path: &[&str], body: &impl Serialize) -> Result<(), ClientError> {
        self.send(Method::POST, self.api_url(path), Some(body), Repeat::Idempotent, false).await.map(drop)
    }

    /// Adds what the path names to a set: the same request twice does no harm. There is no body.
    pub(crate) async fn put_into_set(&self, path: &[&str]) -> Result<(), ClientError> {
        self.send(Method::PUT, self.api_url(path), NOTHING, Repeat::Idempotent, false).await.map(drop)
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), ClientError> {
        self.send(Method::DELETE, self.api_url(path), NOTHING, Repeat::Unsent, false).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
        repeat: Repeat,
        with_idempotency_key: bool,
    ) -> Result<Vec<u8>, ClientError> {
        let body = body.map(serde_json::to_vec).transpose().map_err(ClientError::Request)?;
        let idempotency_key = with_idempotency_key.then(|| self.idempotency_key());
        let answer = self.call(&Call { method, url, body, idempotency_key, repeat }).await?;
        Ok(answer.body)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(ClientError::Body)
}
