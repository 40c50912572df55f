//! A JSON schema of the configuration, for editors.

use serde_json::{Map, Value, json};

use super::{Default, Kind, Table};

/// The schema, as text that ends with a line.
#[must_use]
pub fn schema() -> String {
    let mut schema = table(Table::File);
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
        object.insert("title".into(), json!("Configuration of xdhcpd"));
    }
    format!("{schema:#}\n")
}

fn table(table: Table) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in table.keys() {
        let mut value = kind(key.kind);
        if let Some(object) = value.as_object_mut() {
            object.insert("description".into(), json!(key.what));
        }
        properties.insert(key.name.into(), value);
        if matches!(key.default, Default::Required) {
            required.push(key.name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn kind(of: Kind) -> Value {
    match of {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(least, u64::MAX) => json!({ "type": "integer", "minimum": least }),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Duration | Kind::Text => json!({ "type": "string" }),
        Kind::Address => json!({ "type": "string", "format": "ipv4" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::ChoiceOrBoolean(words) => json!({ "anyOf": [{ "type": "boolean" }, { "enum": words }] }),
        Kind::OneOrMore(one) => json!({ "anyOf": [kind(*one), { "type": "array", "items": kind(*one) }] }),
        Kind::List(one) => json!({ "type": "array", "items": kind(*one) }),
        Kind::TableOr(other, words) => json!({ "anyOf": [{ "enum": words }, table(other)] }),
        Kind::Table(other) => table(other),
        Kind::Tables(other) => json!({ "type": "array", "items": table(other) }),
        Kind::TextsOrTables(other) => {
            json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, table(other)] } })
        }
        Kind::Options => json!({ "type": "object" }),
    }
}
