//! The errors of every call, as the `OpenAPI` document lists them.

use std::collections::BTreeMap;

use drover_api::Problem;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToResponse};

use crate::problem;

/// The response that every error refers to.
pub(crate) struct ProblemResponse;

impl<'r> ToResponse<'r> for ProblemResponse {
    fn response() -> (&'r str, RefOr<Response>) {
        let schema = Ref::from_schema_name(<Problem as utoipa::ToSchema>::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description("What went wrong and what to do next (RFC 9457)")
            .content(problem::MEDIA_TYPE, content)
            .build();
        ("Problem", response.into())
    }
}

fn responses(statuses: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    let problem = || RefOr::Ref(Ref::from_response_name(ProblemResponse::response().0));
    statuses.iter().map(|status| ((*status).to_owned(), problem())).collect()
}

/// The errors of reading.
pub(crate) struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&["400", "401", "403", "404", "422", "429", "500", "503", "504"])
    }
}

/// The errors of changing.
pub(crate) struct WriteProblems;

impl IntoResponses for WriteProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&["400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503", "504"])
    }
}

/// The errors of uploading.
pub(crate) struct UploadProblems;

impl IntoResponses for UploadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&["400", "401", "403", "404", "409", "413", "422", "429", "500", "503", "507"])
    }
}

/// The errors of calls without a credential.
pub(crate) struct OpenProblems;

impl IntoResponses for OpenProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&["500", "503", "504"])
    }
}
