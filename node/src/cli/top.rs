//! `twinscale top`: what a running node does, as it happens.

use crate::console;
use crate::error::ExpectedError;
use crate::live::plain;
use crate::live::poll::Poller;
use crate::live::session::{LiveView, Viewing, has_terminal};
use crate::live::snapshot::Audience as _;
use crate::live::state::QuitMeaning;
use clap::Args;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// Shows what a running node does: its twins, forecasts, plans, money and actors.
#[derive(Debug, Args)]
pub(super) struct TopArguments {
    /// Address of the node's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7878")]
    node: String,
    /// Time between two looks, such as 500ms, 2s or 1m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Print one snapshot as text and end.
    #[arg(long)]
    once: bool,
    /// Print one snapshot as JSON and end.
    #[arg(long)]
    json: bool,
}

/// Shortest time between two looks: a node has better things to do.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Longest.
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// A look that took long is followed by a pause of so many times as long, so that looking stays cheap.
const PAUSE_FACTOR: u32 = 4;

fn parse_interval(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let interval = digits.parse::<u32>().ok().and_then(|count| {
        let count = u64::from(count);
        match unit {
            "ms" => Some(Duration::from_millis(count)),
            "s" | "" => Some(Duration::from_secs(count)),
            "m" => Some(Duration::from_secs(count * 60)),
            _ => None,
        }
    });
    interval
        .filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval))
        .ok_or_else(|| {
            format!("`{text}` is no time between 100ms and 1 hour: write 500ms, 2s or 1m")
        })
}

pub(super) fn run(arguments: &TopArguments) -> anyhow::Result<()> {
    let runtime = super::runtime(1)?;
    let poller = Poller::new(arguments.node.trim_end_matches('/'));
    if arguments.once || arguments.json {
        return runtime.block_on(print_once(poller, arguments.json));
    }
    if !has_terminal() {
        return runtime.block_on(print_lines(poller, arguments.interval));
    }
    let view = LiveView::open(QuitMeaning::Command)?;
    let ended = runtime.block_on(watch_node(poller, &view, arguments.interval));
    view.close();
    ended
}

async fn print_once(mut poller: Poller, as_json: bool) -> anyhow::Result<()> {
    let snapshot = poller.snapshot(None).await?;
    if as_json {
        console::print(&plain::json(&snapshot)?)?;
    } else {
        console::print(&plain::table(&snapshot))?;
    }
    Ok(())
}

/// Prints a line per interval, until its reader goes or a signal comes.
async fn print_lines(mut poller: Poller, interval: Duration) -> anyhow::Result<()> {
    let mut answered = Instant::now();
    loop {
        let begun = Instant::now();
        let line = match poller.snapshot(None).await {
            Ok(snapshot) => {
                answered = Instant::now();
                plain::line(&snapshot)
            }
            Err(error) => format!("no answer for {} s: {error}", answered.elapsed().as_secs()),
        };
        if console::print(&format!("{line}\n")).is_err() {
            // Who read it has gone.
            return Ok(());
        }
        tokio::time::sleep(pause(interval, begun)).await;
    }
}

fn pause(interval: Duration, begun: Instant) -> Duration {
    interval.max(begun.elapsed() * PAUSE_FACTOR)
}

/// Feeds the view until its reader has enough or a signal comes.
async fn watch_node(poller: Poller, view: &LiveView, interval: Duration) -> anyhow::Result<()> {
    let mut viewing = view.viewing();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = viewing.wait_for(|viewing| *viewing != Viewing::Open);
    tokio::select! {
        closed = closed => match closed.as_deref() {
            Ok(Viewing::Failed(reason)) => Err(ExpectedError::Environment {
                context: format!("the live view ended: {reason}"),
                hint: "print snapshots instead: twinscale top --once".to_owned(),
                source: None,
            }
            .into()),
            _ => Ok(()),
        },
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        never = feed(poller, view, interval) => match never {},
    }
}

/// Asks and shows, until it is dropped.
async fn feed(mut poller: Poller, view: &LiveView, interval: Duration) -> std::convert::Infallible {
    let feed = view.feed();
    let mut chosen: watch::Receiver<Option<String>> = view.chosen();
    let mut answered = Instant::now();
    loop {
        let begun = Instant::now();
        let wanted = chosen.borrow_and_update().clone();
        match poller.snapshot(wanted.as_deref()).await {
            Ok(snapshot) => {
                answered = Instant::now();
                feed.show(snapshot);
            }
            Err(error) => feed.lost(answered.elapsed().as_secs(), words(&error)),
        }
        tokio::select! {
            () = tokio::time::sleep(pause(interval, begun)) => {}
            // A reader who chose another twin wants to see it now.
            Ok(()) = chosen.changed() => {}
        }
    }
}

/// An error with its first cause: the rest is for logs.
fn words(error: &ExpectedError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_unit_and_bounds() {
        assert_eq!(parse_interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_interval("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_interval("1m"), Ok(Duration::from_mins(1)));
        for wrong in ["", "s", "10ms", "2h", "-1s", "1.5s", "61m"] {
            let refused = parse_interval(wrong).expect_err("refused");
            assert!(refused.contains("500ms"), "{wrong}: {refused}");
        }
    }
}
