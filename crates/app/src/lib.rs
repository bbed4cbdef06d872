//! Authorisation, use cases, background tasks and the composition of back-ends
