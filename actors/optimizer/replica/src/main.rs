//! Serves a tier, sends a load, or measures the replica of a stack.

#![expect(
    clippy::print_stderr,
    reason = "progress and errors of a command-line program"
)]

use clap::{Args, Parser, Subcommand};
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use twinscale_cluster_config::read_text;
use twinscale_environment::flow::class_rates;
use twinscale_environment::model::{StackModel, read_model};
use twinscale_environment::simulation::Load;
use twinscale_replica::config::{Peer, ServeConfig, TIER_PORT};
use twinscale_replica::engine::{EngineError, clean};
use twinscale_replica::load::{Entry, LoadRun, RunOptions, now, schedule};
use twinscale_replica::measure::{MeasureError, MeasureOptions, measure};
use twinscale_replica::plan::{Machine, PERIOD_US, machine};
use twinscale_replica::serve::serve;

/// No container engine answers: what is asked for cannot be done here, as `deploy/test.sh` says it.
const NO_ENGINE: u8 = 77;
/// The model or an argument cannot be used.
const INVALID: u8 = 2;
/// Ctrl-C, or a request to end.
const INTERRUPTED: u8 = 130;

/// The container replica of a stack.
#[derive(Parser)]
#[command(name = "twinscale-replica", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the replica of a stack, calibrates the model, measures some loads, and compares with the simulation.
    Measure(MeasureArguments),
    /// Serves one VM of a tier; what runs in a container.
    Serve(ServeArguments),
    /// Sends the load of a model, at times decided beforehand, to servers that run.
    Load(LoadArguments),
    /// Removes whatever replicas left on the container engine.
    Clean,
}

#[derive(Args)]
struct MeasureArguments {
    /// The stack model.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Utilisations of the bottleneck to measure at.
    #[arg(long, value_delimiter = ',', default_value = "0.3,0.5,0.7", value_parser = share)]
    loads: Vec<f64>,
    /// How long each load counts.
    #[arg(long, default_value_t = 60.0, value_parser = positive)]
    seconds: f64,
    /// Time before it counts, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    warm_up: f64,
    /// Utilisation of the bottleneck while it is calibrated.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    calibration_load: f64,
    /// How long each class counts in the calibration, in seconds.
    #[arg(long, default_value_t = 30.0, value_parser = positive)]
    calibration_seconds: f64,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Image with Redis; the tiers' servers need only its C library.
    #[arg(long, default_value = "twinscale-replica:redis")]
    image: String,
    /// Cores to use; the last one is the generator's. All when absent.
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<u32>,
    /// Period of CPU quotas, in microseconds.
    #[arg(long, default_value_t = PERIOD_US, value_parser = clap::value_parser!(u32).range(2_000..=1_000_000))]
    cpu_period: u32,
    /// Control group above those of the containers; / gives them their cores before all other work of the machine.
    #[arg(long, value_name = "GROUP")]
    cgroup_parent: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Writes JSON to a file as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct ServeArguments {
    /// What to serve.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to listen.
    #[arg(long, default_value_t = SocketAddr::from(([0, 0, 0, 0], TIER_PORT)))]
    listen: SocketAddr,
}

#[derive(Args)]
struct LoadArguments {
    /// The stack model.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Servers of the entry tier.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    target: Vec<String>,
    /// What the stated rates are multiplied by, one step of the load after the other.
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = positive)]
    profile: Vec<f64>,
    /// Length of a step, in seconds.
    #[arg(long, default_value_t = 60.0, value_parser = positive)]
    step: f64,
    /// Time that does not count, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    warm_up: f64,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_malformed| "no number".to_owned())?;
    if number > 0.0 && number < 1.0 {
        Ok(number)
    } else {
        Err("give a utilisation above 0 and below 1".to_owned())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_malformed| "no number".to_owned())?;
    if number > 0.0 && number <= 86_400.0 {
        Ok(number)
    } else {
        Err("give a number above 0 and up to 86400".to_owned())
    }
}

/// Why it ended badly.
struct Failure(u8, String);

fn failure(code: u8) -> impl Fn(String) -> Failure {
    move |text| Failure(code, text)
}

fn as_text(error: impl Display) -> String {
    error.to_string()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(as_text)
        .map_err(failure(1))
        .and_then(|runtime| {
            runtime.block_on(async {
                match arguments.command {
                    Command::Measure(arguments) => unless_stopped(measure_stack(arguments)).await,
                    Command::Serve(arguments) => unless_stopped(serve_tier(arguments)).await,
                    Command::Load(arguments) => unless_stopped(send_load(arguments)).await,
                    Command::Clean => clean_up(),
                }
            })
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            eprintln!("error: {text}");
            ExitCode::from(code)
        }
    }
}

/// Ends the work when it is asked to; what it had made is removed as it is dropped.
async fn unless_stopped(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut ended = signal(SignalKind::terminate())
        .map_err(as_text)
        .map_err(failure(1))?;
    let mut interrupted = signal(SignalKind::interrupt())
        .map_err(as_text)
        .map_err(failure(1))?;
    tokio::select! {
        done = work => done,
        _ = ended.recv() => Err(Failure(INTERRUPTED, "asked to end".to_owned())),
        _ = interrupted.recv() => Err(Failure(INTERRUPTED, "interrupted".to_owned())),
    }
}

fn model_of(file: &Path) -> Result<StackModel, Failure> {
    let name = file.display().to_string();
    let checked = read_text(file).and_then(|text| read_model(&text, &name));
    Ok(checked.map_err(as_text).map_err(failure(INVALID))?.model)
}

async fn measure_stack(arguments: MeasureArguments) -> Result<(), Failure> {
    let model = model_of(&arguments.model)?;
    let found = machine().map_err(as_text).map_err(failure(1))?;
    let cores = if arguments.cpus.is_empty() {
        found.cores
    } else {
        arguments.cpus
    };
    let options = MeasureOptions {
        loads: arguments.loads,
        seconds: arguments.seconds,
        warm_up_s: arguments.warm_up,
        calibration_load: arguments.calibration_load,
        calibration_s: arguments.calibration_seconds,
        seed: arguments.seed,
        image: arguments.image,
        program: std::env::current_exe()
            .map_err(as_text)
            .map_err(failure(1))?,
        machine: Machine { cores, ..found },
        period_us: arguments.cpu_period,
        cgroup_parent: arguments.cgroup_parent,
    };
    let report = measure(&model, &options, &|text| eprintln!("{text}")).await;
    let report = report.map_err(|error| {
        let code = match &error {
            MeasureError::Engine(EngineError::None(_)) => NO_ENGINE,
            MeasureError::Plan(_) | MeasureError::Schedule(_) | MeasureError::Flow(_) => INVALID,
            _ => 1,
        };
        Failure(code, error.to_string())
    })?;
    let json = serde_json::to_string_pretty(&report)
        .map_err(as_text)
        .map_err(failure(1))?;
    if let Some(file) = arguments.out {
        let written = fs::write(&file, &json);
        written.map_err(|error| Failure(1, format!("{}: {error}", file.display())))?;
    }
    print(&if arguments.json {
        json
    } else {
        report.to_string()
    })
}

async fn serve_tier(arguments: ServeArguments) -> Result<(), Failure> {
    let text = read_text(&arguments.config)
        .map_err(as_text)
        .map_err(failure(INVALID))?;
    let config: ServeConfig = serde_json::from_str(&text)
        .map_err(as_text)
        .map_err(failure(INVALID))?;
    let serving = serve(config, arguments.listen).await;
    let serving = serving.map_err(|error| Failure(1, format!("{}: {error}", arguments.listen)))?;
    eprintln!("serving at {}", serving.address);
    serving.ended().await;
    Ok(())
}

async fn send_load(arguments: LoadArguments) -> Result<(), Failure> {
    let model = model_of(&arguments.model)?;
    let rates = class_rates(&model)
        .map_err(as_text)
        .map_err(failure(INVALID))?;
    let steps = |rate: f64| {
        arguments
            .profile
            .iter()
            .map(|factor| rate * factor)
            .collect()
    };
    let load = Load {
        step_s: arguments.step,
        rates: rates
            .into_iter()
            .map(|(class, rate)| (class, steps(rate)))
            .collect(),
    };
    let planned = schedule(&model, &load, arguments.seed);
    let planned = planned.map_err(as_text).map_err(failure(INVALID))?;
    let peers = arguments.target.iter().map(|address| Peer {
        address: address.clone(),
        cores: 1.0,
        is_primary: true,
    });
    let peers: Vec<Peer> = peers.collect();
    let entries = model.classes.values().map(|class| Entry {
        peers: peers.clone(),
        balancer: model
            .tiers
            .get(&class.entry)
            .map(|tier| tier.balancer)
            .unwrap_or_default(),
        request_bytes: bytes(class.request_bytes),
        response_bytes: bytes(class.response_bytes),
    });
    eprintln!(
        "{} requests in {} s",
        planned.requests.len(),
        planned.seconds
    );
    let options = RunOptions {
        start: now(),
        warm_up_s: arguments.warm_up,
        core: None,
    };
    let run = LoadRun::start(planned, entries.collect(), options);
    let outcome = run.map_err(as_text).map_err(failure(1))?.finish().await;
    let outcome = outcome.map_err(as_text).map_err(failure(1))?;
    let classes = outcome.classes.iter().map(|class| {
        let quantile = |level| class.responses.quantile(level);
        serde_json::json!({
            "class": class.class.as_str(), "sent": class.sent, "served": class.served, "failed": class.failed,
            "mean_s": class.sum_s / class.served as f64,
            "p50_s": quantile(0.5), "p95_s": quantile(0.95), "p99_s": quantile(0.99),
        })
    });
    let classes: Vec<_> = classes.collect();
    let lag_p99_s = outcome.lag.quantile(0.99);
    let report = serde_json::json!({
        "form": "twinscale-replica-load/1", "classes": classes, "lag_p99_s": lag_p99_s,
    });
    print(&format!("{report:#}"))
}

fn clean_up() -> Result<(), Failure> {
    let removed = clean(None).map_err(as_text).map_err(failure(1))?;
    eprintln!("{removed} containers and networks removed");
    Ok(())
}

fn print(text: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{}", text.trim_end());
    written.map_err(as_text).map_err(failure(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "servers take no larger message than 1 MiB"
)]
fn bytes(number: f64) -> usize {
    number.clamp(0.0, 1024.0 * 1024.0) as usize
}
