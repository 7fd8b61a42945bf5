//! An object's fields in the order it declares them, which is the order that reads well;
//! `serde_json`'s own map would sort them.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// Name and value of each field.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, Value)>);

impl Fields {
    pub(super) fn of(object: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::from_str(&serde_json::to_string(object)?)
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        self.0.iter().find(|(field, _)| field == name).map_or(&Value::Null, |(_, value)| value)
    }

    /// Puts names in place of the ids of organizations and teams, also in the memberships of a person.
    pub(super) fn name(&mut self, names: &HashMap<String, String>) {
        for (field, value) in &mut self.0 {
            if let Value::Array(items) = value {
                items.iter_mut().filter_map(|item| item.get_mut("team_id")).for_each(|id| put(id, names));
            } else if field == "team_id" || field == "org_id" {
                put(value, names);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

fn put(id: &mut Value, names: &HashMap<String, String>) {
    if let Some(name) = id.as_str().and_then(|id| names.get(id)) {
        *id = Value::from(name.as_str());
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(16));
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Fields(fields))
    }
}
