use super::*;

const TABLE: &[(&str, &[&str])] =
    &[("types", &[]), ("wire", &[]), ("core", &["wire"]), ("shell", &["core"]), ("testkit", &[ALL])];

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn edge(from: &str, to: &str, kind: EdgeKind) -> Edge {
    Edge { from: from.to_owned(), to: to.to_owned(), kind }
}

fn check(edges: &[Edge]) -> Vec<String> {
    check_edges(TABLE, &names(&["types", "wire", "core", "shell", "testkit"]), edges)
}

/// The made-up workspace when nothing is wrong.
fn good() -> Vec<Edge> {
    vec![
        edge("wire", "types", EdgeKind::Normal),
        edge("core", "wire", EdgeKind::Normal),
        edge("shell", "core", EdgeKind::Normal),
        edge("shell", "types", EdgeKind::Normal),
        edge("testkit", "shell", EdgeKind::Normal),
        edge("testkit", "wire", EdgeKind::Normal),
    ]
}

#[test]
fn a_workspace_as_in_the_table_passes() {
    assert_eq!(check(&good()), Vec::<String>::new());
}

#[test]
fn an_arrow_that_skips_a_row_is_refused() {
    let mut edges = good();
    edges.push(edge("shell", "wire", EdgeKind::Normal));
    let violations = check(&edges);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with("shell → wire: "), "{violations:?}");
}

#[test]
fn an_arrow_downwards_is_refused() {
    let mut edges = good();
    edges.push(edge("wire", "core", EdgeKind::Normal));
    assert!(check(&edges).iter().any(|line| line.starts_with("wire → core: ")));
}

#[test]
fn nothing_but_a_test_uses_the_testkit() {
    let violations = check(&[edge("shell", "testkit", EdgeKind::Normal)]);
    assert_eq!(violations.len(), 1, "{violations:?}");
}

#[test]
fn a_crate_without_a_row_is_refused() {
    let violations = check_edges(TABLE, &names(&["wire", "surprise"]), &[edge("surprise", "wire", EdgeKind::Normal)]);
    assert!(violations[0].starts_with("surprise: the table of crates has no row"), "{violations:?}");
    assert!(violations[1].starts_with("surprise → wire"), "{violations:?}");
}

#[test]
fn a_dev_dependency_may_point_anywhere_that_closes_no_circle() {
    let mut edges = good();
    edges.push(edge("shell", "wire", EdgeKind::Dev));
    edges.push(edge("core", "core", EdgeKind::Dev));
    assert_eq!(check(&edges), Vec::<String>::new());
}

#[test]
fn a_dev_dependency_that_closes_a_circle_is_refused_unless_it_is_the_testkit() {
    let mut edges = good();
    edges.push(edge("wire", "testkit", EdgeKind::Dev));
    assert_eq!(check(&edges), Vec::<String>::new());
    edges.push(edge("wire", "shell", EdgeKind::Dev));
    let violations = check(&edges);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with("wire → shell (dev-dependency): "), "{violations:?}");
}

#[test]
fn a_pure_crate_refuses_run_time_database_and_web_server_at_any_depth() {
    let packages = names(&["serde", "tokio", "tokio-util", "sqlx-core", "axum", "axum", "tokiodb"]);
    let violations = check_pure("types", &packages);
    assert_eq!(violations.len(), 4, "{violations:?}");
    assert!(check_pure("types", &names(&["serde", "uuid"])).is_empty());
}

/// What makes the table free of circles: each row uses only rows above it.
#[test]
fn every_arrow_of_the_real_table_points_upwards() {
    for (index, (name, uses)) in ALLOWED.iter().enumerate() {
        for used in uses.iter().filter(|used| **used != ALL) {
            assert!(ALLOWED[..index].iter().any(|(above, _)| above == used), "{name} → {used} points downwards");
        }
    }
    for pure in PURE {
        assert!(ALLOWED.iter().any(|(row, _)| row == pure), "{pure} has no row");
    }
}
