//! Checks and draws stack models, and writes what is generated from their types.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![expect(
    clippy::print_stderr,
    reason = "messages go apart from what is printed"
)]

use std::path::Path;
use std::process::ExitCode;
use twinscale_cluster_config::{ConfigError, read_text};
use twinscale_environment::draw::{stack_dot, stack_mermaid, stack_svg, stack_text};
use twinscale_environment::flow::flow;
use twinscale_environment::import::{import_compose, import_kubernetes};
use twinscale_environment::model::{CheckedModel, model_reference, model_schema, read_model};
use twinscale_protocol::CustomerId;

const USAGE: &str = "\
usage: stack check FILE
       stack show FILE [--svg OUT | --dot | --mermaid | --json]
       stack import compose|kubernetes FILE [--customer NAME]
       stack reference | schema";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["check", file] => {
            let checked = read(file)?;
            println!("{file} is valid: {} warnings", checked.warnings.len());
        }
        ["show", file] => {
            let checked = read(file)?;
            print!("{}", stack_text(&checked.model).map_err(|e| e.to_string())?);
        }
        ["show", file, "--svg", out] => {
            let picture = stack_svg(&read(file)?.model).map_err(|e| e.to_string())?;
            std::fs::write(out, picture).map_err(|error| format!("cannot write {out}: {error}"))?;
        }
        ["show", file, "--dot"] => {
            print!(
                "{}",
                stack_dot(&read(file)?.model).map_err(|e| e.to_string())?
            );
        }
        ["show", file, "--mermaid"] => {
            print!(
                "{}",
                stack_mermaid(&read(file)?.model).map_err(|e| e.to_string())?
            );
        }
        ["show", file, "--json"] => {
            let checked = read(file)?;
            let flow = flow(&checked.model).map_err(|e| e.to_string())?;
            let json = serde_json::json!({ "model": checked.model, "flow": flow });
            println!("{json:#}");
        }
        ["import", format, file] => import(format, file, "imported")?,
        ["import", format, file, "--customer", name] => import(format, file, name)?,
        ["reference"] => print!("{}", model_reference()),
        ["schema"] => print!("{}", model_schema()),
        _ => return Err(USAGE.to_owned()),
    }
    Ok(())
}

fn import(format: &str, file: &str, customer: &str) -> Result<(), String> {
    let import = match format {
        "compose" => import_compose,
        "kubernetes" => import_kubernetes,
        _ => return Err(USAGE.to_owned()),
    };
    let customer = CustomerId::new(customer).map_err(|error| error.to_string())?;
    let text = read_text(Path::new(file)).map_err(|error| error.to_string())?;
    let imported = import(&text, file, &customer).map_err(|error| error.to_string())?;
    for note in &imported.notes {
        eprintln!("note: {note}");
    }
    eprintln!("{} values are not in the file:", imported.gaps.len());
    for gap in &imported.gaps {
        let stated = gap.stated.as_deref().unwrap_or("(absent)");
        eprintln!("  {} = {stated}: {}", gap.key, gap.hint);
    }
    print!("{}", imported.toml);
    Ok(())
}

fn read(file: &str) -> Result<CheckedModel, String> {
    let text = read_text(Path::new(file)).map_err(|error: ConfigError| error.to_string())?;
    let checked = read_model(&text, file).map_err(|error| error.to_string())?;
    for warning in &checked.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(checked)
}
