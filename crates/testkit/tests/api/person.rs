//! Somebody who calls the API with a credential of his own.

use std::collections::BTreeSet;

use drover_testkit::{Answer, TestServer, answer};
use reqwest::Method;
use serde_json::{Value, json};

/// The password of everybody but the first user.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody with a token, who works in a tenant.
#[derive(Clone)]
pub(crate) struct Person<'s> {
    pub(crate) server: &'s TestServer,
    pub(crate) token: String,
    pub(crate) tenant: Option<String>,
}

impl<'s> Person<'s> {
    pub(crate) fn admin(server: &'s TestServer) -> Self {
        Self { server, token: server.admin_token().to_owned(), tenant: None }
    }

    /// The same person at work in another tenant.
    pub(crate) fn within(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let mut request = self.server.request(method, &format!("/api/v1/{path}")).bearer_auth(&self.token);
        if let Some(tenant) = &self.tenant {
            request = request.header("drover-tenant", tenant);
        }
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Value::Null).await
    }

    /// Makes something and gives its id.
    pub(crate) async fn make(&self, path: &str, body: Value) -> String {
        let made = self.call(Method::POST, path, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made: Value = made.json();
        let id = [&made["id"], &made["user"]["id"], &made["api_key"]["id"]].into_iter().find(|id| id.is_string());
        id.expect("an id").as_str().expect("a text").to_owned()
    }

    /// Adds a user of this person's tenant with these grants, and logs in.
    pub(crate) async fn add(&self, name: &str, grants: &[Value]) -> (String, Self) {
        let id = self.make("users", json!({ "username": name, "password": PASSWORD })).await;
        for grant in grants {
            self.make(&format!("users/{id}/grants"), grant.clone()).await;
        }
        (id, log_in(self.server, "default", name).await)
    }

    /// Makes an API key with these limits.
    pub(crate) async fn key(&self, limits: Value) -> Self {
        let mut body = json!({ "name": "ci" });
        body.as_object_mut().expect("an object").extend(limits.as_object().expect("an object").clone());
        let made = self.call(Method::POST, "api-keys", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let token = made.json::<Value>()["token"].as_str().expect("a token").to_owned();
        Self { token, ..self.clone() }
    }

    pub(crate) async fn listed(&self, path: &str) -> BTreeSet<String> {
        let list = self.get(path).await;
        assert_eq!(list.status, 200, "{path}: {}", list.text());
        let items = list.json::<Value>()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// The ids of a user's grants.
    pub(crate) async fn grants_of(&self, user: &str) -> Vec<String> {
        let grants: Value = self.get(&format!("users/{user}/grants")).await.json();
        let grants = grants.as_array().expect("a list").iter();
        grants.map(|grant| grant["id"].as_str().expect("an id").to_owned()).collect()
    }
}

pub(crate) async fn log_in<'s>(server: &'s TestServer, tenant: &str, name: &str) -> Person<'s> {
    let body = json!({ "tenant": tenant, "username": name, "password": PASSWORD });
    let reply = answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.json::<Value>()["token"].as_str().expect("a token").to_owned();
    Person { server, token, tenant: None }
}

pub(crate) fn role(role: &str) -> Value {
    json!({ "role": role })
}

pub(crate) fn role_over(role: &str, group: &str) -> Value {
    json!({ "role": role, "scope": { "group_id": group } })
}
