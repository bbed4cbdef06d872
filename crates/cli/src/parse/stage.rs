//! Stages such as `20`, `50:soak=10m`, `100:start=2026-01-31T12:00:00Z,name=all` and
//! `name=eu,where=device.attr.region == "eu"`.

use drover_api::StageCreate;
use drover_types::Timestamp;

use super::{HumanDuration, Unreadable};

const EXPECTED: &str = "a stage such as 20, 50:soak=10m, 100:soak=1h,start=2026-01-31T12:00:00Z,name=all or \
                        soak=1h,where=\"canary\" in device.tags";

/// One stage of a rollout: its cumulative share in percent, 1 to 100, or the condition of its devices, and what goes
/// with it.
#[derive(Debug, Clone)]
pub(crate) struct StageArg(pub(crate) StageCreate);

impl std::str::FromStr for StageArg {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).ok_or_else(|| Unreadable::new(EXPECTED, text))
    }
}

fn parse(text: &str) -> Option<StageCreate> {
    // A condition may have any sign in it: it is the last option, and the rest of the text.
    let (rest, condition) = match text.split_once("where=") {
        Some((before, condition)) if before.is_empty() || before.ends_with([',', ':']) => (before, Some(condition)),
        _ => (text, None),
    };
    let (percentage, options) = if condition.is_some() {
        (None, rest)
    } else {
        let (share, options) = rest.split_once(':').unwrap_or((rest, ""));
        let percentage: u8 = share.strip_suffix('%').unwrap_or(share).parse().ok()?;
        if !(1..=100).contains(&percentage) {
            return None;
        }
        (Some(percentage), options)
    };
    let mut stage = StageCreate { percentage, condition: condition.map(str::to_owned), ..StageCreate::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=')? {
            ("soak", soak) => stage.soak_ms = soak.parse::<HumanDuration>().ok()?.as_ms(),
            ("start", start) => stage.start_time = Some(start.parse::<Timestamp>().ok()?),
            ("name", name) => stage.name = Some(name.to_owned()),
            _ => return None,
        }
    }
    Some(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_and_what_goes_with_it() {
        let StageArg(bare) = "20%".parse().expect("a stage");
        assert_eq!((bare.percentage, bare.soak_ms, bare.start_time), (Some(20), 0, None));
        let StageArg(full) = "100:soak=1h,start=2026-01-31T12:00:00Z,name=all".parse().expect("a stage");
        assert_eq!((full.percentage, full.soak_ms, full.name.as_deref()), (Some(100), 3_600_000, Some("all")));
        assert_eq!(full.start_time.map(|time| time.to_string()).as_deref(), Some("2026-01-31T12:00:00Z"));
        let StageArg(some) =
            "name=eu,soak=1h,where=device.attr.a in [1, 2] && device.attr.b == \"x,where=\"".parse().expect("a stage");
        assert_eq!((some.percentage, some.soak_ms, some.name.as_deref()), (None, 3_600_000, Some("eu")));
        assert_eq!(some.condition.as_deref(), Some("device.attr.a in [1, 2] && device.attr.b == \"x,where=\""));
        assert!("20:where=true".parse::<StageArg>().is_err(), "a percentage or a condition");
        for bad in ["", "0", "101", "20:10m", "20:soak=10", "20:start=tomorrow", "20:foo=bar", "-1"] {
            assert!(bad.parse::<StageArg>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = text.parse::<StageArg>();
        }
    }
}
