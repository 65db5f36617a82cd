//! The steps of an upgrade, and what must be so after each.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use rustix::process::{Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use twinscale::service::client::{ApiAnswer, ApiClient};
use twinscale_log::MonotonicClock as _;

use super::super::super::deployment::Deployment as _;
use super::verdict::{Notes, Step};
use super::{
    LAG_MAX, NodeProgram, Operator, PATIENCE, Processes, Run, Say, not_ready, of_product, ready,
};
use crate::error::ChaosError;

/// Notes on each twin.
const NOTES_OF_TWIN: u64 = 3;

/// When the first note was written; the same again is kept once.
const FIRST_NOTE_AT: u64 = 1_700_000_000;

/// Pause before a note is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What an upgrade found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) broken: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct SchemaAnswer {
    gate: u32,
    nodes: Vec<SchemaLine>,
}

#[derive(Debug, Deserialize)]
struct SchemaLine {
    name: String,
    newest: u32,
}

#[derive(Debug, Deserialize)]
struct NotesAnswer {
    notes: Vec<NoteAnswer>,
}

#[derive(Debug, Deserialize)]
struct NoteAnswer {
    at: u64,
    text: String,
}

/// An upgrade under way.
pub(super) struct Upgrade<'a, 'b> {
    run: &'a Run<'b>,
    processes: Processes,
    operator: Operator,
    nodes: Vec<ApiClient>,
    first: NodeProgram,
    next: NodeProgram,
    say: Say<'a>,
    found: Found,
    /// Moments of acknowledged notes, by twin.
    written: BTreeMap<String, Vec<u64>>,
}

impl<'a, 'b> Upgrade<'a, 'b> {
    pub(super) fn new(
        run: &'a Run<'b>,
        processes: Processes,
        next: NodeProgram,
        say: Say<'a>,
    ) -> Self {
        let program = run.options.program.clone();
        Self {
            operator: Operator::new(program.clone(), processes.layout().clone()),
            nodes: processes.clients(),
            first: NodeProgram::of_runner(&program),
            next,
            run,
            processes,
            say,
            found: Found::default(),
            written: BTreeMap::new(),
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        (self.say)(text);
    }

    pub(super) fn found(self) -> Found {
        self.found
    }

    /// All steps, in order.
    pub(super) fn carry_out(&mut self) -> Result<(), ChaosError> {
        let last = self.nodes.len().saturating_sub(1);
        let next = self.next.clone();
        self.rest();
        for node in 0..last {
            self.replace(node, &next, "upgraded")?;
            self.rest();
        }
        self.refuses_notes(0)?;
        self.knows_no_notes(last)?;
        self.raise_is_refused(&[last]);
        self.replace(last, &next, "upgraded")?;
        self.refuses_notes(last)?;
        self.rest();

        let first = self.first.clone();
        self.replace(0, &first, "taken back")?;
        self.raise_is_refused(&[0]);
        self.rest();
        self.replace(0, &next, "upgraded again")?;
        self.rest();

        self.raise()?;
        self.write_notes(0)?;
        self.refuses_to_start(last, &first)?;
        self.start(last, "started with the next program again")?;
        self.kill(0)?;
        self.write_notes(1)?;
        // What the new layout stored is read by whoever starts anew.
        for node in 0..=last {
            self.replace(node, &next, "restarted")?;
        }
        self.write_notes(2)
    }

    fn rest(&self) {
        let pause = self.run.options.pace.rest;
        let rest = async { tokio::time::sleep(pause).await };
        self.run.runtime.block_on(rest);
    }

    fn now(&self) -> Duration {
        self.run.clock.elapsed()
    }

    fn name(&self, node: usize) -> String {
        let layout = self.processes.layout();
        let node = layout.nodes.get(node);
        node.map(|node| node.name.clone()).unwrap_or_default()
    }

    fn note(&mut self, what: String, begun: Duration) {
        let took = self.now().saturating_sub(begun);
        self.say(&format!("{what} ({} ms)", took.as_millis()));
        self.found.steps.push(Step {
            what,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
    }

    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            let text = otherwise();
            self.say(&format!("BROKEN: {text}"));
            self.found.broken.push(text);
        }
    }

    /// Ends a node in order and starts it with a program; returns when it serves and lags no more.
    fn replace(
        &mut self,
        node: usize,
        program: &NodeProgram,
        what: &str,
    ) -> Result<(), ChaosError> {
        let begun = self.now();
        self.end(node)?;
        self.processes.set_program(node, program)?;
        self.processes.start(node)?;
        self.serves(node)?;
        let what = format!("{} was {what}", self.name(node));
        self.note(what, begun);
        Ok(())
    }

    fn end(&mut self, node: usize) -> Result<(), ChaosError> {
        if let Some(pid) = self.processes.pid(node) {
            kill_process(pid, Signal::TERM)
                .map_err(|error| ChaosError::io("signal", "a node", error.into()))?;
        }
        self.processes.wait_for_end(node)
    }

    fn start(&mut self, node: usize, what: &str) -> Result<(), ChaosError> {
        let begun = self.now();
        let next = self.next.clone();
        self.processes.set_program(node, &next)?;
        self.processes.start(node)?;
        self.serves(node)?;
        let what = format!("{} was {what}", self.name(node));
        self.note(what, begun);
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<(), ChaosError> {
        self.processes.kill(node)?;
        self.start(node, "killed and started")
    }

    fn serves(&mut self, node: usize) -> Result<(), ChaosError> {
        let begun = self.now();
        let one = self.nodes.get(node..=node).unwrap_or_default();
        let ready = self.run.runtime.block_on(ready(one));
        ready.map_err(|(_, said)| not_ready(&self.processes, (node, said)))?;
        while !self.operator.is_whole(LAG_MAX) {
            if self.now().saturating_sub(begun) > PATIENCE {
                return Err(not_ready(
                    &self.processes,
                    (node, "a replica lags".to_owned()),
                ));
            }
        }
        Ok(())
    }

    fn send_note(
        &self,
        node: usize,
        twin: &str,
        at: u64,
    ) -> Result<Result<ApiAnswer, String>, ChaosError> {
        let client = self.nodes.get(node % self.nodes.len());
        let client = client.ok_or_else(|| ChaosError::NotHere {
            what: format!("node {node}"),
            because: "the cluster has no node".to_owned(),
        })?;
        let body = json!({"at": at, "author": "ada", "text": text_of(twin, at)}).to_string();
        let path = format!("/v1/customers/{twin}/notes");
        let sent = client.send(Method::POST, &path, Bytes::from(body));
        let sent = self.run.runtime.block_on(sent);
        Ok(sent.map_err(|error| error.to_string()))
    }

    /// While the schema is below, a node of the next program refuses the new kind by name, whoever leads.
    fn refuses_notes(&mut self, node: usize) -> Result<(), ChaosError> {
        for twin in &self.run.twins {
            let answer = self.send_note(node, twin, FIRST_NOTE_AT)?;
            let said = shown(&answer);
            let named = answer.is_ok_and(|answer| {
                let body: serde_json::Value =
                    serde_json::from_slice(&answer.body).unwrap_or_default();
                answer.status == StatusCode::CONFLICT
                    && body["error"]["code"] == "feature-not-enabled"
            });
            let name = self.name(node);
            self.expect(named, || {
                format!("{name} does not refuse a note by name below the schema: {said}")
            });
        }
        Ok(())
    }

    /// A node of the first program knows nothing of the new kind.
    fn knows_no_notes(&mut self, node: usize) -> Result<(), ChaosError> {
        let twin = self.run.twins.first().cloned().unwrap_or_default();
        let answer = self.send_note(node, &twin, FIRST_NOTE_AT)?;
        let said = shown(&answer);
        // It may send the request on to a node that refuses it.
        let refused = answer.is_ok_and(|answer| {
            matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT)
        });
        let name = self.name(node);
        self.expect(refused, || format!("{name} does not refuse a note: {said}"));
        Ok(())
    }

    /// Raising the schema is refused with the names of the nodes that lack it.
    fn raise_is_refused(&mut self, lacking: &[usize]) {
        let begun = self.now();
        let output = self.operator.command(&["schema", "raise"]);
        let said = output.as_ref().map_or_else(String::new, |output| {
            String::from_utf8_lossy(&output.stderr).into_owned()
        });
        let refused = output.is_some_and(|output| !output.status.success());
        let lacks = |node: usize| said.contains(&format!("{} (up to 2)", self.name(node)));
        let named = (0..self.nodes.len()).all(|node| lacks(node) == lacking.contains(&node));
        self.expect(refused && named, || {
            format!("raising the schema is not refused by {lacking:?} alone: {said}")
        });
        self.note(
            "raising the schema was refused, with who lacks it".to_owned(),
            begun,
        );
    }

    fn raise(&mut self) -> Result<(), ChaosError> {
        let begun = self.now();
        let before = self.schema();
        let knows = |line: &SchemaLine| line.newest == 3;
        let is_known = before.as_ref().is_some_and(|before| {
            before.gate == 1
                && before.nodes.len() == self.nodes.len()
                && before.nodes.iter().all(knows)
        });
        let known = before.map(|before| {
            let nodes = before.nodes.into_iter();
            nodes.map(|line| line.name).collect::<Vec<_>>()
        });
        self.expect(is_known, || {
            format!("not every node is known to have the next program: {known:?}")
        });
        // Given twice: the second finds it so.
        for _ in 0..2 {
            let output = self.operator.command(&["schema", "raise"]);
            let raised = output
                .as_ref()
                .is_some_and(|output| output.status.success());
            if !raised {
                return Err(ChaosError::Product {
                    reason: format!("the schema cannot be raised: {output:?}"),
                });
            }
        }
        let gate = self.schema().map(|after| after.gate);
        self.expect(gate == Some(3), || format!("the schema is {gate:?}"));
        self.note("the schema was raised".to_owned(), begun);
        Ok(())
    }

    fn schema(&self) -> Option<SchemaAnswer> {
        let output = self.operator.command(&["schema", "show"])?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Writes a note on every twin, through any node, until each is acknowledged.
    fn write_notes(&mut self, round: u64) -> Result<(), ChaosError> {
        let begun = self.now();
        let run = self.run;
        for (place, twin) in run.twins.iter().enumerate() {
            for number in 0..NOTES_OF_TWIN {
                let at = FIRST_NOTE_AT + round * NOTES_OF_TWIN + number;
                let node = place + usize::try_from(number).unwrap_or(0);
                self.write_note(node, twin, at)?;
                self.written.entry(twin.clone()).or_default().push(at);
            }
        }
        self.note("notes were written on all twins".to_owned(), begun);
        Ok(())
    }

    fn write_note(&self, node: usize, twin: &str, at: u64) -> Result<(), ChaosError> {
        let begun = self.now();
        for attempt in 0.. {
            let answer = self.send_note(node + attempt, twin, at)?;
            if matches!(&answer, Ok(answer) if answer.status == StatusCode::OK) {
                break;
            }
            if self.now().saturating_sub(begun) > PATIENCE {
                let reason = format!("a note on {twin} is not taken: {}", shown(&answer));
                return Err(ChaosError::Product { reason });
            }
            let pause = async { tokio::time::sleep(RETRY_PAUSE).await };
            self.run.runtime.block_on(pause);
        }
        Ok(())
    }

    /// The first program does not start on what the next one wrote, and says why.
    fn refuses_to_start(&mut self, node: usize, first: &NodeProgram) -> Result<(), ChaosError> {
        let begun = self.now();
        self.end(node)?;
        self.processes.set_program(node, first)?;
        self.processes.start(node)?;
        let ended = self.processes.wait_for_end(node);
        let words = self.processes.last_words(node);
        let name = self.name(node);
        self.expect(ended.is_ok() && words.contains("schema 3"), || {
            format!("the first program does not refuse what the next one wrote on {name}: {words}")
        });
        let what = format!("the first program refused the directory of {name}");
        self.note(what, begun);
        Ok(())
    }

    /// Reads all notes back, through every node.
    pub(super) fn read_notes(&mut self) -> Result<Notes, ChaosError> {
        let mut found = Notes::default();
        for (twin, written) in &self.written {
            for (place, node) in self.nodes.iter().enumerate() {
                let path = format!("/v1/customers/{twin}/notes");
                let read = node.get::<NotesAnswer>(&path);
                let answer = self.run.runtime.block_on(read).map_err(of_product)?;
                let count = |at: &u64| {
                    let same =
                        |note: &&NoteAnswer| note.at == *at && note.text == text_of(twin, *at);
                    answer.notes.iter().filter(same).count()
                };
                let lost = written.iter().filter(|at| count(at) == 0).count() as u64;
                let doubled = written.iter().filter(|at| count(at) > 1).count() as u64;
                if place == 0 {
                    found.acknowledged += written.len() as u64;
                }
                found.lost += lost;
                found.doubled += doubled;
            }
        }
        Ok(found)
    }
}

fn text_of(twin: &str, at: u64) -> String {
    format!("note {at} on {twin}")
}

fn shown(answer: &Result<ApiAnswer, String>) -> String {
    match answer {
        Ok(answer) => format!(
            "{}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ),
        Err(error) => error.clone(),
    }
}
