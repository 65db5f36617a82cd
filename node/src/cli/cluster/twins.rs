//! `twinscale twins`: customers' twins, whichever node drives them.

use super::connect::{ConnectArguments, Connection, odd_answer, refused};
use super::words::{list, moment, or_unknown, print_json};
use crate::cli::table::Table;
use crate::cluster::commands::message::{
    SilentNode, TWINS_MAX, TWINS_READ, TWINS_READ_REPLY, TwinLine, TwinsList, TwinsReply,
    TwinsRequest,
};
use crate::console;
use crate::error::ExpectedError;
use clap::{Args, Subcommand};
use serde::Serialize;
use twinscale_cluster::admin::Asked;
use twinscale_protocol::CustomerId;

/// Shows customers' twins.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TwinsCommand {
    /// List the twins: node, shard, state, plan, last turn.
    Ls(ListArguments),
    /// Show one twin at length.
    Show(ShowArguments),
}

/// Lists twins.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale twins ls
  $ twinscale twins ls --on node-b --limit 20")]
pub(in crate::cli) struct ListArguments {
    /// Only twins that this node drives, by name.
    #[arg(long, value_name = "NODE")]
    on: Option<String>,
    /// Only customers behind this one, in the order of names.
    #[arg(long, value_name = "CUSTOMER")]
    after: Option<CustomerId>,
    /// At most so many; 0 = all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the twins as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows one twin.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// Whose.
    #[arg(value_name = "CUSTOMER")]
    customer: CustomerId,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the twin as JSON, as `GET /v1/customers/NAME` has it.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: &TwinsCommand) -> anyhow::Result<()> {
    match command {
        TwinsCommand::Ls(arguments) => ls(arguments).await,
        TwinsCommand::Show(arguments) => show(arguments).await,
    }
}

async fn ask(connection: &Connection, request: TwinsRequest) -> Result<TwinsReply, ExpectedError> {
    let kinds = (TWINS_READ, TWINS_READ_REPLY);
    let asked = Asked::by_certificate(request);
    let answered = connection.client.ask(kinds, &asked, connection.limit).await;
    answered.map_err(|error| refused(&error, connection.client.identity()))
}

/// Tells of nodes that did not answer.
pub(super) fn say_silent(silent: &[SilentNode]) {
    for one in silent {
        console::say(&format!(
            "warning: node {} did not answer, and what it has is missing: {}",
            one.name, one.reason
        ));
    }
}

async fn ls(arguments: &ListArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let wanted = if arguments.limit == 0 {
        usize::MAX
    } else {
        arguments.limit
    };
    let mut all = TwinsList {
        next_after: arguments.after.clone(),
        ..TwinsList::default()
    };
    loop {
        let left = wanted.saturating_sub(all.twins.len());
        let request = TwinsRequest::List {
            after: all.next_after.take(),
            at_most: u32::try_from(left).unwrap_or(u32::MAX).min(TWINS_MAX),
        };
        let mut page = match ask(&connection, request).await? {
            TwinsReply::List(page) => page,
            other @ TwinsReply::Show { .. } => return Err(odd_answer(&other).into()),
        };
        if let Some(on) = &arguments.on {
            page.twins.retain(|twin| twin.node_name == *on);
        }
        all.twins.extend(page.twins);
        all.next_after = page.next_after;
        all.silent = page.silent;
        if all.next_after.is_none() || all.twins.len() >= wanted {
            break;
        }
    }
    if arguments.json {
        return print_json("twinscale-twins/1", &all);
    }
    console::print(&table(&all.twins))?;
    say_silent(&all.silent);
    if let Some(next) = &all.next_after {
        console::say(&format!(
            "there are more: twinscale twins ls --after {next}"
        ));
    }
    Ok(())
}

fn table(twins: &[TwinLine]) -> String {
    let mut table = Table::new(&[
        "CUSTOMER",
        "NODE",
        "SHARD",
        "STATE",
        "MODE",
        "PLAN",
        "VMS",
        "LAST TURN",
        "TOOK",
        "RESTARTS",
        "NOTE",
    ]);
    for twin in twins {
        table.row(cells(twin));
    }
    table.text()
}

fn cells(twin: &TwinLine) -> Vec<String> {
    let turn = twin.last_turn.as_ref();
    let note = match turn {
        Some(turn) if !turn.failures.is_empty() => turn.failures.join("; "),
        Some(turn) if turn.stale => "no fresh forecast".to_owned(),
        _ => String::new(),
    };
    let vms = match twin.starting {
        0 => twin.serving.to_string(),
        starting => format!("{}+{starting}", twin.serving),
    };
    let at = turn.map(|turn| {
        moment(
            u64::try_from(turn.at)
                .unwrap_or_default()
                .saturating_mul(1_000),
        )
    });
    vec![
        twin.customer.to_string(),
        twin.node_name.clone(),
        twin.shard.to_string(),
        twin.state.clone(),
        or_unknown(twin.mode.clone()),
        or_unknown(twin.plan),
        vms,
        or_unknown(at),
        or_unknown(turn.map(|turn| format!("{} ms", turn.took_ms))),
        twin.restarts.to_string(),
        note,
    ]
}

async fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let customer = arguments.customer.clone();
    let (twin, silent) = match ask(&connection, TwinsRequest::Show { customer }).await? {
        TwinsReply::Show { twin, silent } => (twin, silent),
        other @ TwinsReply::List(_) => return Err(odd_answer(&other).into()),
    };
    let Some(twin) = twin else {
        let names = list(silent.iter().map(|one| &one.name));
        let context = if silent.is_empty() {
            format!("no node drives a twin of customer {}", arguments.customer)
        } else {
            format!(
                "no node that answered drives a twin of customer {}; silent: {names}",
                arguments.customer
            )
        };
        let hint = "`twinscale twins ls` lists the twins; a new leader takes a second to take over";
        return Err(ExpectedError::input_hint(context, hint).into());
    };
    let value: serde_json::Value = serde_json::from_str(&twin.json)?;
    if arguments.json {
        #[derive(Serialize)]
        struct Shown {
            placed: TwinLine,
            twin: serde_json::Value,
        }
        let placed = twin.line;
        return print_json(
            "twinscale-twin/1",
            &Shown {
                placed,
                twin: value,
            },
        );
    }
    let line = &twin.line;
    let head = format!(
        "{} on node {}, shard {}\n",
        line.customer, line.node_name, line.shard
    );
    console::print(&format!("{head}{}", outline(&value, 1)))?;
    Ok(())
}

/// A value as indented lines.
fn outline(value: &serde_json::Value, depth: usize) -> String {
    use serde_json::Value;
    let indent = "  ".repeat(depth);
    let plain = |value: &Value| match value {
        Value::Null => Some("-".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Array(values) if values.is_empty() => Some("none".to_owned()),
        Value::Object(_) | Value::Array(_) => None,
        other => Some(other.to_string()),
    };
    let entry = |name: String, value: &Value| match plain(value) {
        Some(text) => format!("{indent}{name}: {text}\n"),
        None => format!("{indent}{name}:\n{}", outline(value, depth + 1)),
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| entry(name.replace('_', " "), value))
            .collect(),
        Value::Array(values) => (1..)
            .zip(values)
            .map(|(number, value): (u64, _)| entry(number.to_string(), value))
            .collect(),
        other => format!("{indent}{}\n", plain(other).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_outlined() {
        let value = serde_json::json!({
            "mode": "advise", "last_turn": {"took_ms": 3, "failures": []}, "series": [{"metric": "m"}], "plan": null
        });
        let wanted = "  last turn:\n    failures: none\n    took ms: 3\n  mode: advise\n  plan: -\n  \
                      series:\n    1:\n      metric: m\n";
        assert_eq!(outline(&value, 1), wanted);
    }
}
