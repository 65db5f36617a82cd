//! The tables of `twinscale policy compare`, as Markdown.

use std::fmt::{self, Write};
use twinscale_policy::bootstrap::Interval;
use twinscale_policy::compare::{Comparison, SuiteComparison};
use twinscale_policy::evaluate::OffPolicyRow;

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

fn ratio(value: Option<Interval>) -> String {
    value.map_or("-".to_owned(), |one| {
        format!("{:.3} ({:.3}..{:.3})", one.point, one.low, one.high)
    })
}

fn percent(value: Option<Interval>) -> String {
    value.map_or("-".to_owned(), |one| {
        let [point, low, high] = [one.point, one.low, one.high].map(|share| 100.0 * share);
        format!("{point:.2} ({low:.2}..{high:.2})")
    })
}

/// Costs at levels and money at prices, suite by suite.
pub(super) fn print(out: &mut impl Write, comparison: &Comparison) -> fmt::Result {
    for suite in &comparison.suites {
        writeln!(
            out,
            "\n### {}: {} traces of {} customers",
            suite.suite, suite.traces, suite.customers
        )?;
        print_levels(out, suite)?;
        print_money(out, suite)?;
    }
    Ok(())
}

fn print_levels(out: &mut impl Write, suite: &SuiteComparison) -> fmt::Result {
    writeln!(
        out,
        "| level | fixed | policy | cost | cost over fixed, 90 % |\n|---|---|---|---|---|"
    )?;
    for row in &suite.levels {
        for cell in &row.candidates {
            writeln!(
                out,
                "| {:?} {} % | {} | {} | {} | {} |",
                row.measure,
                row.level,
                number(row.fixed),
                cell.name,
                number(cell.cost),
                ratio(cell.ratio)
            )?;
        }
    }
    Ok(())
}

fn print_money(out: &mut impl Write, suite: &SuiteComparison) -> fmt::Result {
    writeln!(
        out,
        "\n| price | own setting | best fixed (its price) | hindsight per trace | policy | money | saved of own, % | saved of best fixed, % |\n|---|---|---|---|---|---|---|---|"
    )?;
    for row in &suite.money {
        for cell in &row.candidates {
            writeln!(
                out,
                "| {} | {:.3} | {:.3} ({}) | {:.3} | {} | {:.3} | {} | {} |",
                row.price,
                row.own,
                row.best_fixed,
                row.best_fixed_price,
                row.hindsight,
                cell.name,
                cell.money,
                percent(cell.saved),
                percent(cell.saved_of_best_fixed)
            )?;
        }
    }
    Ok(())
}

/// What a log of other decisions says about a policy.
pub(super) fn print_judged(out: &mut impl Write, name: &str, rows: &[OffPolicyRow]) -> fmt::Result {
    writeln!(
        out,
        "\n### Off policy: `{name}` from decisions logged around the operator's setting\n| suite | price | replay, % saved | doubly robust | importance weights | self-normalised | effective steps | gate |\n|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        let price = row
            .price
            .map_or("all".to_owned(), |price| price.to_string());
        let gate = row.verdict.map_or(String::new(), |one| format!("{one:?}"));
        writeln!(
            out,
            "| {} | {price} | {} | {} | {} | {} | {:.2} % | {gate} |",
            row.suite,
            percent(row.replayed),
            percent(row.doubly_robust),
            percent(row.weighted),
            percent(row.self_normalised),
            100.0 * row.effective
        )?;
    }
    Ok(())
}
