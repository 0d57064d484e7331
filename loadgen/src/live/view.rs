//! The view of a run: what is on the screen, down to 80 × 24 (smaller ones lose the lower parts).

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, LineGauge, Paragraph, RenderDirection, Sparkline};

use super::Snapshot;
use crate::output::units::{bytes_per_second, count, nanoseconds, rate, real, span};

/// Lateness (99 %) above this is shown in red: the generator spoils the latencies.
const LATENESS_WARN_NS: u64 = 1_000_000;
/// The busiest thread above this part of a core is shown in red.
const GENERATOR_WARN: f64 = 0.8;

/// Draws a snapshot that is `age` old.
pub(super) fn draw(snapshot: &Snapshot, age: Duration, frame: &mut Frame<'_>) {
    let [head, progress, figures, latency, deliveries, messages] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(5),
        Constraint::Min(4),
        Constraint::Length(4),
        Constraint::Length(4),
    ])
    .areas(frame.area());
    draw_head(snapshot, age, frame, head);
    draw_progress(snapshot, frame, progress);
    draw_figures(snapshot, frame, figures);
    let (low, high) = bounds(&snapshot.history.p99_ns);
    let title = format!("p99 latency each second, {} to {}, log scale", nanoseconds(low), nanoseconds(high));
    let bars = snapshot.history.p99_ns.iter().map(|ns| bar_height(*ns, low, high));
    draw_history(bars, &title, Color::Yellow, (frame, latency));
    let (_, most) = bounds(&snapshot.history.deliveries);
    let title = format!("deliveries each second, 0 to {}", rate(real(most)));
    draw_history(snapshot.history.deliveries.iter().copied(), &title, Color::Cyan, (frame, deliveries));
    draw_messages(snapshot, frame, messages);
}

fn faint(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Style::new().fg(Color::DarkGray))
}

fn strong(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Style::new().add_modifier(Modifier::BOLD))
}

/// Red if it is a problem.
fn judged(text: String, is_problem: impl FnOnce() -> bool) -> Span<'static> {
    if is_problem() {
        Span::styled(text, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD))
    } else {
        strong(text)
    }
}

fn draw_head(snapshot: &Snapshot, age: Duration, frame: &mut Frame<'_>, area: Rect) {
    let left = snapshot.left.map(|left| left.saturating_sub(age));
    let left = left.map_or_else(String::new, |left| format!(", {} left", span(left.as_secs_f64().ceil())));
    let elapsed = span((snapshot.elapsed + age).as_secs_f64().floor());
    let lines = vec![
        Line::from(vec![strong(snapshot.scenario.clone()), faint(format!("  {}", snapshot.target))]),
        Line::from(vec![
            strong(snapshot.phase.clone()),
            Span::raw(format!("  {elapsed}{left}")),
            faint("   Ctrl-C ends it and reports"),
        ]),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_progress(snapshot: &Snapshot, frame: &mut Frame<'_>, area: Rect) {
    let [phase, run] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    for (area, name, part) in [(phase, "phase", snapshot.phase_progress), (run, "run  ", snapshot.progress)] {
        // A ratio that is no number would end the view.
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
        let gauge = LineGauge::default()
            .ratio(part)
            .filled_symbol("━")
            .unfilled_symbol("─")
            .label(format!("{name} {:>3.0} %", part * 100.0))
            .filled_style(Style::new().fg(Color::Green))
            .unfilled_style(Style::new().fg(Color::DarkGray));
        frame.render_widget(gauge, area);
    }
}

fn draw_figures(snapshot: &Snapshot, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).border_style(Style::new().fg(Color::DarkGray));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(52), Constraint::Percentage(48)]).areas(inner);
    frame.render_widget(Paragraph::new(load_lines(snapshot)), left);
    frame.render_widget(Paragraph::new(health_lines(snapshot)), right);
}

fn load_lines(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), nanoseconds);
    let asked = snapshot.target_rate.map_or_else(String::new, |asked| format!(" of {}", rate(asked)));
    let times = snapshot.latency;
    vec![
        Line::from(vec![faint("published  "), strong(rate(snapshot.published_per_s)), Span::raw(asked)]),
        Line::from(vec![
            faint("delivered  "),
            strong(rate(snapshot.deliveries_per_s)),
            Span::raw(format!("  {}", bytes_per_second(snapshot.bytes_per_s))),
        ]),
        Line::from(vec![
            faint("latency    p50 "),
            strong(time(times.p50_ns)),
            faint("  p90 "),
            strong(time(times.p90_ns)),
        ]),
        Line::from(vec![
            faint("           p99 "),
            strong(time(times.p99_ns)),
            faint("  max "),
            strong(time(times.max_ns)),
        ]),
    ]
}

fn health_lines(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let lateness = snapshot.lateness_p99_ns;
    let late = lateness.map_or_else(|| "-".to_owned(), nanoseconds);
    let server = snapshot.server_cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}"));
    vec![
        Line::from(vec![
            faint("connected  "),
            strong(count(snapshot.connected)),
            Span::raw(format!(" of {}", count(snapshot.wanted))),
        ]),
        Line::from(vec![
            faint("lost       "),
            judged(count(snapshot.lost), || snapshot.lost > 0),
            faint("  errors "),
            judged(count(snapshot.errors), || snapshot.errors > 0),
        ]),
        Line::from(vec![
            faint("lateness   "),
            judged(late, || lateness.is_some_and(|late| late > LATENESS_WARN_NS)),
            faint(" (p99)"),
        ]),
        Line::from(vec![
            faint("cpu cores  generator "),
            judged(format!("{:.2}", snapshot.generator_cpu), || snapshot.generator_cpu > GENERATOR_WARN),
            faint("  server "),
            strong(server),
        ]),
    ]
}

/// The smallest that is not 0, and the largest.
fn bounds(values: &VecDeque<u64>) -> (u64, u64) {
    let present = || values.iter().copied().filter(|value| *value > 0);
    (present().min().unwrap_or(0), present().max().unwrap_or(0))
}

/// On a log scale: one long pause must not flatten everything else. Half the smallest is the ground.
fn bar_height(value: u64, low: u64, high: u64) -> u64 {
    const FULL: f64 = 1_000.0;
    if value == 0 {
        return 0;
    }
    let ground = real(low.max(1)) / 2.0;
    let part = (real(value) / ground).ln() / (real(high.max(1)) / ground).ln();
    Duration::from_secs_f64((part * FULL).clamp(1.0, FULL)).as_secs()
}

fn draw_history(
    values: impl DoubleEndedIterator<Item = u64>,
    title: &str,
    color: Color,
    place: (&mut Frame<'_>, Rect),
) {
    let (frame, area) = place;
    let block = Block::new().borders(Borders::TOP).border_style(Style::new().fg(Color::DarkGray)).title(faint(title));
    // The newest at the right edge; what does not fit is the oldest.
    let line = Sparkline::default()
        .data(values.rev())
        .direction(RenderDirection::RightToLeft)
        .style(Style::new().fg(color))
        .block(block);
    frame.render_widget(line, area);
}

fn draw_messages(snapshot: &Snapshot, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).border_style(Style::new().fg(Color::DarkGray));
    let room = usize::from(area.height.saturating_sub(1));
    let newest = snapshot.messages.len().saturating_sub(room);
    let warning = Style::new().fg(Color::Yellow);
    let lines: Vec<_> =
        snapshot.messages[newest..].iter().map(|message| Line::styled(format!("! {message}"), warning)).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::{History, Times};
    use super::*;

    fn snapshot() -> Snapshot {
        let mut history = History::default();
        for second in 0..200 {
            history.push(if second == 180 { 480_000_000 } else { 4_000_000 + second * 9_000 }, 99_000 + second);
        }
        Snapshot {
            scenario: "one-room".to_owned(),
            target: "ws://127.0.0.1:8080/ws/{room}".to_owned(),
            elapsed: Duration::from_secs(200),
            left: Some(Duration::from_secs(100)),
            phase: "step 2".to_owned(),
            phase_progress: 0.4,
            progress: 0.667,
            target_rate: Some(200.0),
            published_per_s: 199.0,
            deliveries_per_s: 99_500.0,
            bytes_per_s: 12.7e6,
            latency: Times {
                p50_ns: Some(1_970_000),
                p90_ns: Some(3_000_000),
                p99_ns: Some(4_510_000),
                max_ns: Some(8_200_000),
            },
            lateness_p99_ns: Some(88_000),
            history,
            connected: 500,
            wanted: 500,
            errors: 2,
            lost: 46,
            generator_cpu: 0.31,
            server_cpu: Some(0.36),
            messages: (1..=5).map(|number| format!("warning {number}")).collect(),
        }
    }

    fn screen(snapshot: &Snapshot, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(snapshot, Duration::from_millis(300), frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_a_screen_of_80_by_24() {
        let screen = screen(&snapshot(), 80, 24);
        for text in [
            "one-room",
            "step 2",
            "3 min 20 s, 100 s left",
            " 40 %",
            " 67 %",
            "199/s of 200/s",
            "99,500/s",
            "12.7 MB/s",
            "p50 1.97 ms",
            "p99 4.51 ms",
            "max 8.20 ms",
            "500 of 500",
            "lost       46",
            "errors 2",
            "88.0 µs",
            "generator 0.31",
            "server 0.36",
            "to 480 ms",
            "warning 5",
            "Ctrl-C",
        ] {
            assert!(screen.contains(text), "{text} is missing:\n{screen}");
        }
        assert!(!screen.contains("warning 1"), "the oldest make room:\n{screen}");
        let peak = screen.lines().find(|line| line.contains('█')).unwrap();
        assert_eq!(peak.matches('█').count(), 1, "the peak stands out:\n{screen}");
        let ground = screen.lines().take_while(|line| !line.contains("deliveries each")).last().unwrap();
        assert!(!ground.contains(' '), "and the rest is not flat:\n{screen}");
    }

    #[test]
    fn any_size_and_any_figures_draw() {
        let mut odd = snapshot();
        (odd.phase_progress, odd.progress, odd.generator_cpu) = (f64::NAN, f64::INFINITY, f64::NAN);
        (odd.connected, odd.lost) = (u64::MAX, u64::MAX);
        odd.scenario = "x\x1b[2J\n".repeat(40);
        for (width, height) in [(1, 1), (20, 5), (80, 10), (300, 100)] {
            drop(screen(&odd, width, height));
            drop(screen(&Snapshot::default(), width, height));
        }
        assert!(!screen(&odd, 80, 24).contains('\x1b'), "a name may not send commands to the terminal");
    }
}
