//! A worker from its task to its accounts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::connect::Route;
use super::desk::Desk;
use super::dues::Dues;
use super::pacer::{ClosedLoopDues, Ink, Pacer};
use super::publisher::{self, Voice};
use super::ramp::ramp;
use super::reader::{self, Intake};
use super::sent::SentBook;
use super::subscriber::Audience;
use super::usage::{Edge, Threads, Usage, measured_edges};
use super::window::Window;
use super::{Command, Part, Report, Sent, Task};
use crate::adapter::Dialect;
use crate::clock::Nanos;
use crate::fan_out::Keep;
use crate::payload::Payloads;
use crate::scenario::PublishVia;
use crate::schedule::{Schedule, Span, spans};
use crate::seats::Seats;

const SECOND: Duration = Duration::from_secs(1);

/// Drives the worker's part of a run: takes commands until the accounts are settled, and reports. An error is reported
/// as well, and ends it. Reports carry the worker's number.
pub fn work(task: Task, commands: &Receiver<Command>, reports: &SyncSender<(u32, Report)>) {
    let index = task.index;
    match Worker::begin(task) {
        Ok(worker) => worker.run(commands, reports),
        // Nobody listens any more: then nobody wants to know.
        Err(problem) => drop(reports.send((index, Report::Failed(problem)))),
    }
}

/// What the control thread has.
struct Worker {
    task: Task,
    spans: Vec<Span>,
    audience: Arc<Audience>,
    ink: Arc<Ink>,
    book: Arc<Mutex<SentBook>>,
    stop: Arc<AtomicBool>,
    window: Option<Arc<Window>>,
    /// Ends the data thread.
    end: Option<oneshot::Sender<()>>,
    data: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    pacer: Option<JoinHandle<ClosedLoopDues>>,
    /// What the data thread has when the ramp is over.
    ramped: Receiver<Vec<(u32, Voice)>>,
    voices: Option<Vec<(u32, Voice)>>,
    closed_loop_dues: ClosedLoopDues,
    usage: Usage,
}

impl Worker {
    fn begin(task: Task) -> Result<Self, String> {
        crate::clock::set_offset_ns(task.clock_offset_ns);
        if let Some(core) = task.pin {
            // The threads that this one starts are there, too.
            crate::machine::pin(core);
        }
        let scenario = Arc::new(task.scenario.clone());
        let dialect = Arc::new(Dialect::new(&scenario.target).map_err(|error| error.to_string())?);
        let seats = Arc::new(Seats::new(&scenario).map_err(|error| error.to_string())?);
        let payloads = Payloads::new(&scenario.payload, scenario.seed).map_err(|error| error.to_string())?;
        let spans = spans(&scenario);
        let mine = |count: u32| (0..count).filter(|number| task.drives(*number)).collect::<Vec<u32>>();
        let (numbers, publishers) = (mine(scenario.subscribers.count), mine(scenario.publishers.count));
        let window = scenario.publishers.window.map(|places| Arc::new(Window::new(places)));
        let keep = if task.count > 1 { Keep::Partials } else { Keep::Nothing };
        let desk =
            Desk::new((task.run_id, &scenario), Arc::clone(&seats), &numbers, (keep, window.clone()), spans.clone());
        let route = Route::new(dialect.transport(), &scenario.subscribers, task.index);
        let intake = Intake::new().map_err(|error| format!("no reader: {error}"))?;
        let (desk, of_audience) = (Mutex::new(desk), Arc::clone(&scenario));
        let audience = Arc::new(Audience { scenario: of_audience, dialect, route, desk, intake });
        let ink = Arc::new(Ink {
            run_id: task.run_id,
            payloads,
            seats: Arc::clone(&seats),
            format: scenario.payload.format,
            first_due: Mutex::default(),
        });
        let book = Arc::new(Mutex::new(SentBook::new(scenario.publishers.count, spans.len())));
        let (end, ended) = oneshot::channel();
        let (tell_ramped, ramped) = std::sync::mpsc::sync_channel(1);
        let everybody = Everybody { seats, numbers, publishers, tell_ramped };
        let stop = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&audience), Arc::clone(&ink), Arc::clone(&book), Arc::clone(&stop));
        let reader = reader::start(&audience)?;
        let data = data_thread(shared, everybody, ended)?;
        let threads = if task.pin.is_some() { Threads::ShareACore } else { Threads::HaveTheMachine };
        Ok(Self {
            task,
            spans,
            audience,
            ink,
            book,
            stop,
            window,
            end: Some(end),
            data: Some(data),
            reader: Some(reader),
            pacer: None,
            ramped,
            voices: None,
            closed_loop_dues: Vec::new(),
            usage: Usage::new(threads),
        })
    }

    /// The control loop: a command, a second's end, a phase's edge, whatever is first.
    fn run(mut self, commands: &Receiver<Command>, reports: &SyncSender<(u32, Report)>) {
        let mut second = 0;
        let mut edges: Vec<(Nanos, Edge)> = Vec::new();
        let mut pacer_reported = false;
        loop {
            let next_tick = self.task.began.after(SECOND * u32::try_from(second + 1).unwrap_or(u32::MAX));
            let next = edges.first().map_or(next_tick, |(at, _)| (*at).min(next_tick));
            let wait = next.since(Nanos::now()).min(Duration::from_millis(50));
            match commands.recv_timeout(wait) {
                Ok(Command::Start { first_due }) => {
                    self.start(first_due);
                    edges = measured_edges(&self.spans, first_due);
                }
                Ok(Command::Stop) => {
                    self.stop.store(true, Ordering::Relaxed);
                    // A run that was cut short: what was measured ends here.
                    if edges.first().is_some_and(|(_, edge)| *edge == Edge::End) {
                        self.usage.edge(Edge::End);
                    }
                    edges.clear();
                }
                Ok(Command::Tally) => {
                    let report = self.tally();
                    if reports.send((self.task.index, report)).is_err() {
                        return self.abandon();
                    }
                }
                Ok(Command::Close { sent }) => {
                    let part = self.close(&sent);
                    drop(reports.send((self.task.index, Report::Done(Box::new(part)))));
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.abandon(),
            }
            while edges.first().is_some_and(|(at, _)| *at <= Nanos::now()) {
                let (_, edge) = edges.remove(0);
                self.usage.edge(edge);
            }
            let mut news = Vec::new();
            if self.voices.is_none()
                && let Ok(voices) = self.ramped.try_recv()
            {
                news.push(self.ramp_report(voices.len()));
                self.voices = Some(voices);
            }
            if !pacer_reported && self.has_published() {
                pacer_reported = true;
                news.push(Report::Sent { sent: self.sent() });
            }
            if Nanos::now() >= next_tick {
                news.push(self.tick(second));
                second += 1;
            }
            if news.into_iter().any(|report| reports.send((self.task.index, report)).is_err()) {
                return self.abandon();
            }
        }
    }

    fn ramp_report(&self, publishers: usize) -> Report {
        let desk = self.audience.desk.lock().expect("nobody panics while holding it");
        Report::Ramped {
            connected: desk.connected(),
            publishers: u32::try_from(publishers).unwrap_or(u32::MAX),
            connections: desk.part.connections.clone(),
        }
    }

    fn start(&mut self, first_due: Nanos) {
        *self.ink.first_due.lock().expect("nobody panics while holding it") = first_due;
        self.audience.desk.lock().expect("nobody panics while holding it").start(first_due);
        let voices = self.voices.take().unwrap_or_default();
        self.voices = Some(Vec::new());
        let publishers = self.audience.scenario.publishers.clone();
        let (ink, book, stop) = (Arc::clone(&self.ink), Arc::clone(&self.book), Arc::clone(&self.stop));
        let mut pacer = Pacer::new(ink, book, stop, voices, publishers.count);
        let schedule = Schedule::new(&publishers, &self.spans, self.audience.scenario.seed);
        let (window, spans) = (self.window.clone(), self.spans.clone());
        let timeout = self.audience.scenario.limits.arrival_timeout;
        let publish = move || match window {
            Some(window) => pacer.run_window(&window, &spans, timeout),
            None => {
                pacer.run_schedule(schedule);
                Vec::new()
            }
        };
        let thread = std::thread::Builder::new().name("pacer".to_owned()).spawn(publish);
        self.pacer = Some(thread.expect("the system gives a thread"));
    }

    /// Whether the schedule is over, and no post is without an answer that may yet come.
    fn has_published(&self) -> bool {
        self.pacer.as_ref().is_some_and(JoinHandle::is_finished)
            && self.book.lock().expect("nobody panics while holding it").posting == 0
    }

    fn sent(&self) -> Vec<(u32, u64)> {
        let book = self.book.lock().expect("nobody panics while holding it");
        let sent = (0..).zip(&book.sent).filter(|(publisher, _)| self.task.drives(*publisher));
        sent.map(|(publisher, sent)| (publisher, sent.sequences)).collect()
    }

    fn tally(&self) -> Report {
        let heard = self.audience.desk.lock().expect("nobody panics while holding it").heard();
        let book = self.book.lock().expect("nobody panics while holding it");
        let sent = (0..).zip(&book.sent).filter(|(publisher, _)| self.task.drives(*publisher));
        Report::Tally { sent: sent.map(|(publisher, sent)| (publisher, sent.clone())).collect(), heard }
    }

    fn tick(&mut self, second: u64) -> Report {
        let mut tick = self.audience.desk.lock().expect("nobody panics while holding it").take_tick(second);
        tick.lateness = self.book.lock().expect("nobody panics while holding it").take_second();
        tick.published = tick.lateness.count();
        (tick.cpu_seconds, tick.busiest_thread) = self.usage.second();
        Report::Tick(Box::new(tick))
    }

    fn close(&mut self, sent: &[Sent]) -> Part {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(pacer) = self.pacer.take() {
            self.closed_loop_dues = pacer.join().expect("the pacer does not panic");
        }
        let scenario = Arc::clone(&self.audience.scenario);
        let first_due = *self.ink.first_due.lock().expect("nobody panics while holding it");
        let mut dues = Dues::new(&scenario, &self.spans, first_due, &self.closed_loop_dues);
        let mut part = self.audience.desk.lock().expect("nobody panics while holding it").close(sent, &mut dues);
        let mut book = self.book.lock().expect("nobody panics while holding it");
        for (phase, (published, lateness)) in part.phases.iter_mut().zip(std::mem::take(&mut book.phases)) {
            phase.published = published;
            phase.lateness = lateness;
        }
        self.take_back(sent, &mut book, &mut dues, &mut part);
        part.publish_errors = std::mem::take(&mut book.errors);
        drop(book);
        part.connections.wanted =
            (0..scenario.subscribers.count).filter(|number| self.task.drives(*number)).count() as u64;
        part.cpu_seconds = self.usage.cpu_seconds;
        part.busiest_thread = self.usage.busiest();
        part.closed = Nanos::now();
        self.end_data();
        part
    }

    /// What was refused was not published. Posts that were, or were not answered, were not counted.
    fn take_back(&self, sent: &[Sent], book: &mut SentBook, dues: &mut Dues<'_>, part: &mut Part) {
        if self.audience.scenario.target.publish == PublishVia::Http {
            return;
        }
        for (phase, unnamed) in part.phases.iter_mut().zip(&book.unnamed) {
            phase.published = phase.published.saturating_sub(*unnamed);
        }
        for (publisher, sent) in sent.iter().enumerate() {
            if !u32::try_from(publisher).is_ok_and(|publisher| self.task.drives(publisher)) {
                continue;
            }
            for sequence in sent.refused.ranges().flatten().take_while(|sequence| *sequence < sent.sequences) {
                if !book.sent[publisher].refused.contains(sequence) {
                    book.error("publisher: sent, and not taken by the server before it ended the connection");
                }
                if let Some(span) = dues.span_of(publisher, sequence) {
                    part.phases[span].published = part.phases[span].published.saturating_sub(1);
                }
            }
        }
    }

    /// The coordinator is gone.
    fn abandon(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.end_data();
        if let Some(pacer) = self.pacer.take() {
            drop(pacer.join());
        }
    }

    fn end_data(&mut self) {
        drop(self.end.take());
        if let Some(data) = self.data.take() {
            data.join().expect("the data thread does not panic");
        }
        self.audience.intake.end();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
    }
}

/// Whom the data thread drives, and whom it tells when the ramp is over.
struct Everybody {
    seats: Arc<Seats>,
    numbers: Vec<u32>,
    publishers: Vec<u32>,
    tell_ramped: SyncSender<Vec<(u32, Voice)>>,
}

fn data_thread(
    (audience, ink, book, stop): (Arc<Audience>, Arc<Ink>, Arc<Mutex<SentBook>>, Arc<AtomicBool>),
    everybody: Everybody,
    ended: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let drive = move || {
        runtime.block_on(async {
            let Everybody { seats, numbers, publishers, tell_ramped } = everybody;
            let begin = async {
                // Publishers first: the last subscribers of a ramp that takes its time would hear nothing otherwise.
                let mut voices = Vec::new();
                for number in publishers {
                    match publisher::open(&audience, &seats, number, (&ink, &book, &stop)).await {
                        Ok(voice) => voices.push((number, voice)),
                        Err(why) => {
                            book.lock().expect("nobody panics while holding it").error(format!("publisher: {why}"));
                        }
                    }
                }
                ramp(&audience, &seats, &numbers).await;
                drop(tell_ramped.send(voices));
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = begin => {}
                // The sender is dropped when everything is over.
                _ = ended => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("data".to_owned()).spawn(drive);
    thread.map_err(|error| format!("no thread: {error}"))
}
