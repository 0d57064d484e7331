//! What is looked at beside the run: the server's process and metrics, and the machine.

use std::time::Duration;

use super::merge::GeneratorPart;
use super::{Beside, RunError};
use crate::cli::{Setup, Workers};
use crate::drive::Edge;
use crate::machine::load::{MachineLoad, MachineTimes};
use crate::machine::process::{Follow, Sample, Sampler};
use crate::machine::{Kernel, tcp};
use crate::metrics_page::{Page, announced_drops, fetch};
use crate::outcome::{GeneratorUse, ServerUse};

/// How long the server's metrics may take.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);
/// Others that use more than this, in cores, disturb a run.
const OTHERS_WORTH_A_WARNING: f64 = 0.2;
/// Steal above this disturbs a run.
const STEAL_WORTH_A_WARNING: f64 = 0.05;

/// See the module.
pub(super) struct Watch {
    kernel: Kernel,
    sampler: Option<Sampler>,
    neighbour: Option<Neighbour>,
    metrics_url: Option<String>,
    page_before: Option<Page>,
    usage: ServerUse,
    measured_since: Option<Sample>,
    last: Option<Sample>,
    machine: Option<MachineTimes>,
    machine_load: Option<MachineLoad>,
    busiest: Vec<String>,
    watched_before: f64,
    own: Option<Sampler>,
    /// The server's CPU seconds at the beginning of the measured phase, where its page tells them.
    page_cpu_since: Option<f64>,
    gone: bool,
    announced: Option<u64>,
    restarted: bool,
    warnings: Vec<String>,
}

/// The run at the same time.
struct Neighbour {
    server: Option<Sampler>,
    generators_share_a_core: bool,
}

impl Watch {
    /// Before the first connection.
    pub(super) fn begin(setup: &Setup, beside: Option<&Beside>, kernel: Kernel) -> Result<Self, RunError> {
        let watched = |pid| Sampler::new(kernel.clone(), &[pid], Follow::Tree);
        let neighbour = beside.map(|beside| Neighbour {
            // If it has ended, its own run will say so.
            server: watched(beside.other_server_pid()).ok(),
            generators_share_a_core: setup.pin.is_some(),
        });
        let sampler = setup.server_pid.map(watched).transpose()?;
        let page_before = setup.server_metrics.as_deref().map(|url| fetch(url, METRICS_TIMEOUT)).transpose()?;
        // Workers that are processes are children of this one; without them only a server may be that (`compare`).
        let follow = if setup.workers == Workers::Here(1) { Follow::ProcessOnly } else { Follow::Tree };
        let mut usage = ServerUse::default();
        if let Some(sampler) = &sampler {
            usage.memory_before_bytes = sampler.memory()?.bytes;
        } else if let Some(bytes) = page_before.as_ref().and_then(Page::resident_bytes) {
            usage.memory_before_bytes = whole(bytes);
        }
        let mut watch = Self {
            sampler,
            neighbour,
            metrics_url: setup.server_metrics.clone(),
            page_before,
            usage,
            measured_since: None,
            last: None,
            machine: None,
            machine_load: None,
            busiest: Vec::new(),
            watched_before: 0.0,
            own: Sampler::new(kernel.clone(), &[std::process::id()], follow).ok(),
            page_cpu_since: None,
            gone: false,
            announced: None,
            restarted: false,
            warnings: Vec::new(),
            kernel,
        };
        watch.usage.tcp_before_bytes = watch.tcp_bytes();
        Ok(watch)
    }

    /// Whether there is a server to look at.
    const fn looks(&self) -> bool {
        self.sampler.is_some() || self.page_before.is_some()
    }

    /// Whether the server's process has ended.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// TCP memory of the whole machine; 0, which is not measured, if it is the neighbour's as well.
    fn tcp_bytes(&self) -> u64 {
        if self.neighbour.is_some() { 0 } else { tcp::memory_bytes(&self.kernel).unwrap_or(0) }
    }

    fn memory(&mut self) -> Option<u64> {
        if let Some(sampler) = &self.sampler {
            return sampler.memory().ok().map(|memory| memory.bytes);
        }
        let url = self.metrics_url.as_deref()?;
        fetch(url, METRICS_TIMEOUT).ok()?.resident_bytes().map(whole)
    }

    fn sample(&mut self) -> Option<Sample> {
        let sampled = self.sampler.as_mut()?.sample();
        self.gone |= sampled.is_err();
        sampled.ok()
    }

    /// All are connected and nothing has been published.
    pub(super) fn idle(&mut self, connected: u64) {
        if !self.looks() {
            return;
        }
        self.usage.memory_idle_bytes = self.memory().unwrap_or(0);
        self.usage.tcp_idle_bytes = self.tcp_bytes();
        self.usage.memory_per_connection_bytes =
            share(rise(self.usage.memory_before_bytes, self.usage.memory_idle_bytes), connected);
    }

    /// A measured phase begins or ends.
    pub(super) fn edge(&mut self, edge: Edge) {
        if let Some(now) = self.sample() {
            if let Some(since) = self.measured_since.take() {
                self.usage.cpu_seconds += now.since(&since).cpu_seconds;
            }
            self.measured_since = (edge == Edge::Begin).then_some(now);
        }
        if self.sampler.is_none()
            && let Some(url) = self.metrics_url.as_deref()
            && let Some(cpu) = fetch(url, METRICS_TIMEOUT).ok().and_then(|page| page.cpu_seconds())
        {
            if let Some(since) = self.page_cpu_since.take() {
                self.usage.cpu_seconds += cpu - since;
            }
            self.page_cpu_since = (edge == Edge::Begin).then_some(cpu);
        }
        let neighbour = self.neighbour.as_ref().and_then(|neighbour| neighbour.server.as_ref());
        let samplers = [self.sampler.as_ref(), self.own.as_ref(), neighbour];
        let watched: Vec<u32> = samplers.into_iter().flatten().filter_map(|it| it.pids().ok()).flatten().collect();
        let cpu = self.watched_cpu();
        let now = MachineTimes::now(&self.kernel, &watched);
        match (&self.machine, now) {
            (None, now) => (self.machine, self.watched_before) = (now, cpu),
            (Some(before), Some(now)) => {
                self.machine_load = Some(now.since(before, cpu - self.watched_before));
                self.busiest = now.busiest_since(before, 3);
            }
            (Some(_), None) => {}
        }
    }

    fn watched_cpu(&mut self) -> f64 {
        let neighbour = self.neighbour.as_mut().and_then(|neighbour| neighbour.server.as_mut());
        let samplers = [self.sampler.as_mut(), self.own.as_mut(), neighbour];
        let samples = samplers.into_iter().flatten().filter_map(|sampler| sampler.sample().ok());
        samples.map(|sample| Duration::from_nanos(sample.cpu_ns).as_secs_f64()).sum()
    }

    /// The server's CPU since it was last asked, cores.
    pub(super) fn second(&mut self) -> Option<f64> {
        let now = self.sample()?;
        let used = self.last.as_ref().map(|last| now.since(last).cores());
        self.last = Some(now);
        used
    }

    /// The last phase is over.
    pub(super) fn end(&mut self, connected: u64) {
        if !self.looks() {
            return;
        }
        self.usage.memory_end_bytes = self.memory().unwrap_or(0);
        self.usage.tcp_end_bytes = self.tcp_bytes();
        self.usage.tcp_per_connection_bytes =
            share(rise(self.usage.tcp_before_bytes, self.usage.tcp_end_bytes), connected);
    }

    /// Everything has come that will. Reads the server's counters.
    pub(super) fn settled(&mut self) {
        let (Some(url), Some(before)) = (&self.metrics_url, &self.page_before) else { return };
        match fetch(url, METRICS_TIMEOUT) {
            Ok(after) => {
                self.restarted = after.restarted_since(before);
                self.usage.counters = after.rises_since(before);
                self.announced = after.announced_drops_since(before, &announced_drops());
            }
            Err(error) => self.warnings.push(format!("the server's metrics cannot be read any more: {error}")),
        }
    }

    /// Deliveries that the server says it did not make; none if nobody asked it.
    pub(super) const fn announced_drops(&self) -> Option<u64> {
        self.announced
    }

    /// What the server used for the deliveries (audited or not) that it made during the measured phases.
    pub(super) fn finish(&self, served: u64) -> Option<ServerUse> {
        let cpu_ns_per_delivery = if served == 0 { 0.0 } else { self.usage.cpu_seconds * 1e9 / real(served) };
        self.looks().then(|| ServerUse { cpu_ns_per_delivery, ..self.usage.clone() })
    }

    /// What the generator used in so many measured seconds, and who else was at work. Two runs at once are of one
    /// process, and do the same: half of it is this run's. If all their threads have one core, it is as busy as they
    /// are together.
    pub(super) fn generator(&self, part: &GeneratorPart, seconds: f64) -> GeneratorUse {
        let load = self.machine_load.unwrap_or_default();
        let (runs, core) = match &self.neighbour {
            None => (1.0, 0.0),
            Some(neighbour) if neighbour.generators_share_a_core && seconds > 0.0 => (2.0, part.cpu_seconds / seconds),
            Some(_) => (2.0, 0.0),
        };
        GeneratorUse {
            cpu_seconds: part.cpu_seconds / runs,
            busiest_thread: part.busiest_thread.max(core),
            cpu_ns_per_delivery: part.cpu_ns_per_delivery / runs,
            steal: load.steal,
            others: load.others_cores.max(0.0),
        }
    }

    /// What disturbed the run.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let load = self.machine_load.unwrap_or_default();
        if load.others_cores > OTHERS_WORTH_A_WARNING && self.looks() {
            let busiest = self.busiest.join("; ");
            warnings.push(format!("other processes used {:.2} cores: {busiest}", load.others_cores));
        }
        if load.steal > STEAL_WORTH_A_WARNING {
            warnings.push(format!("the hypervisor gave {:.0} % of the machine's time to others", load.steal * 100.0));
        }
        if self.restarted {
            warnings.push("the server's counters went back: it was started again during the run".to_owned());
        }
        warnings
    }
}

fn rise(before: u64, after: u64) -> f64 {
    real(after) - real(before)
}

fn share(bytes: f64, connections: u64) -> f64 {
    if connections == 0 { 0.0 } else { bytes / real(connections) }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 bytes are nine petabytes")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of memory, saturating")]
const fn whole(bytes: f64) -> u64 {
    bytes as u64
}
