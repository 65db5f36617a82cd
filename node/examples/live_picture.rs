//! Writes the pictures of the live view: `cargo run -p twinscale --example live_picture -- FOLDER`.
//!
//! It replays the sample customers for real and draws the step at which the forecaster comes back.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use twinscale::assembly::{ForecastWeights, NodeOptions, WatchLimits};
use twinscale::live::draw::draw;
use twinscale::live::picture::picture_svg;
use twinscale::live::replay::WatchedReplay;
use twinscale::live::snapshot::{Audience, LiveSnapshot};
use twinscale::live::state::{LiveState, QuitMeaning};
use twinscale::live::update::LiveEvent;
use twinscale::observe::Instruments;
use twinscale::progress::Progress;
use twinscale::replay::{ReplayOptions, Unwatched, replay};
use twinscale::report::Theme;
use twinscale::workload::from_samples;
use twinscale_provisioner::SimCloudConfig;

/// Step that is drawn: in the middle of the replay, behind the kill.
const STEP: u64 = 110;

/// The customer that is looked at: its demand has a rhythm and peaks.
const CHOSEN: &str = "nyctaxi";

/// Keeps the first snapshot at or behind a step.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Option<LiveSnapshot>>>);

impl Audience for Keeper {
    fn is_watching(&self) -> bool {
        true
    }

    fn chosen(&self) -> Option<String> {
        Some(CHOSEN.to_owned())
    }

    fn show(&self, snapshot: LiveSnapshot) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = |one: &LiveSnapshot| one.head.replay.map_or(0, |replay| replay.step);
        if kept.as_ref().is_none_or(|kept| step(kept) < STEP) {
            *kept = Some(snapshot);
        }
    }
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from("docs/images"));
    let customers = from_samples(12, 1)?;
    let data = tempfile::tempdir()?;
    let options = ReplayOptions {
        node: NodeOptions {
            directory: data.path().to_owned(),
            seed: 1,
            optimizer_threads: NonZeroUsize::MIN,
            weights: ForecastWeights::load(None)?,
            cloud: SimCloudConfig::with_seed(1),
            watch: WatchLimits::default(),
            instruments: Instruments::default(),
        },
        kill_forecaster_at: Some(96),
    };
    let keeper = Keeper::default();
    let mut unwatched = Unwatched;
    let audience = Box::new(keeper.clone());
    let mut sink = WatchedReplay::new(&mut unwatched, &customers, "Twinscale demo", audience);
    let progress = Progress::start("replay", 1, false);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(replay(&customers, options, &mut sink, &progress))?;
    let kept = keeper
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let snapshot = kept.ok_or_else(|| anyhow::anyhow!("the replay showed nothing"))?;
    let mut state = LiveState {
        colours: true,
        quit: QuitMeaning::View,
        chosen: Some(CHOSEN.to_owned()),
        ..LiveState::default()
    };
    state.update(LiveEvent::Snapshot(Box::new(snapshot)));
    let mut terminal = Terminal::new(TestBackend::new(120, 36))?;
    terminal.draw(|frame| draw(frame, &state))?;
    for (theme, name) in [(Theme::Light, "live.svg"), (Theme::Dark, "live-dark.svg")] {
        let svg = picture_svg(terminal.backend().buffer(), theme);
        std::fs::write(folder.join(name), svg)?;
    }
    Ok(())
}
