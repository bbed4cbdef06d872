//! HTTP: the REST API, the device API, limits and the `OpenAPI` document.
//!
//! A handler extracts, calls one use case of [`drover_app::App`], and wraps the answer. Whatever goes wrong leaves as
//! `application/problem+json` (`problem.rs` renders it, in one place). `http/` has a file per noun of
//! the REST API, `device/` one per call that devices make.

mod caller;
mod config;
mod connection;
mod cookie;
mod cors;
mod device;
mod extract;
mod health;
mod http;
mod limits;
mod log_limit;
mod metrics;
mod openapi;
mod pace;
mod problem;
mod request_id;
mod responses;
mod router;
mod serve;
mod state;
#[cfg(test)]
mod testing;
mod tls;
mod trace_context;
mod transfer;

pub use config::{ConfigError, HttpConfig, check_plain};
pub use metrics::{InvalidMetricsToken, MetricsToken};
pub use openapi::openapi;
pub use serve::{ServeError, serve};
pub use tls::{CertificateFacts, CertificateSource, PinChoice, Tls, TlsError, inspect};

#[cfg(test)]
mod tests;
