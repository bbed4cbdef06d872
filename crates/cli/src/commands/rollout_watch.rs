//! `drover rollout watch`.

use std::time::Duration;

use clap::Args;
use drover_api::Rollout;
use drover_types::{Clock as _, ErrorKind, RolloutId, RolloutState, StageState, SystemClock};
use tokio::time::Instant;

use super::rollout::{STAGE_HEADER, stage_rows};
use crate::CliError;
use crate::client::{Client, ClientError};
use crate::output::{Output, table_text, time};
use crate::parse::HumanDuration;
use crate::resolve;
use crate::run::Context;

/// A server that restarts is back by then.
const MAX_SILENCE: Duration = Duration::from_mins(1);

/// Which rollout, and for how long.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Id or name
    rollout: String,
    /// How often to ask
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = interval)]
    interval: HumanDuration,
    /// Give up after this long, with exit code 8
    #[arg(long, value_name = "DURATION")]
    timeout: Option<HumanDuration>,
}

/// 100 ms to an hour.
fn interval(text: &str) -> Result<HumanDuration, String> {
    let interval: HumanDuration = text.parse().map_err(|error: crate::parse::Unreadable| error.to_string())?;
    let is_fit = (100..=3_600_000).contains(&interval.as_ms());
    if is_fit { Ok(interval) } else { Err("expected 100ms to 1h".to_owned()) }
}

pub(crate) async fn run(args: WatchArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::rollout(&context.client, &args.rollout).await?;
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout.as_duration()));
    let mut screen = Screen::default();
    loop {
        let rollout = fetch(&context.client, id).await?;
        screen.show(&rollout, &mut context.out)?;
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if rollout.status == RolloutState::Completed {
            return Ok(());
        }
        // A gate asks for a person: whoever waits for the end would wait for ever.
        let is_stopped = rollout.status == RolloutState::Paused
            && rollout.stages.iter().any(|stage| stage.status == StageState::Failed);
        if rollout.status.is_final() || is_stopped || is_late {
            return Err(CliError::NotCompleted { name: rollout.name, status: rollout.status, reason: rollout.reason });
        }
        tokio::time::sleep(args.interval.as_duration()).await;
    }
}

/// A server that is away for a while does not end the watching.
async fn fetch(client: &Client, id: RolloutId) -> Result<Rollout, ClientError> {
    let started = Instant::now();
    loop {
        match client.rollout(id).await {
            Err(error) if is_passing(&error) && started.elapsed() < MAX_SILENCE => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            answer => return answer,
        }
    }
}

fn is_passing(error: &ClientError) -> bool {
    matches!(error.kind(), Some(ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited))
}

/// What was shown last.
#[derive(Default)]
struct Screen {
    shown: Option<Rollout>,
    height: usize,
}

impl Screen {
    /// A terminal is redrawn; elsewhere there is one line per change.
    fn show(&mut self, rollout: &Rollout, out: &mut Output<'_>) -> Result<(), CliError> {
        if self.shown.as_ref() == Some(rollout) {
            return Ok(());
        }
        if out.json {
            out.json_line(rollout)?;
        } else if out.terminal.output {
            self.redraw(rollout, out)?;
        } else {
            out.say(&line(rollout))?;
            out.writer.flush()?;
        }
        self.shown = Some(rollout.clone());
        Ok(())
    }

    fn redraw(&mut self, rollout: &Rollout, out: &mut Output<'_>) -> Result<(), CliError> {
        if self.height > 0 {
            // Up to the first line of the picture before, and clear from there.
            write!(out.writer, "\u{1b}[{}A\u{1b}[J", self.height)?;
        }
        let text = format!("{}\n\n{}", headline(rollout), table_text(&STAGE_HEADER, stage_rows(rollout)));
        self.height = text.lines().count();
        writeln!(out.writer, "{text}")?;
        Ok(out.writer.flush()?)
    }
}

fn headline(rollout: &Rollout) -> String {
    let reason = rollout.reason.as_deref().and_then(|reason| reason.lines().next());
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let text = format!("{}: {} {}{reason}", rollout.name, rollout.kind, rollout.status);
    // A line that wraps would spoil the redrawing.
    text.chars().filter(|c| !c.is_control()).take(79).collect()
}

fn line(rollout: &Rollout) -> String {
    let is_current = |state| !matches!(state, StageState::Passed);
    let current = rollout.stages.iter().position(|stage| is_current(stage.status));
    let stage = match current.and_then(|index| rollout.stages.get(index).map(|stage| (index, stage))) {
        Some((index, stage)) => format!("stage {}/{} {}", index + 1, rollout.stages.len(), stage.status),
        None => format!("all {} stages passed", rollout.stages.len()),
    };
    let counts = &rollout.counts;
    let reason = rollout.reason.as_deref().map(|reason| format!("  {reason}")).unwrap_or_default();
    format!(
        "{}  {}  {stage}  pending {} at work {} done {} failed {}{reason}",
        time(Some(SystemClock.now())),
        rollout.status,
        counts.pending,
        counts.in_flight,
        counts.succeeded,
        counts.failed,
    )
}
