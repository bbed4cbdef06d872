//! The benchmark of update checks with few devices: it works, and its figures are of what it says.

use std::time::Duration;

use drover_testkit::bench::{ChecksOptions, Database, Measured, bench_checks};

pub(crate) async fn checks() {
    let options = ChecksOptions {
        drover: env!("CARGO_BIN_EXE_drover").into(),
        database: Database::Sqlite,
        devices: 2_000,
        time: Duration::from_secs(1),
        connections: 4,
    };
    let mut rows: Vec<Measured> = Vec::new();
    bench_checks(&options, |row| rows.push(row.clone())).await;
    let [started, nothing, offers, opening, open] = &rows[..] else { panic!("five scenarios: {rows:?}") };
    for row in &rows {
        assert!(row.failures == 0 && row.checks > 0 && row.checks_per_cpu_s() > 0.0, "{row:?}");
        assert!(row.p50_ms > 0.0 && row.p50_ms <= row.p99_ms && row.usage.resident_kib > 0, "{row:?}");
    }
    assert_eq!((started.offers, nothing.offers), (0, 0));
    assert!(offers.offers > 0 && offers.offers <= offers.checks / 50, "{offers:?}");
    assert!(opening.scenario.contains("stage of 400 devices"), "{opening:?}");
    assert!(open.offers <= open.checks / 100, "one device at a time: {open:?}");
}
