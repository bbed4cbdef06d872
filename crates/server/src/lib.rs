//! HTTP: the REST API, the device API, limits and the OpenAPI document
