//! What will stand in a plan's way: limits of the machine, and what makes figures easily misread. Each with what helps.

use std::net::IpAddr;

use serde::Serialize;

use super::{Drivers, Place, Plan};
use crate::machine::limits::{Demand, Limits, Weight, Where, what_is_short};
use crate::scenario::{PublishVia, Scenario};

/// Posts per second that one publisher makes, one after the other, at a round trip of 1 ms.
const POSTS_PER_PUBLISHER: f64 = 1_000.0;

/// A limit that the plan hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// How much it matters.
    pub weight: Weight,
    /// What is needed and what there is.
    pub text: String,
    /// The command or flag that helps.
    pub remedy: String,
}

/// Whether the server is on this machine, as its URL says.
pub(super) fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Loopback targets get so many addresses by themselves: 127.0.0.x.
const LOOPBACK_ADDRESSES: u64 = 254;

/// What the scenario asks of the machines that drive it.
pub(super) fn demand(scenario: &Scenario, drivers: Drivers, deliveries_per_second: f64) -> Demand {
    let (mix, subscribers) = (&scenario.mix, &scenario.subscribers);
    let per_second = |count: u32, stay: f64| if stay > 0.0 { f64::from(count) / stay } else { 0.0 };
    let workers = drivers.workers.max(1);
    let at_once = u64::from(subscribers.connecting_max) * u64::from(workers);
    let is_here = is_loopback(&scenario.target.url);
    Demand {
        connections: u64::from(subscribers.count) + u64::from(scenario.publishers.count),
        workers,
        machines: if drivers.place == Place::OwnMachines { workers } else { 1 },
        source_addresses: match u64::try_from(subscribers.source_addresses.len()).unwrap_or(1) {
            0 if is_here => LOOPBACK_ADDRESSES,
            given => given.max(1),
        },
        connecting_at_once: match subscribers.connects_per_second {
            None => at_once.min(u64::from(subscribers.count)),
            Some(_) => 0,
        },
        renewed_per_second: per_second(mix.churning, mix.churn_stay.as_secs_f64())
            + per_second(mix.reconnecting, mix.reconnect_every.as_secs_f64()),
        deliveries_per_second,
        stalled: u64::from(mix.stalled) + u64::from(mix.slow),
        receive_buffer_bytes: mix.receive_buffer_bytes.map(u64::from),
        server: if is_here { Where::Here } else { Where::Elsewhere },
        server_open_files: None,
    }
}

/// Local ports that each source address given needs.
pub(super) fn ports_per_address(scenario: &Scenario, demand: &Demand) -> u64 {
    let addresses = u64::try_from(scenario.subscribers.source_addresses.len()).unwrap_or(1).max(1);
    demand.ports().div_ceil(addresses * u64::from(demand.machines))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is enough here")]
fn rounded_up(value: f64) -> u64 {
    value.ceil() as u64
}

/// Collects hits.
struct Hits(Vec<Hit>);

impl Hits {
    fn add(&mut self, weight: Weight, text: String, remedy: impl Into<String>) {
        self.0.push(Hit { weight, text, remedy: remedy.into() });
    }
}

pub(super) fn find(scenario: &Scenario, plan: &Plan, demand: &Demand, limits: &Limits) -> Vec<Hit> {
    let short = what_is_short(limits, demand).into_iter();
    let mut hits = Hits(short.map(|it| Hit { weight: it.weight, text: it.fact(), remedy: it.remedy }).collect());
    if demand.machines == 1 {
        cores(plan, limits, &mut hits);
    }
    publishing(scenario, plan, &mut hits);
    samples(plan, &mut hits);
    hits.0
}

fn cores(plan: &Plan, limits: &Limits, hits: &mut Hits) {
    let workers = usize::try_from(plan.workers).unwrap_or(usize::MAX);
    if is_loopback(&plan.url) && workers >= limits.cores {
        let text =
            format!("{} worker(s) and the server share {} core(s): each slows the other", plan.workers, limits.cores);
        hits.add(Weight::Disturbs, text, "fewer workers, or --workers-at on other machines");
    } else if workers > limits.cores {
        let text = format!("{} workers share {} core(s)", plan.workers, limits.cores);
        hits.add(Weight::Disturbs, text, "--workers-at on other machines");
    }
}

fn publishing(scenario: &Scenario, plan: &Plan, hits: &mut Hits) {
    if let Some(window) = scenario.publishers.window {
        let text = format!(
            "closed loop of {window}: a slow server is asked less, so its latencies look better than users would see"
        );
        hits.add(Weight::Disturbs, text, "take deliveries/s from this run, and latencies from one with --rate");
    }
    let per_publisher = plan.phases.iter().filter_map(|phase| phase.rates).map(|rates| rates.messages).reduce(f64::max);
    let per_publisher = per_publisher.map(|most| most / f64::from(plan.publishers.max(1)));
    if let Some(rate) =
        per_publisher.filter(|&rate| scenario.target.publish == PublishVia::Http && rate > POSTS_PER_PUBLISHER)
    {
        let text = format!("{rate:.0} posts/s per publisher, one after the other");
        let publishers = rounded_up(rate * f64::from(plan.publishers) / POSTS_PER_PUBLISHER);
        hits.add(Weight::Disturbs, text, format!("--publishers {publishers}"));
    }
}

fn samples(plan: &Plan, hits: &mut Hits) {
    // Ten deliveries above a percentile are the least that says something about it.
    match plan.deliveries_measured {
        Some(deliveries) if deliveries < 1_000.0 => {
            let text = format!("about {deliveries:.0} deliveries are measured: too few for a p99");
            hits.add(Weight::Disturbs, text, "a longer --duration, a higher --rate or more --subscribers");
        }
        _ => {}
    }
}
