//! `drover rollout metrics`.

use drover_api::RolloutMetrics;

use super::rollout::count_cells;
use crate::CliError;
use crate::resolve;
use crate::run::Context;

const HEADER: [&str; 6] = ["STAGE", "STATUS", "PENDING", "AT WORK", "DONE", "FAILED"];

pub(super) async fn run(rollout: &str, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::rollout(&context.client, rollout).await?;
    let metrics = context.client.rollout_metrics(id).await?;
    context.out.value(&metrics, || lines(&metrics))?;
    if context.out.json {
        return Ok(());
    }
    context.out.say("")?;
    let row = |stage: &drover_api::StageMetrics| {
        [&[stage.name.clone(), stage.status.to_string()][..], &count_cells(&stage.counts)].concat()
    };
    context.out.table(&HEADER, metrics.stages.iter().map(row))
}

fn lines(metrics: &RolloutMetrics) -> Vec<(&'static str, String)> {
    let counts = &metrics.counts;
    let rate = metrics.success_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let mut lines = vec![
        ("status", metrics.status.to_string()),
        ("success rate", rate),
        ("pending", counts.pending.to_string()),
        ("at work", counts.in_flight.to_string()),
        ("done", counts.succeeded.to_string()),
        ("failed", counts.failed.to_string()),
        ("called off", counts.cancelled.to_string()),
        ("nothing to do", counts.skipped.to_string()),
    ];
    lines.extend(metrics.failures_by_class.iter().map(|(class, devices)| ("failed by", format!("{class}: {devices}"))));
    lines
}
