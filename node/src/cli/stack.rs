//! `twinscale stack`: checks, draws and imports the model of a customer's application stack.

use super::standing;
use crate::console;
use crate::error::ExpectedError;
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use twinscale_cluster_config::read_text;
use twinscale_environment::draw::{stack_dot, stack_mermaid, stack_svg, stack_text};
use twinscale_environment::flow::{FlowError, flow};
use twinscale_environment::import::{ImportError, Imported, import_compose, import_kubernetes};
use twinscale_environment::model::{StackModel, model_schema};
use twinscale_protocol::CustomerId;

/// Works with models of application stacks.
#[derive(Debug, Subcommand)]
pub(super) enum StackCommand {
    /// Check a model and name everything that is wrong with it at once.
    Check(CheckArguments),
    /// Draw a model with what its stated load does to each tier, link and volume.
    Show(ShowArguments),
    /// Make a first model from a deployment file, and list what the file does not say.
    Import(ImportArguments),
    /// Print the JSON schema of a model, for editors.
    Schema,
}

/// What to check.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The stack model, a TOML file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// What to draw.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The stack model, a TOML file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to draw it.
    #[arg(long, value_enum, default_value_t = Drawing::Text)]
    format: Drawing,
    /// Where the drawing goes; standard output when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print loads of tiers, links and volumes as JSON.
    #[arg(long, conflicts_with_all = ["format", "out"])]
    json: bool,
}

/// How a stack is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drawing {
    /// For the terminal.
    Text,
    /// A picture for light and dark pages.
    Svg,
    /// For Graphviz.
    Dot,
    /// For Markdown pages.
    Mermaid,
}

/// What to import.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// What kind of file it is.
    #[arg(value_enum)]
    kind: Source,
    /// The file: of Docker Compose, or Kubernetes manifests in one YAML file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The customer whose stack it is.
    #[arg(long, value_name = "NAME")]
    customer: CustomerId,
    /// Where the model goes; standard output when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Kinds of deployment files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Source {
    /// A Docker Compose file.
    Compose,
    /// Kubernetes manifests.
    Kubernetes,
}

pub(super) fn run(command: &StackCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        StackCommand::Check(arguments) => check(arguments, quiet),
        StackCommand::Show(arguments) => show(arguments, quiet),
        StackCommand::Import(arguments) => import(arguments, quiet),
        StackCommand::Schema => Ok(console::print(&model_schema())?),
    }
}

fn check(arguments: &CheckArguments, quiet: bool) -> anyhow::Result<()> {
    let checked = standing::read_stack(&arguments.file, quiet || arguments.json)?;
    let model = &checked.model;
    if arguments.json {
        let warnings: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
        return standing::print_json(&serde_json::json!({
            "customer": model.customer,
            "classes": model.classes.len(),
            "tiers": model.tiers.len(),
            "calls": model.calls.len(),
            "warnings": warnings,
        }));
    }
    let told = format!(
        "{}: {} classes, {} tiers, {} calls, {} links, {} volumes; {} warnings\n",
        model.customer,
        model.classes.len(),
        model.tiers.len(),
        model.calls.len(),
        model.links.len(),
        model.volumes.len(),
        checked.warnings.len(),
    );
    console::print(&told)?;
    Ok(())
}

fn show(arguments: &ShowArguments, quiet: bool) -> anyhow::Result<()> {
    let model = standing::read_stack(&arguments.file, quiet)?.model;
    if arguments.json {
        return standing::print_json(&flow(&model)?);
    }
    let draw: fn(&StackModel) -> Result<String, FlowError> = match arguments.format {
        Drawing::Text => stack_text,
        Drawing::Svg => stack_svg,
        Drawing::Dot => stack_dot,
        Drawing::Mermaid => stack_mermaid,
    };
    give(&draw(&model)?, arguments.out.as_deref())
}

fn give(text: &str, out: Option<&Path>) -> anyhow::Result<()> {
    match out {
        Some(path) => std::fs::write(path, text)
            .map_err(|source| ExpectedError::file("write", path, source))?,
        None => console::print(text)?,
    }
    Ok(())
}

fn import(arguments: &ImportArguments, quiet: bool) -> anyhow::Result<()> {
    let file = &arguments.file;
    let name = file.display().to_string();
    let text = read_text(file)
        .map_err(|error| ExpectedError::input(format!("{name} cannot be imported"), error))?;
    let read: fn(&str, &str, &CustomerId) -> Result<Imported, ImportError> = match arguments.kind {
        Source::Compose => import_compose,
        Source::Kubernetes => import_kubernetes,
    };
    let found = read(&text, &name, &arguments.customer)
        .map_err(|error| ExpectedError::input(format!("{name} cannot be imported"), error))?;
    give(&found.toml, arguments.out.as_deref())?;
    if quiet {
        return Ok(());
    }
    for note in &found.notes {
        console::say(note);
    }
    console::say(&format!(
        "{} things the file does not say:",
        found.gaps.len()
    ));
    for gap in &found.gaps {
        let stated = gap.stated.as_deref().unwrap_or("nothing");
        console::say(&format!("  {} (stated: {stated}): {}", gap.key, gap.hint));
    }
    Ok(())
}
