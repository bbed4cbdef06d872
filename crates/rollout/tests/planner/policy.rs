//! Policies as JSON and their validation.

use drover_rollout::{MAX_SOAK_MS, MAX_STAGES, Policy, StagePolicy};
use drover_types::BreachAction;
use proptest::prelude::*;

use crate::any;

fn thirds() -> Policy {
    let stage = |percentage| StagePolicy::by_percentage(format!("{percentage} %"), percentage);
    let stages = vec![stage(20), stage(50), stage(100)];
    Policy { stages, ..Policy::for_rollback(None, 60_000) }
}

/// The field that validation blames after `change`.
fn blamed(change: impl FnOnce(&mut Policy)) -> Option<String> {
    let mut policy = thirds();
    change(&mut policy);
    policy.validate().err().map(|error| error.field)
}

#[test]
fn a_wrong_field_is_named() {
    assert_eq!(blamed(|_| {}), None);
    let cases: Vec<(&str, Option<String>)> = vec![
        ("stages", blamed(|p| p.stages.clear())),
        ("stages", blamed(|p| p.stages = vec![p.stages[0].clone(); MAX_STAGES + 1])),
        ("stages[1].name", blamed(|p| p.stages[1].name = " ".to_owned())),
        ("stages[1].name", blamed(|p| p.stages[1].name = "x".repeat(101))),
        ("stages[1].name", blamed(|p| p.stages[1].name = "a\nb".to_owned())),
        ("stages[0].percentage", blamed(|p| p.stages[0].percentage = Some(0))),
        ("stages[2].percentage", blamed(|p| p.stages[2].percentage = Some(101))),
        ("stages[1].percentage", blamed(|p| p.stages[1].percentage = Some(20))),
        ("stages[2].percentage", blamed(|p| p.stages[2].percentage = Some(99))),
        ("stages[0].percentage", blamed(|p| p.stages[0].percentage = None)),
        ("stages[0].percentage", blamed(|p| p.stages[0].condition = Some("true".to_owned()))),
        ("stages[2].percentage", blamed(|p| by_condition(&mut p.stages[2]))),
        ("stages[2].soak_ms", blamed(|p| p.stages[2].soak_ms = MAX_SOAK_MS + 1)),
        ("success_threshold", blamed(|p| p.success_threshold = 1.01)),
        ("success_threshold", blamed(|p| p.success_threshold = f64::NAN)),
        ("rollback_threshold", blamed(|p| p.rollback_threshold = 0.0)),
        ("rollback_threshold", blamed(|p| p.rollback_threshold = f64::NAN)),
        ("min_sample", blamed(|p| p.min_sample = 0)),
        ("max_in_flight", blamed(|p| p.max_in_flight = Some(0))),
        ("session_timeout_ms", blamed(|p| p.session_timeout_ms = 999)),
        ("session_timeout_ms", blamed(|p| p.session_timeout_ms = 2_592_000_001)),
    ];
    for (expected, found) in cases {
        assert_eq!(found.as_deref(), Some(expected));
    }
}

fn by_condition(stage: &mut StagePolicy) {
    *stage = StagePolicy { percentage: None, condition: Some("true".to_owned()), ..stage.clone() };
}

#[test]
fn a_stage_by_condition_does_not_count_among_the_percentages() {
    let mut policy = thirds();
    by_condition(&mut policy.stages[0]);
    assert_eq!(policy.validate(), Ok(()));
    by_condition(&mut policy.stages[1]);
    assert_eq!(policy.validate(), Ok(()));
}

#[test]
fn an_error_says_what_to_change() {
    let mut policy = thirds();
    policy.stages[2].percentage = Some(80);
    let error = policy.validate().unwrap_err().to_string();
    assert_eq!(error, "stages[2].percentage: expected 100 for the last stage, found 80; add a stage or raise this one");
}

#[test]
fn what_is_left_out_takes_the_documented_defaults() {
    let policy: Policy = serde_json::from_str(r#"{"stages":[{"name":"all","percentage":100}]}"#).unwrap();
    policy.validate().unwrap();
    assert_eq!(policy.on_breach, BreachAction::Pause);
    assert_eq!((policy.min_sample, policy.max_in_flight, policy.session_timeout_ms), (10, None, 86_400_000));
    assert_eq!((policy.stages[0].start_time, policy.stages[0].soak_ms), (None, 0));
    assert_eq!(serde_json::json!([policy.success_threshold, policy.rollback_threshold]).to_string(), "[0.95,0.2]");
}

#[test]
fn unknown_fields_are_refused() {
    let rollout = r#"{"stages":[{"name":"all","percentage":100}],"speed":1}"#;
    let stage = r#"{"stages":[{"name":"all","percentage":100,"count":4}]}"#;
    for text in [rollout, stage] {
        let error = serde_json::from_str::<Policy>(text).unwrap_err().to_string();
        assert!(error.starts_with("unknown field"), "{error}");
    }
}

proptest! {
    #[test]
    fn a_valid_policy_survives_json(policy in any::policy()) {
        prop_assert_eq!(policy.validate(), Ok(()));
        let text = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
}
