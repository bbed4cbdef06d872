//! `drover rollout preview`.

use drover_api::{PreviewShares, RolloutCreate, RolloutPreview};

use super::rollout_args::PreviewArgs;
use crate::CliError;
use crate::output::optional;
use crate::run::Context;

pub(super) async fn run(args: PreviewArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let (excluded, reason, at_most) = (args.excluded, args.reason, args.list.at_most());
    let body = args.body.into_body(&context.client).await?;
    if excluded {
        let page = context.client.preview_excluded(&body, reason, at_most).await?;
        return context.out.list(&page, &["HARDWARE ID", "TYPE", "VERSION", "REASON", "DETAIL", "ID"], |device| {
            let (version, reason) = (optional(device.version.as_ref()), device.reason.to_string());
            let (hardware_id, device_type) = (device.hardware_id.clone(), device.device_type.clone());
            vec![hardware_id, device_type, version, reason, device.detail.clone(), device.device_id.to_string()]
        });
    }
    let preview = context.client.preview_rollout(&body).await?;
    if context.out.json {
        return context.out.json(&preview);
    }
    print(&preview, context)
}

/// Says in a few lines what a rollout that is about to be created will do; nothing with `--json`.
pub(super) async fn tell(body: &RolloutCreate, context: &mut Context<'_>) -> Result<(), CliError> {
    if context.out.json {
        return Ok(());
    }
    let preview = context.client.preview_rollout(body).await?;
    context.out.say(&summary(&preview))?;
    print_excluded(&preview, context)?;
    context.out.say("")
}

fn print(preview: &RolloutPreview, context: &mut Context<'_>) -> Result<(), CliError> {
    context.out.say(&summary(preview))?;
    context.out.say("")?;
    let stages = preview.stages.iter().map(|stage| vec![stage.name.clone(), stage.devices.to_string()]);
    context.out.table(&["STAGE", "DEVICES"], stages)?;
    context.out.say("")?;
    print_shares("RUNS NOW", &preview.by_version, context)?;
    context.out.say("")?;
    print_shares("TYPE", &preview.by_type, context)?;
    context.out.say("")?;
    print_excluded(preview, context)
}

fn summary(preview: &RolloutPreview) -> String {
    let devices = preview.devices;
    let busy = if preview.busy == 0 { String::new() } else { format!("; {} wait for another rollout", preview.busy) };
    let left_out: u64 = preview.excluded.iter().map(|exclusion| exclusion.devices).sum();
    format!("it takes {devices} of {} devices{busy}", devices + left_out)
}

fn print_shares(what: &'static str, shares: &PreviewShares, context: &mut Context<'_>) -> Result<(), CliError> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for share in &shares.items {
        rows.push(vec![optional(share.name.as_ref()), share.devices.to_string(), share.taken.to_string()]);
    }
    if shares.other_devices > 0 {
        rows.push(vec!["others".to_owned(), shares.other_devices.to_string(), shares.other_taken.to_string()]);
    }
    context.out.table(&[what, "DEVICES", "TAKEN"], rows.into_iter())
}

fn print_excluded(preview: &RolloutPreview, context: &mut Context<'_>) -> Result<(), CliError> {
    if preview.excluded.is_empty() {
        return context.out.say("nobody is left out");
    }
    let rows = preview.excluded.iter().map(|exclusion| {
        let example = exclusion.sample.first().map(|device| format!("{}: {}", device.hardware_id, device.detail));
        vec![exclusion.reason.to_string(), exclusion.devices.to_string(), optional(example.as_ref())]
    });
    context.out.table(&["LEFT OUT", "DEVICES", "FOR EXAMPLE"], rows)
}
