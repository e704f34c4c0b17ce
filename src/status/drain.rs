//! `cmd=drain`: a member gets no new sessions, and is stopped at a time or when nothing is left.
//!
//! Not here: the end, which comes without a status worker (`worker::lb`). The surprising thing: "empty" needs a pause. Between two clicks
//! of a user nothing runs either, so a member counts as empty when no request came for `quiet`.

use super::Scene;
use super::command::{Parameters, Target};
use crate::balancer::Activation;
use crate::worker::say;

/// `quiet` when it is not given, seconds.
const QUIET_S: u64 = 300;
/// Longest time that is accepted: 30 days.
const MOST_S: u64 = 30 * 86_400;

/// Begins to drain the target.
///
/// # Errors
/// The message for the client; nothing is changed then.
pub(super) fn drain(
    status: &str,
    scene: &Scene<'_>,
    target: &Target<'_>,
    parameters: &Parameters,
) -> Result<(), String> {
    let Target::Lb { lb, config, members: Some(members) } = target else {
        return Err("Drain failed: it needs a member of a load balancer (w and sw); nothing was changed".to_owned());
    };
    let until_s = duration(parameters, "until", 1)?.map(|seconds| scene.now_s.saturating_add(seconds));
    let quiet_s = duration(parameters, "quiet", 0)?.unwrap_or(QUIET_S);
    let index = members.first().copied().unwrap_or_default();
    let place = scene
        .shared
        .region
        .plan()
        .members_of(*lb)
        .nth(index)
        .and_then(|at| Some((at, scene.shared.region.member(at)?)));
    let (Some((at, slot)), Some(member)) = (place, config.members.get(index)) else {
        return Err("Drain failed".to_owned());
    };
    let (lb, name) = (&config.name, scene.ajp_name(member.ajp));
    let failed = |error| {
        say!(
            scene.log,
            Error,
            "Status worker '{status}' could not drain sub worker '{name}' of lb worker '{lb}': {error}"
        );
        "Drain failed".to_owned()
    };
    let writer = scene.shared.region.lock().map_err(failed)?;
    let before = slot.activation();
    if before == Activation::Stopped {
        return Err(format!("Drain failed: sub worker '{name}' is stopped already; nothing was changed"));
    }
    writer.drain_member(at, scene.now_s, until_s, quiet_s).map_err(failed)?;
    drop(writer);
    if before != Activation::Disabled {
        let old = before.text();
        say!(
            scene.log,
            Info,
            "Status worker '{status}' changing 'activation' for sub worker '{name}' of lb worker '{lb}' from '{old}' to 'DIS'"
        );
    }
    let limit = until_s
        .map_or_else(String::new, |until_s| format!("in {} s at the latest, or ", until_s.saturating_sub(scene.now_s)));
    say!(
        scene.log,
        Info,
        "Status worker '{status}' drains sub worker '{name}' of lb worker '{lb}': it is stopped {limit}when no request came for {quiet_s} s"
    );
    Ok(())
}

/// A time such as `90s`, `30m`, `2h` or `1d`, in seconds.
fn duration(parameters: &Parameters, name: &str, least: u64) -> Result<Option<u64>, String> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let seconds = seconds(text.trim()).filter(|seconds| (least..=MOST_S).contains(seconds));
    if seconds.is_none() {
        let shown: String = text.chars().take(80).collect();
        return Err(format!(
            "Drain failed: {name} must be a time from {least}s to 30d, such as 90s, 30m or 2h, found '{shown}'; nothing was changed"
        ));
    }
    Ok(seconds)
}

fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "m",
            "30",
            "30M",
            "-1m",
            "+1m",
            "1.5h",
            "1 m",
            "1m30s",
            "99999999999999999999d",
            "9999999999999999999d",
            "3\u{e4}",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
