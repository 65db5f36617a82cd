//! The schema of a model file, derived from the types: the one registry of keys, kinds, ranges and meanings.

use crate::model::StackModel;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// A schema of one value.
pub(crate) type Node = Map<String, Value>;

static INLINE: LazyLock<Value> = LazyLock::new(|| {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<StackModel>()
        .to_value()
});

/// Writes the JSON schema of a model file.
#[must_use]
pub fn model_schema() -> String {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<StackModel>();
    let mut text = format!("{:#}", schema.to_value());
    text.push('\n');
    text
}

/// Reads the schema with nothing by reference, so that it can be walked.
pub(crate) fn root() -> &'static Node {
    node(&INLINE)
}

/// Reads a part of the schema; what is no object has no rules.
pub(crate) fn node(value: &'static Value) -> &'static Node {
    static NO_RULES: LazyLock<Node> = LazyLock::new(Node::new);
    value.as_object().unwrap_or(&NO_RULES)
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A table of the known keys.
    Table,
    /// A table of names that the author chooses, each with a value of this shape.
    Names {
        pattern: &'static str,
        entry: &'static Node,
    },
    /// A table whose key of this name says which of the alternatives it is.
    Tagged {
        tag: &'static str,
        alternatives: &'static [Value],
    },
    /// A list.
    List { item: &'static Node },
    /// One of some words.
    Word { alternatives: &'static [Value] },
    /// A name.
    Name { pattern: &'static str },
    /// A whole number.
    Whole { min: f64, max: f64 },
    /// A number.
    Number { min: f64, max: f64 },
    /// `true` or `false`.
    Flag,
}

/// Says what a value must be.
pub(crate) fn shape(schema: &'static Node) -> Shape {
    if let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) {
        return match alternatives.first().map(node).and_then(tag_of) {
            Some(tag) => Shape::Tagged { tag, alternatives },
            None => Shape::Word { alternatives },
        };
    }
    match kind(schema) {
        "object" => match schema.get("patternProperties").and_then(Value::as_object) {
            Some(names) => names
                .iter()
                .next()
                .map_or(Shape::Table, |(pattern, entry)| Shape::Names {
                    pattern,
                    entry: node(entry),
                }),
            None => Shape::Table,
        },
        "array" => Shape::List {
            item: schema.get("items").map(node).unwrap_or_else(root),
        },
        "integer" => Shape::Whole {
            min: limit(schema, "minimum").unwrap_or(0.0),
            max: limit(schema, "maximum").unwrap_or(f64::from(u32::MAX)),
        },
        "number" => Shape::Number {
            min: limit(schema, "minimum").unwrap_or(f64::MIN),
            max: limit(schema, "maximum").unwrap_or(f64::MAX),
        },
        "boolean" => Shape::Flag,
        _ => Shape::Name {
            pattern: text(schema, "pattern").unwrap_or_default(),
        },
    }
}

/// Reads the keys that a table may have, each with its schema.
pub(crate) fn properties(
    schema: &'static Node,
) -> impl Iterator<Item = (&'static str, &'static Node)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), node(value)))
}

/// Reads the keys that a table must have.
pub(crate) fn required(schema: &'static Node) -> impl Iterator<Item = &'static str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Reads the alternative of a tagged table or the meaning of a word.
pub(crate) fn alternative(
    alternatives: &'static [Value],
    tag: Option<&str>,
    word: &str,
) -> Option<&'static Node> {
    alternatives.iter().map(node).find(|schema| {
        let constant = match tag {
            Some(tag) => schema.get("properties").and_then(|keys| keys.get(tag)),
            None => None,
        };
        let constant = constant.map_or_else(|| schema.get("const"), |key| key.get("const"));
        constant.and_then(Value::as_str) == Some(word)
    })
}

/// Lists the words of alternatives.
pub(crate) fn words(alternatives: &'static [Value], tag: Option<&str>) -> Vec<&'static str> {
    alternatives
        .iter()
        .filter_map(|schema| match tag {
            Some(tag) => schema.get("properties")?.get(tag)?.get("const")?.as_str(),
            None => schema.get("const")?.as_str(),
        })
        .collect()
}

/// Reads the example of a value.
pub(crate) fn example(schema: &'static Node) -> Option<&'static Value> {
    schema.get("examples")?.as_array()?.first()
}

/// Reads a text of a schema.
pub(crate) fn text(schema: &'static Node, key: &str) -> Option<&'static str> {
    schema.get(key).and_then(Value::as_str)
}

/// Reads a limit of a schema.
pub(crate) fn limit(schema: &'static Node, key: &str) -> Option<f64> {
    schema.get(key).and_then(Value::as_f64)
}

/// Says in words what a value must be.
pub(crate) fn describe(schema: &'static Node) -> String {
    match shape(schema) {
        Shape::Table | Shape::Names { .. } => "a table".to_owned(),
        Shape::Tagged { tag, alternatives } => format!(
            "a table with {tag} = \"{}\"",
            words(alternatives, Some(tag)).join("\" or \"")
        ),
        Shape::List { item } => format!("a list, each entry {}", describe(item)),
        Shape::Word { alternatives } => {
            format!("one of \"{}\"", words(alternatives, None).join("\", \""))
        }
        Shape::Name { pattern } if pattern == crate::model::name::LOWER_NAME_PATTERN => {
            "a name: 1 to 63 of a-z, 0-9 and -".to_owned()
        }
        Shape::Name { .. } => {
            "a name: 1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .".to_owned()
        }
        Shape::Whole { min, max } => format!("a whole number from {min} to {max}"),
        Shape::Number { min, max } => format!("a number from {min} to {max}"),
        Shape::Flag => "true or false".to_owned(),
    }
}

/// The kind of a value; of an optional one, what it is when it is there.
fn kind(schema: &'static Node) -> &'static str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or_default(),
        _ => "",
    }
}

/// The key that all alternatives of a tagged table have with a constant.
fn tag_of(alternative: &'static Node) -> Option<&'static str> {
    properties(alternative)
        .find(|(_, schema)| schema.contains_key("const"))
        .map(|(name, _)| name)
}
