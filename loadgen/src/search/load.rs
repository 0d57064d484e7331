//! A scenario at a load.

use crate::cli::Vary;
use crate::scenario::{Mix, Scenario};

/// Why a scenario has no load to vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaryError {
    /// A closed loop publishes as fast as it can.
    #[error("publishers.window makes a closed loop, which has no rate to search for: take it out")]
    ClosedLoop,
}

/// The scenario with this load: all phases at that rate, or so many subscribers, with as large a part of them slow,
/// stalled, churning and reconnecting.
///
/// # Errors
/// If the scenario has no such load.
pub fn scenario_at(scenario: &Scenario, vary: Vary, load: f64) -> Result<Scenario, VaryError> {
    let mut scenario = scenario.clone();
    if scenario.publishers.window.is_some() {
        return Err(VaryError::ClosedLoop);
    }
    match vary {
        Vary::Rate => {
            scenario.publishers.rate_per_second = load;
            scenario.phases.iter_mut().for_each(|phase| phase.rate_per_second = None);
        }
        Vary::Subscribers => {
            let part = load / f64::from(scenario.subscribers.count.max(1));
            let share = |count: u32| whole(f64::from(count) * part);
            let Mix { slow, stalled, churning, reconnecting, .. } = scenario.mix;
            scenario.subscribers.count = whole(load);
            scenario.mix = Mix {
                slow: share(slow),
                stalled: share(stalled),
                churning: share(churning),
                reconnecting: share(reconnecting),
                ..scenario.mix
            };
        }
    }
    Ok(scenario)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and nobody counts that far")]
const fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_rate_or_a_crowd() {
        let mut scenario: Scenario = toml::from_str(
            "[subscribers]\ncount = 100\n[mix]\nslow = 10\nstalled = 1\n\
             [[phase]]\nname = 'm'\nduration = '1s'\nrate_per_second = 5",
        )
        .unwrap();
        let at = scenario_at(&scenario, Vary::Rate, 300.0).unwrap();
        assert_eq!((at.publishers.rate_per_second, at.phases[0].rate_per_second), (300.0, None));
        let at = scenario_at(&scenario, Vary::Subscribers, 250.0).unwrap();
        assert_eq!((at.subscribers.count, at.mix.slow, at.mix.stalled), (250, 25, 2));
        scenario.publishers.window = Some(4);
        assert_eq!(scenario_at(&scenario, Vary::Rate, 1.0), Err(VaryError::ClosedLoop));
    }
}
