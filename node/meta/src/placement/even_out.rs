//! The moves that an operator asks for to make the cluster more even.

use super::balance;
use super::candidates::Candidates;
use super::observed::Observed;
use super::step::Step;
use super::view::View;
use crate::state::{MetaState, Outcome};
use crate::stored::v1::{By, MetaCommand, MetaEntry, SCHEMA};

/// Plans moves that make the cluster more even, up to a number of them; none when it is even.
///
/// The planner starts such moves by itself. What an operator adds: nodes to which a move was rolled back
/// lately are tried again at once, and moves that go on already hold none of these up.
pub fn even_out(state: &MetaState, observed: &Observed, moves_max: usize) -> Vec<MetaCommand> {
    let mut after = state.clone();
    after.forgive();
    let mut commands = Vec::new();
    while commands.len() < moves_max {
        let view = View::new(&after, observed);
        let chosen = balance::choose(&view, &Candidates::new(&view));
        let Some(Step::Propose(command)) = chosen else {
            break;
        };
        let entry = MetaEntry {
            schema: SCHEMA,
            by: By::Planner,
            at: observed.now,
            command: command.clone(),
        };
        if !matches!(after.apply(&entry), Outcome::Applied(_)) {
            break;
        }
        commands.push(command);
    }
    commands
}
