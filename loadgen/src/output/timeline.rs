//! The seconds of a run on one axis with its phases.

use crate::outcome::Run;

/// Length of one of `Run::seconds`, seconds.
pub(crate) fn step_s(run: &Run) -> f64 {
    match run.seconds.as_slice() {
        [first, second, ..] if second.at_s > first.at_s => second.at_s - first.at_s,
        _ => 1.0,
    }
}

/// When publishing began, seconds from the run's beginning; to the second, as the seconds are all that is known of it.
pub(crate) fn published_from_s(run: &Run) -> f64 {
    run.seconds.iter().find(|second| second.phase != "ramp").map_or(0.0, |second| second.at_s)
}

/// A phase as the seconds have it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Band {
    pub(crate) name: String,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
}

/// The phases one after the other, ramp and tail included.
pub(crate) fn bands(run: &Run) -> Vec<Band> {
    let step = step_s(run);
    let mut bands: Vec<Band> = Vec::new();
    for second in &run.seconds {
        match bands.last_mut() {
            Some(band) if band.name == second.phase => band.to_s = second.at_s + step,
            _ => bands.push(Band { name: second.phase.clone(), from_s: second.at_s, to_s: second.at_s + step }),
        }
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture::Fabricated;

    #[test]
    fn bands_cover_the_run_without_gaps() {
        let run = Fabricated::default().run();
        let bands = bands(&run);
        let names: Vec<_> = bands.iter().map(|band| band.name.as_str()).collect();
        assert_eq!(names, ["ramp", "warm-up", "step 1", "step 2", "tail"]);
        assert!(bands.windows(2).all(|pair| (pair[0].to_s - pair[1].from_s).abs() < 1e-9));
        assert!((published_from_s(&run) - bands[1].from_s).abs() < 1e-9);
    }
}
