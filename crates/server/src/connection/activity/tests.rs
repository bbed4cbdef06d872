use axum::body::Body;
use axum::http::Response;

use super::*;

const PATIENCE: Patience =
    Patience { head: Duration::from_secs(10), keep_alive: Duration::from_secs(75), stalled: Duration::from_mins(1) };

fn after(activity: &Activity, seconds: u64) -> Option<Overdue> {
    activity.state().overdue(PATIENCE, Instant::now() + Duration::from_secs(seconds))
}

#[tokio::test]
async fn the_first_request_must_come_soon() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    assert_eq!(after(&activity, 9), None);
    assert_eq!(after(&activity, 10), Some(Overdue::Idle));
}

#[tokio::test]
async fn a_kept_connection_waits_longer_but_not_for_half_a_head() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    activity.read();
    drop(activity.begin(Version::HTTP_11).answered(Response::new(Body::empty())));
    assert_eq!(after(&activity, 74), None);
    assert_eq!(after(&activity, 75), Some(Overdue::Idle));
    activity.read();
    assert_eq!(after(&activity, 10), Some(Overdue::Idle));
}

#[tokio::test]
async fn a_handler_may_work_and_an_answer_must_move() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    let working = activity.begin(Version::HTTP_11);
    assert_eq!(after(&activity, 3_600), None);
    let answer = working.answered(Response::new(Body::empty()));
    assert_eq!(after(&activity, 59), None);
    assert_eq!(after(&activity, 60), Some(Overdue::Stalled));
    activity.read();
    assert_eq!(after(&activity, 10), None, "bytes of the next request do not hurry the answer");
    drop(answer);
    assert_eq!(after(&activity, 59), None);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    drop(activity.begin(Version::HTTP_11));
    let state = activity.state();
    assert_eq!((state.handling, state.sending), (0, 0));
}

/// Acknowledged settings, opened windows and pings come when the answer is long there.
#[tokio::test]
async fn bytes_that_are_no_request_do_not_hurry_http_2() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    activity.read();
    assert_eq!(after(&activity, 10), Some(Overdue::Idle), "before the first request they are of its head");
    drop(activity.begin(Version::HTTP_2).answered(Response::new(Body::empty())));
    activity.read();
    assert_eq!(after(&activity, 74), None);
    assert_eq!(after(&activity, 75), Some(Overdue::Idle));
}

#[tokio::test]
async fn an_answer_is_under_way_until_it_is_read() {
    let activity = Arc::new(Activity::new(PATIENCE, Arc::default()));
    drop(activity.begin(Version::HTTP_11).answered(Response::new(Body::empty())));
    activity.waits_for_reader(true);
    assert!(matches!(activity.doing(), Doing::Working(_)));
    assert_eq!(after(&activity, 59), None);
    assert_eq!(after(&activity, 60), Some(Overdue::Stalled));
    activity.waits_for_reader(false);
    assert!(matches!(activity.doing(), Doing::Resting(_)));
    assert_eq!(after(&activity, 74), None);
}
