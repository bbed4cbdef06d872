//! What devices and people reach the server under.

use drover_types::Timestamp;

use super::finding::Finding;
use super::http::Probe;

const SKEW_TOLD_S: u64 = 5;

/// What answered.
pub(crate) type Facts = Result<Option<Timestamp>, String>;

/// Asks the address for what only drover says.
pub(crate) async fn look(url: &str, probe: &Probe) -> Facts {
    probe.is_drover(url).await?;
    let answer = probe.get(&format!("{}/readyz", url.trim_end_matches('/'))).await?;
    match answer.status {
        200 => Ok(answer.date),
        status => {
            Err(format!("it lives but is not ready ({status}): {}", answer.text.lines().next().unwrap_or_default()))
        }
    }
}

/// Says whether it leads to a server that works.
pub(crate) fn judge(name: &'static str, url: &str, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let date = match facts {
        Ok(date) => date,
        Err(error) => {
            let next = "check that the server runs, the name resolves, the proxy leads to it and the certificate fits; \
                        an authority of the server's own has to be named: --pin or --ca";
            return vec![Finding::fail(name, format!("{url}: {error}"), next)];
        }
    };
    let mut findings = vec![Finding::ok(name, format!("{url}: drover answers and is ready"))];
    if let Some(theirs) = date {
        let skew_s = theirs.since(now).max(now.since(*theirs)).as_secs();
        if skew_s > SKEW_TOLD_S {
            let seen = format!("its clock differs by {skew_s} s from this machine's");
            findings.push(Finding::warn(name, seen, "let NTP set both clocks: timedatectl set-ntp true"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn unreachable_or_with_another_time() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let worst = |facts: Facts| judge("public_url", "https://x", &facts, now).iter().map(|found| found.level).max();
        assert_eq!(worst(Ok(None)), Some(Level::Ok));
        assert_eq!(worst(Ok(Some(now))), Some(Level::Ok));
        assert_eq!(worst(Ok(Some(now.plus(Duration::from_secs(90))))), Some(Level::Warn));
        assert_eq!(worst(Err("it answers 502".to_owned())), Some(Level::Fail));
    }
}
