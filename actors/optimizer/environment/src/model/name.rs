//! How names look in the schema; the rules themselves are those of the ids in the protocol.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// What a name of a tier, class, link, volume, data set or VM type matches.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}$";
/// What a name of a customer or zone matches.
pub(crate) const LOWER_NAME_PATTERN: &str = "^[a-z0-9-]{1,63}$";

/// Stands in for a name in the schema.
#[derive(Debug)]
pub(crate) enum Name {}

/// Stands in for the name of a customer or zone in the schema.
#[derive(Debug)]
pub(crate) enum LowerName {}

impl JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": NAME_PATTERN })
    }
}

impl JsonSchema for LowerName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LowerName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": LOWER_NAME_PATTERN })
    }
}
