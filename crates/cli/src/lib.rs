//! The operator's commands over the REST API
