use drover_api::{FieldError, Problem};

use super::*;

fn problem(kind: ErrorKind, status: u16) -> CliError {
    let errors = vec![FieldError { field: "stages[1].percentage".to_owned(), message: "falls".to_owned() }];
    CliError::Client(ClientError::Problem(Box::new(Problem {
        type_uri: format!("urn:drover:problem:{kind}"),
        title: "refused".to_owned(),
        status,
        detail: Some("two stages".to_owned()),
        kind,
        request_id: None,
        errors,
    })))
}

#[test]
fn each_kind_has_its_exit_code() {
    let expected = [
        (ErrorKind::Malformed, 2),
        (ErrorKind::Unauthenticated, 4),
        (ErrorKind::Forbidden, 4),
        (ErrorKind::NotFound, 3),
        (ErrorKind::Conflict, 5),
        (ErrorKind::Unprocessable, 6),
        (ErrorKind::TooLarge, 6),
        (ErrorKind::RateLimited, 7),
        (ErrorKind::InsufficientStorage, 6),
        (ErrorKind::Unavailable, 7),
        (ErrorKind::Timeout, 7),
        (ErrorKind::Internal, 1),
    ];
    assert_eq!(expected.len(), ErrorKind::ALL.len());
    for (kind, code) in expected {
        assert_eq!(problem(kind, 400).exit_code(), code, "{kind}");
    }
}

#[test]
fn a_rollout_that_does_not_complete_has_a_code_of_its_own() {
    let error = CliError::NotCompleted {
        name: "r".to_owned(),
        status: RolloutState::RolledBack,
        reason: Some("gate".to_owned()),
    };
    assert_eq!(error.exit_code(), 8);
    assert!(error.report().starts_with("error: rollout r is rolled_back, not completed: gate\n  next: "));
}

#[test]
fn the_report_names_the_fields_and_the_next_step() {
    let report = problem(ErrorKind::Unprocessable, 422).report();
    assert_eq!(report, "error: refused: two stages\n  stages[1].percentage: falls");
    let report = problem(ErrorKind::Unauthenticated, 401).report();
    assert!(report.contains("\n  next: `drover login`"), "{report}");
}

#[test]
fn a_field_that_the_summary_names_is_told_once() {
    let CliError::Client(ClientError::Problem(mut refused)) = problem(ErrorKind::Unprocessable, 422) else {
        panic!("not a problem")
    };
    refused.detail = Some("stages[1].percentage: falls".to_owned());
    let report = CliError::Client(ClientError::Problem(refused)).report();
    assert_eq!(report, "error: refused: stages[1].percentage: falls");
}

#[test]
fn the_root_cause_is_told_once() {
    let source = std::io::Error::other("disk on fire");
    let report = CliError::File { path: PathBuf::from("a.bin"), source }.report();
    assert_eq!(report, "error: cannot use a.bin: disk on fire");
}
