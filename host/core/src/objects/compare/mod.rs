use serde_json::{Map, Value};

use super::applied_fields::Record;
use super::field_types::{FieldType, FieldTypes};
use super::object::Object;
use super::quantity::canonical;
use crate::{APPLIED_ANNOTATION, Digest};

/// Lists of more elements are compared element by element in their order only, since looking up each of many elements
/// takes long.
const MOST_LOOKED_UP: usize = 1000;

/// Whether every desired field stands in the observed object. `digest` is that of the desired state.
///
/// A desired field stands if it has its value in the object. It stands too if the handler applied it with this desired
/// state, and the API server has recorded no change or removal of it by anybody else: what is different then was made by
/// the API server itself, such as by a default, an admission webhook, or because it drops zero values.
///
/// Fields that are not desired may have any value. Quantities are compared as quantities where the schema says that a
/// field is one, and any other text as text.
#[must_use]
pub fn has_desired_fields(
    desired: &Value,
    digest: Digest,
    types: &FieldTypes,
    observed: &Object,
) -> bool {
    // The text came from the API server and was read once already.
    let Ok(value) = serde_json::from_str::<Value>(observed.text()) else {
        return false;
    };
    let applied = observed.meta.annotations.get(APPLIED_ANNOTATION);
    let is_of_this_state = applied == Some(digest.to_string().as_str());
    let record = observed.applied_fields().filter(|_| is_of_this_state);
    let place = Place {
        field_type: types.root(),
        record: Record::root(record.as_ref()),
    };
    stands(desired, Some(&value), place)
}

/// What is known of a place in an object.
#[derive(Clone, Copy)]
struct Place<'a> {
    field_type: FieldType<'a>,
    record: Record<'a>,
}

impl Place<'_> {
    fn field(self, name: &str) -> Self {
        Self {
            field_type: self.field_type.field(name),
            record: self.record.field(name),
        }
    }

    /// An element of a list of which the record is not known.
    fn element(self) -> Self {
        let record = match self.record {
            Record::Missing => Record::Missing,
            Record::Lost | Record::Kept(_) => Record::Lost,
        };
        Self {
            field_type: self.field_type.element(),
            record,
        }
    }
}

fn stands(desired: &Value, observed: Option<&Value>, place: Place<'_>) -> bool {
    match desired {
        // The API server drops nulls in most places, or fills in a default.
        Value::Null => {
            observed.is_none_or(Value::is_null)
                || place.record.is_whole()
                || !place.field_type.keeps_null()
        }
        Value::Object(fields) => object_stands(fields, observed, place),
        Value::Array(elements) => list_stands(elements, observed, place),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            place.record.is_whole()
                || observed.is_some_and(|observed| {
                    is_same(desired, observed, place.field_type.is_quantity())
                })
        }
    }
}

fn object_stands(desired: &Map<String, Value>, observed: Option<&Value>, place: Place<'_>) -> bool {
    if place.field_type.is_atomic_map() && place.record.is_whole() {
        return true;
    }
    let observed = match observed {
        // The API server drops empty objects in many places. One that was recorded and is no more was replaced, such as
        // `emptyDir: {}` by another source of a volume.
        None if desired.is_empty() => return !place.record.is_lost(),
        None => None,
        Some(Value::Object(observed)) => Some(observed),
        Some(_) => return false,
    };
    desired.iter().all(|(name, field)| {
        let observed = observed.and_then(|observed| observed.get(name));
        stands(field, observed, place.field(name))
    })
}

fn list_stands(desired: &[Value], observed: Option<&Value>, place: Place<'_>) -> bool {
    let is_shared = place.field_type.is_shared_list();
    // The record of a shared list has a record of each element.
    if place.record.is_whole() && !is_shared {
        return true;
    }
    let observed: &[Value] = match observed {
        None => &[],
        Some(Value::Array(observed)) => observed,
        Some(_) => return false,
    };
    if desired.is_empty() {
        // An empty list asks for no element of a list that others may add to.
        return observed.is_empty() || is_shared;
    }
    let is_same_in_order = desired.len() == observed.len()
        && desired
            .iter()
            .zip(observed)
            .all(|(desired, observed)| stands(desired, Some(observed), place.element()));
    is_same_in_order || has_desired_elements(desired, observed, place)
}

/// Whether each desired element of a shared list stands, found in the record by its keys or, in a set, by its value. Others
/// may have added elements.
fn has_desired_elements(desired: &[Value], observed: &[Value], place: Place<'_>) -> bool {
    if desired.len().max(observed.len()) > MOST_LOOKED_UP {
        return false;
    }
    let records = place.record.keyed_elements();
    desired.iter().all(|element| {
        if !element.is_object() {
            return place.record.set_element(element).is_whole();
        }
        let Some((keys, record)) = record_of(element, desired, &records) else {
            return false;
        };
        let within = Place {
            field_type: place.field_type.element(),
            record,
        };
        let mut found = observed.iter().filter(|observed| has_keys(observed, keys));
        stands(element, found.next(), within)
    })
}

/// The record of an element of a list, and its keys. The element may leave out a key that has a default, such as the protocol
/// of a port; then it is the one that no other element names. None if more than one could be meant.
fn record_of<'a>(
    element: &Value,
    all: &[Value],
    records: &'a [(Map<String, Value>, Record<'a>)],
) -> Option<(&'a Map<String, Value>, Record<'a>)> {
    let contradicts =
        |(name, key): (&String, &Value)| element.get(name).is_some_and(|it| it != key);
    let mut of_this = records.iter().filter(|(keys, _)| {
        !keys.iter().any(contradicts)
            && (has_keys(element, keys) || !all.iter().any(|other| has_keys(other, keys)))
    });
    let (keys, record) = of_this.next()?;
    of_this.next().is_none().then_some((keys, *record))
}

fn has_keys(element: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter()
        .all(|(name, key)| element.get(name) == Some(key))
}

fn is_same(desired: &Value, observed: &Value, is_quantity: bool) -> bool {
    match (desired, observed) {
        (Value::Number(desired), Value::Number(observed)) => {
            desired == observed || desired.as_f64() == observed.as_f64()
        }
        (Value::String(desired), Value::String(observed)) => {
            desired == observed || (is_quantity && canonical(desired).as_ref() == Some(observed))
        }
        (Value::Number(desired), Value::String(observed)) => {
            is_quantity && canonical(&desired.to_string()).as_ref() == Some(observed)
        }
        _ => desired == observed,
    }
}

/// The observed values of the desired fields: what the API server made of what was applied.
#[must_use]
pub fn projection(desired: &Value, observed: &Value) -> Value {
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => {
            let project = |(name, field): (&String, &Value)| {
                let observed = observed.get(name).unwrap_or(&Value::Null);
                (name.clone(), projection(field, observed))
            };
            Value::Object(desired.iter().map(project).collect::<Map<_, _>>())
        }
        (_, observed) => observed.clone(),
    }
}

#[cfg(test)]
mod tests;
