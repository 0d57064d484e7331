//! The run in time: ramp, settle, phases, what is still under way, accounts.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::Conduct;
use super::crew::Crew;
use super::show::Show;
use super::watch::Watch;
use crate::clock::Nanos;
use crate::drive::{Command, Edge, Part, Report, Sent, Tick, measured_edges};
use crate::outcome::Second;
use crate::scenario::Scenario;
use crate::schedule::Span;

/// Between the last connection and the look at the idle server's memory, and between that and the first message.
const SETTLE: Duration = Duration::from_millis(250);

/// How long workers may take for their accounts.
const ACCOUNTS_TIME_MAX: Duration = Duration::from_secs(30);

const SECOND: Duration = Duration::from_secs(1);

/// What happened.
pub(super) struct Course {
    pub(super) workers: u32,
    pub(super) began: Nanos,
    pub(super) first_due: Option<Nanos>,
    /// When publishing ended.
    pub(super) published_until: Option<Nanos>,
    pub(super) ticks: BTreeMap<u64, Tick>,
    /// The server's CPU by second, cores.
    pub(super) server_cpu: BTreeMap<u64, f64>,
    pub(super) parts: BTreeMap<u32, Part>,
    /// Members now, by worker.
    members: BTreeMap<u32, u64>,
    sent: Vec<Sent>,
    /// By publisher: above the highest sequence that anybody got.
    heard: Vec<u64>,
    /// Members when the ramp was over, and attempts that had failed by then.
    pub(super) connected: u64,
    pub(super) publishers: u32,
    pub(super) interrupted: bool,
    pub(super) server_is_gone: bool,
    pub(super) announced_drops: Option<u64>,
    /// Why the figures say nothing, as far as it was seen on the way.
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Conducts the crew through the run.
pub(super) fn conduct(
    scenario: &Scenario,
    (spans, began): (&[Span], Nanos),
    crew: Crew,
    watch: &mut Watch,
    conduct: &Conduct,
) -> Course {
    let course = Course {
        workers: crew.workers(),
        began,
        first_due: None,
        published_until: None,
        ticks: BTreeMap::new(),
        server_cpu: BTreeMap::new(),
        parts: BTreeMap::new(),
        members: BTreeMap::new(),
        sent: vec![Sent::default(); scenario.publishers.count as usize],
        heard: vec![0; scenario.publishers.count as usize],
        connected: 0,
        publishers: 0,
        interrupted: false,
        server_is_gone: false,
        announced_drops: None,
        problems: Vec::new(),
        warnings: crew.warnings.clone(),
    };
    let show = Show::new(scenario, spans, conduct.live.clone());
    let mut conductor = Conductor {
        scenario,
        spans,
        crew,
        watch,
        conduct,
        course,
        show,
        ramped: 0,
        finished: 0,
        tallied: 0,
        failed: false,
    };
    conductor.run();
    let Conductor { crew, course, .. } = conductor;
    crew.finish();
    course
}

struct Conductor<'a> {
    scenario: &'a Scenario,
    spans: &'a [Span],
    crew: Crew,
    watch: &'a mut Watch,
    conduct: &'a Conduct,
    course: Course,
    show: Show,
    /// Workers whose ramp is over.
    ramped: u32,
    /// Workers whose schedule is over.
    finished: u32,
    /// Workers that have said what was sent and heard.
    tallied: u32,
    /// A worker cannot go on.
    failed: bool,
}

impl Conductor<'_> {
    fn run(&mut self) {
        self.until(None, |it| it.ramped == it.course.workers);
        let able = self.course.connected > 0 && (self.course.publishers > 0 || self.scenario.publishers.count == 0);
        if able && !self.is_over() {
            let settled = self.conduct.meet().after(SETTLE);
            self.until(Some(settled), |_| false);
            self.watch.idle(self.course.connected);
            self.publish();
        }
        self.watch.settled();
        self.course.announced_drops = self.watch.announced_drops();
        self.course.server_is_gone = self.watch.is_gone() || self.nobody_is_there();
        self.crew.tell(&Command::Tally);
        let end = Nanos::now().after(ACCOUNTS_TIME_MAX);
        while self.tallied < self.course.workers && Nanos::now() < end && !self.failed {
            self.take(end);
        }
        for (sent, heard) in self.course.sent.iter_mut().zip(&self.course.heard) {
            sent.heard_until(*heard);
        }
        self.crew.tell(&Command::Close { sent: self.course.sent.clone() });
        let end = Nanos::now().after(ACCOUNTS_TIME_MAX);
        while self.course.parts.len() < self.course.workers as usize && Nanos::now() < end && !self.failed {
            self.take(end);
        }
        let missing = self.course.workers as usize - self.course.parts.len();
        if missing > 0 && !self.failed {
            let workers = self.course.workers;
            self.course.problems.push(format!("{missing} of {workers} workers did not settle their accounts in time"));
        }
    }

    fn publish(&mut self) {
        let apart = self.conduct.beside.as_ref().map_or(Duration::ZERO, |beside| beside.apart(self.scenario));
        let first_due = self.conduct.meet().after(SETTLE + apart);
        self.course.first_due = Some(first_due);
        self.crew.tell(&Command::Start { first_due });
        for (at, edge) in measured_edges(self.spans, first_due) {
            self.until(Some(at), Self::is_over);
            if edge == Edge::Begin && self.is_over() {
                break;
            }
            self.watch.edge(edge);
        }
        let end = first_due.after(Duration::from_nanos(self.spans.last().map_or(0, |span| span.end_ns)));
        self.until(Some(end), Self::is_over);
        if self.conduct.interrupt.is_asked() {
            self.course.interrupted = true;
        }
        if let Some(max) = self.scenario.limits.run_time_max.filter(|_| self.is_too_long()) {
            self.course.problems.push(format!("the run was cut short: limits.run_time_max is {max:?}"));
        }
        self.crew.tell(&Command::Stop);
        self.course.published_until = Some(Nanos::now().min(end));
        // A post may take as long as a handshake.
        let answered = Nanos::now().after(ACCOUNTS_TIME_MAX + self.scenario.subscribers.handshake_timeout);
        self.until(Some(answered), |it| it.finished == it.course.workers || it.failed);
        self.watch.end(self.course.connected);
        let timeout = self.scenario.limits.arrival_timeout;
        self.until(Some(Nanos::now().after(timeout)), |it| it.failed || it.nobody_is_there());
    }

    /// Whether the run cannot or must not go on.
    fn is_over(&self) -> bool {
        self.failed
            || self.is_too_long()
            || self.conduct.interrupt.is_asked()
            || self.watch.is_gone()
            || self.nobody_is_there()
    }

    fn is_too_long(&self) -> bool {
        self.scenario.limits.run_time_max.is_some_and(|max| Nanos::now() > self.course.began.after(max))
    }

    /// Whether all members are gone again. Nobody waits for them.
    fn nobody_is_there(&self) -> bool {
        let churn = self.scenario.mix.churning + self.scenario.mix.reconnecting;
        let members: u64 = self.course.members.values().sum();
        churn == 0 && self.course.first_due.is_some() && self.course.connected > 0 && members == 0
    }

    /// Takes reports until `end`, or until `enough`.
    fn until(&mut self, end: Option<Nanos>, enough: impl Fn(&Self) -> bool) {
        loop {
            let interrupted_ramp = self.course.first_due.is_none() && self.conduct.interrupt.is_asked();
            if interrupted_ramp {
                self.course.interrupted = true;
            }
            if interrupted_ramp || self.failed || enough(self) || end.is_some_and(|end| Nanos::now() >= end) {
                return;
            }
            self.take(end.unwrap_or(Nanos(u64::MAX)));
        }
    }

    /// Takes one report, if one comes before `end` (and soon).
    fn take(&mut self, end: Nanos) {
        let wait = end.since(Nanos::now()).min(Duration::from_millis(50));
        match self.crew.reports.recv_timeout(wait) {
            Ok((worker, report)) => self.report(worker, report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                self.failed = true;
                self.course.problems.push("all workers are gone".to_owned());
            }
        }
    }

    fn report(&mut self, worker: u32, report: Report) {
        match report {
            Report::Ramped { connected, publishers, .. } => {
                self.ramped += 1;
                self.course.connected += connected;
                self.course.members.insert(worker, connected);
                self.course.publishers += publishers;
            }
            Report::Tick(tick) => {
                let second = tick.second;
                if self.course.members.contains_key(&worker) {
                    self.course.members.insert(worker, tick.connected);
                }
                self.course.ticks.entry(second).or_insert_with(|| Tick { second, ..Tick::default() }).add(&tick);
                if worker == 0 {
                    if let Some(cores) = self.watch.second() {
                        self.course.server_cpu.insert(second, cores);
                    }
                    self.show.second(&self.course, second);
                }
            }
            Report::Sent { .. } => self.finished += 1,
            Report::Tally { sent, heard } => {
                self.tallied += 1;
                for (publisher, sent) in sent {
                    self.course.sent[publisher as usize] = sent;
                }
                for (sum, heard) in self.course.heard.iter_mut().zip(heard) {
                    *sum = (*sum).max(heard);
                }
            }
            Report::Done(part) => drop(self.course.parts.insert(worker, *part)),
            Report::Failed(problem) => {
                self.failed = true;
                self.course.problems.push(problem);
            }
        }
    }
}

impl Course {
    /// Name of the phase at second `second`: those of the scenario, `ramp` or `tail`.
    pub(super) fn phase_at<'a>(&self, spans: &'a [Span], second: u64) -> &'a str {
        let at = self.began.after(SECOND * u32::try_from(second).unwrap_or(u32::MAX));
        let Some(first_due) = self.first_due.filter(|first_due| at.after(SECOND / 2) >= *first_due) else {
            return "ramp";
        };
        let offset_ns = at.after(SECOND / 2).since_ns(first_due);
        spans.iter().find(|span| offset_ns < span.end_ns).map_or("tail", |span| &span.name)
    }

    /// The seconds as the outcome has them.
    pub(super) fn seconds(&self, spans: &[Span]) -> Vec<Second> {
        let second = |(number, tick): (&u64, &Tick)| Second {
            at_s: super::watch::real(*number),
            phase: self.phase_at(spans, *number).to_owned(),
            connected: tick.connected,
            published: tick.published,
            deliveries: tick.deliveries,
            bytes: tick.bytes,
            errors: tick.errors,
            latency: tick.latency.clone(),
            server_cpu: self.server_cpu.get(number).copied(),
            generator_cpu: tick.cpu_seconds,
        };
        self.ticks.iter().map(second).collect()
    }
}
