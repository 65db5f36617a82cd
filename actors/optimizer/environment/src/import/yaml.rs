//! YAML as a tree with line numbers, within bounds.

use crate::import::error::ImportError;
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Largest text that is read; the manifests of a large shop have a tenth of it.
pub(crate) const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most nodes of all documents, each alias counted as what it stands for: an alias of aliases grows without end.
pub(crate) const NODES_MAX: usize = 200_000;
/// Deepest nesting; a manifest has 15 levels.
pub(crate) const DEPTH_MAX: usize = 64;

/// A value with the place where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// Nodes of it and below it.
    size: usize,
    /// Levels of it and below it.
    height: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A text, number or flag as written; `None` = nothing.
    Scalar(Option<String>),
    List(Vec<Node>),
    /// Entries in the order of the file.
    Table(Vec<(String, Node)>),
}

impl Node {
    fn new(line: usize, kind: Kind) -> Self {
        let (size, height) = match &kind {
            Kind::Scalar(_) => (0, 0),
            Kind::List(entries) => measure(entries.iter()),
            Kind::Table(entries) => measure(entries.iter().map(|(_, node)| node)),
        };
        Self {
            line,
            kind,
            size: size + 1,
            height: height + 1,
        }
    }

    /// Reads an entry of a table; of several with one name the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Table(entries) => {
                let mut entries = entries.iter().rev();
                entries.find(|(name, _)| name == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Reads an entry of tables within tables.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Reads a text, number or flag as written.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => text.as_deref(),
            _ => None,
        }
    }

    /// Reads the text of an entry within tables.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Self::text)
    }

    /// Reads the entries of a list; anything else has none.
    pub(crate) fn list(&self) -> &[Self] {
        match &self.kind {
            Kind::List(entries) => entries,
            _ => &[],
        }
    }

    /// Reads the entries of a list within tables.
    pub(crate) fn list_at(&self, path: &[&str]) -> &[Self] {
        self.at(path).map_or(&[], Self::list)
    }

    /// Reads the entries of a table; anything else has none.
    pub(crate) fn table(&self) -> &[(String, Self)] {
        match &self.kind {
            Kind::Table(entries) => entries,
            _ => &[],
        }
    }

    /// Says in a few words what stands here.
    pub(crate) fn shown(&self) -> String {
        match &self.kind {
            Kind::Scalar(None) => "nothing".to_owned(),
            Kind::Scalar(Some(text)) => {
                let start: String = text.chars().take(40).collect();
                format!("{start:?}")
            }
            Kind::List(entries) => format!("a list of {}", entries.len()),
            Kind::Table(entries) => format!("a table of {}", entries.len()),
        }
    }

    /// Refuses the value.
    pub(crate) fn wrong(&self, file: &str, path: &str, wanted: &'static str) -> ImportError {
        ImportError::Wrong {
            file: file.to_owned(),
            line: self.line,
            path: path.to_owned(),
            found: self.shown(),
            wanted,
        }
    }
}

fn measure<'a>(nodes: impl Iterator<Item = &'a Node>) -> (usize, usize) {
    nodes.fold((0, 0), |(size, height), node| {
        (size + node.size, height.max(node.height))
    })
}

/// Reads the documents of a YAML text.
///
/// # Errors
/// [`ImportError::Syntax`] with the line, [`ImportError::TooMuch`] beyond a bound.
pub(crate) fn documents(text: &str, file: &str) -> Result<Vec<Node>, ImportError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_much(file, 1, TEXT_BYTES_MAX, "bytes"));
    }
    let mut loader = Loader {
        file,
        documents: Vec::new(),
        open: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| ImportError::Syntax {
            file: file.to_owned(),
            line: error.marker().line(),
            message: error.info().to_owned(),
        })?;
        loader.take(event, span.start.line())?;
    }
    Ok(loader.documents)
}

/// A list or table whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    nodes: Vec<Node>,
    is_table: bool,
}

struct Loader<'a> {
    file: &'a str,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl Loader<'_> {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), ImportError> {
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_nothing = is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let text = (!is_nothing).then(|| text.into_owned());
                self.put(Node::new(line, Kind::Scalar(text)), anchor)
            }
            Event::Alias(anchor) => {
                // One that stands within what it names is not there yet: YAML allows it, a deployment has none.
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(ImportError::Syntax {
                        file: self.file.to_owned(),
                        line,
                        message: "an alias names no earlier anchor".to_owned(),
                    });
                };
                self.count(node.size, line)?;
                self.put(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.start(line, anchor, false),
            Event::MappingStart(anchor, _) => self.start(line, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn start(&mut self, line: usize, anchor: usize, is_table: bool) -> Result<(), ImportError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_much(self.file, line, DEPTH_MAX, "levels"));
        }
        self.open.push(Open {
            line,
            anchor,
            nodes: Vec::new(),
            is_table,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ImportError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = if open.is_table {
            Kind::Table(self.entries(open.nodes)?)
        } else {
            Kind::List(open.nodes)
        };
        self.put(Node::new(open.line, kind), open.anchor)
    }

    /// Pairs keys with values; what `<<` names comes before, so that the table's own entries win.
    fn entries(&mut self, nodes: Vec<Node>) -> Result<Vec<(String, Node)>, ImportError> {
        let mut merged = Vec::new();
        let mut own = Vec::new();
        let mut nodes = nodes.into_iter();
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            match key.text() {
                Some("<<") => {
                    let tables = match &value.kind {
                        Kind::List(tables) => tables.as_slice(),
                        _ => std::slice::from_ref(&value),
                    };
                    // The first of several wins, and later entries win over earlier ones.
                    for table in tables.iter().rev() {
                        self.count(table.size, table.line)?;
                        merged.extend_from_slice(table.table());
                    }
                }
                Some(name) => own.push((name.to_owned(), value)),
                None => return Err(key.wrong(self.file, "a key", "a text")),
            }
        }
        merged.append(&mut own);
        Ok(merged)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), ImportError> {
        if self.open.len() + node.height > DEPTH_MAX {
            return Err(too_much(self.file, node.line, DEPTH_MAX, "levels"));
        }
        self.count(1, node.line)?;
        if anchor > 0 {
            self.count(node.size, node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), ImportError> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(too_much(self.file, line, NODES_MAX, "values"));
        }
        Ok(())
    }
}

fn too_much(file: &str, line: usize, limit: usize, what: &'static str) -> ImportError {
    ImportError::TooMuch {
        file: file.to_owned(),
        line,
        limit,
        what,
    }
}
