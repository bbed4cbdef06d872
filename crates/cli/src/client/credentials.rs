//! Logins, API keys, enrolment tokens, release keys.

use drover_api::{
    ApiKey, ApiKeyCreate, ApiKeyCreated, CallerView, EnrolmentToken, EnrolmentTokenCreate, EnrolmentTokenCreated,
    LoginReply, LoginRequest, Page, PageQuery, ReleaseKey, ReleaseKeyCreate,
};
use drover_types::{ApiKeyId, EnrolmentTokenId, ReleaseKeyId};

use super::json::decode;
use super::{Client, ClientError};

impl Client {
    /// Opens a session; the client itself stays without it (see [`Client::with_token`]).
    pub async fn login(&self, request: &LoginRequest) -> Result<LoginReply, ClientError> {
        decode(&self.post_once(self.api_url(&["auth", "login"]), Some(request)).await?)
    }

    /// Ends the session that the token belongs to.
    pub async fn logout(&self) -> Result<(), ClientError> {
        self.post_once(self.api_url(&["auth", "logout"]), None::<&()>).await.map(drop)
    }

    /// Who the token belongs to.
    pub async fn whoami(&self) -> Result<CallerView, ClientError> {
        self.get(&["auth", "me"]).await
    }

    /// At most `at_most` API keys.
    pub async fn api_keys(&self, at_most: usize) -> Result<Page<ApiKey>, ClientError> {
        self.list(&["api-keys"], &PageQuery::default(), at_most).await
    }

    /// Makes an API key.
    pub async fn create_api_key(&self, body: &ApiKeyCreate) -> Result<ApiKeyCreated, ClientError> {
        self.create(&["api-keys"], body).await
    }

    /// Revokes an API key.
    pub async fn revoke_api_key(&self, id: ApiKeyId) -> Result<(), ClientError> {
        self.delete(&["api-keys", &id.to_string()]).await
    }

    /// At most `at_most` enrolment tokens.
    pub async fn enrolment_tokens(&self, at_most: usize) -> Result<Page<EnrolmentToken>, ClientError> {
        self.list(&["enrolment-tokens"], &PageQuery::default(), at_most).await
    }

    /// Makes an enrolment token.
    pub async fn create_enrolment_token(
        &self,
        body: &EnrolmentTokenCreate,
    ) -> Result<EnrolmentTokenCreated, ClientError> {
        self.create(&["enrolment-tokens"], body).await
    }

    /// Revokes an enrolment token.
    pub async fn revoke_enrolment_token(&self, id: EnrolmentTokenId) -> Result<(), ClientError> {
        self.delete(&["enrolment-tokens", &id.to_string()]).await
    }

    /// At most `at_most` release keys.
    pub async fn release_keys(&self, at_most: usize) -> Result<Page<ReleaseKey>, ClientError> {
        self.list(&["release-keys"], &PageQuery::default(), at_most).await
    }

    /// Adds a release key.
    pub async fn add_release_key(&self, body: &ReleaseKeyCreate) -> Result<ReleaseKey, ClientError> {
        self.create(&["release-keys"], body).await
    }

    /// Revokes a release key.
    pub async fn revoke_release_key(&self, id: ReleaseKeyId) -> Result<(), ClientError> {
        self.delete(&["release-keys", &id.to_string()]).await
    }
}
