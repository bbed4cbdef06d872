//! Bodies of the REST API, problem details and pagination
