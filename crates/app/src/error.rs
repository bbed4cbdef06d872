//! The error of every use case.

use drover_api::FieldError;
use drover_types::ErrorKind;

/// What a use case returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A use case failed. `kind` decides the HTTP status; `detail` tells the user what happened and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// A short stable code, for programs.
    pub code: &'static str,
    /// What happened and what to do next. Nothing internal: it goes to the caller.
    pub detail: String,
    /// What is wrong with which field.
    pub fields: Vec<FieldError>,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into(), fields: Vec::new(), source: None }
    }

    /// It does not exist, or the caller may not see it.
    pub fn not_found(noun: &str, name: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, "not_found", format!("there is no {noun} {name}"))
    }

    /// The state of things forbids it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, detail)
    }

    /// Refused for what it says.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unprocessable, code, detail)
    }

    /// One field is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// Some fields are wrong.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let detail = fields.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>().join("; ");
        Self { fields, ..Self::new(ErrorKind::Unprocessable, "invalid", detail) }
    }

    /// A fault of this service.
    pub fn internal(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Internal, "internal", format!("failed to {what}; the server's log has the cause"))
            .with_source(source)
    }

    /// The same with a cause.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

const DATABASE_BUSY: &str = "database_busy";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if drover_db::is_out_of_time(&error) {
            let detail = format!(
                "the question took longer than {} s: ask for less, such as one device type or one group, or write a \
                 shorter condition",
                drover_db::QUESTION_TIME.as_secs()
            );
            return Self::new(ErrorKind::Timeout, "question_too_long", detail).with_source(error);
        }
        let busy = drover_db::is_retryable(&error)
            || matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_));
        if busy {
            return Self::new(ErrorKind::Unavailable, DATABASE_BUSY, "the database is busy; send the request again")
                .with_source(error);
        }
        Self::internal("use the database", error)
    }
}

/// Tries to get through when other transactions are in the way.
const TRIES: usize = 4;

/// Runs `attempt` again when another transaction was in the way: the database undid the loser of a deadlock, and the
/// same work goes through a moment later.
pub(crate) async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..TRIES {
        match attempt().await {
            Err(error) if error.code == DATABASE_BUSY => {}
            outcome => return outcome,
        }
    }
    attempt().await
}
