use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{FieldTypes, Form, Schema, SchemaIndex};
use crate::Kind;

/// How many schemas of one document are kept. Of `v1`, the largest of Kubernetes itself, about 400 are.
const MOST_SCHEMAS: usize = 50_000;
/// How many schemas may refer to the next one. Those of Kubernetes itself go 9 deep.
const DEEPEST: usize = 200;
const REFERENCE: &str = "#/components/schemas/";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// The field types of all kinds of one group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    schemas: Arc<[Schema]>,
    roots: BTreeMap<RootKind, SchemaIndex>,
}

/// Why a document gives no field types.
#[derive(Debug, thiserror::Error)]
pub enum FieldTypesError {
    /// It is no document of OpenAPI v3.
    #[error("no document of OpenAPI v3 ({0})")]
    Json(#[from] serde_json::Error),
    /// It is too large.
    #[error(
        "too large: it has more than {MOST_SCHEMAS} schemas, or they refer to each other more than {DEEPEST} deep"
    )]
    Large,
}

impl Schemas {
    /// Reads a document of OpenAPI v3, as the API server publishes one for each group and version.
    ///
    /// # Errors
    ///
    /// When the text is no such document, or has too many schemas.
    pub fn parse(text: &[u8]) -> Result<Self, FieldTypesError> {
        let document: Document = serde_json::from_slice(text)?;
        let mut builder = Builder {
            named: &document.components.schemas,
            indices: HashMap::new(),
            schemas: Vec::new(),
            depth: 0,
        };
        let mut roots = BTreeMap::new();
        for (name, schema) in &document.components.schemas {
            if schema.kinds.is_empty() {
                continue;
            }
            if let Some(index) = builder.named(name)? {
                roots.extend(schema.kinds.iter().map(|kind| (kind.clone(), index)));
            }
        }
        Ok(Self {
            schemas: builder.schemas.into(),
            roots,
        })
    }

    /// The field types of a kind; None if the document does not have it.
    #[must_use]
    pub fn of(&self, kind: &Kind) -> Option<FieldTypes> {
        let root = RootKind {
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            kind: kind.kind.clone(),
        };
        let index = *self.roots.get(&root)?;
        Some(FieldTypes(Some((self.schemas.clone(), index))))
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    components: Components,
}

#[derive(Default, Deserialize)]
struct Components {
    #[serde(default)]
    schemas: HashMap<String, WrittenSchema>,
}

/// A schema as it is written in a document.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenSchema {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    /// A reference is written as the only element where it has a default or a description beside it.
    #[serde(rename = "allOf")]
    all_of: Vec<WrittenSchema>,
    #[serde(rename = "anyOf")]
    any_of: Vec<IgnoredAny>,
    #[serde(rename = "oneOf")]
    one_of: Vec<IgnoredAny>,
    #[serde(rename = "type")]
    json_type: Option<String>,
    properties: BTreeMap<Box<str>, WrittenSchema>,
    items: Option<Box<WrittenSchema>>,
    #[serde(rename = "additionalProperties")]
    values: Option<ValuesSchema>,
    nullable: bool,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserves_unknown: bool,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<RootKind>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ValuesSchema {
    Allowed(bool),
    Schema(Box<WrittenSchema>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct RootKind {
    group: String,
    version: String,
    kind: String,
}

/// Collects schemas. They refer to each other, also in circles.
struct Builder<'a> {
    named: &'a HashMap<String, WrittenSchema>,
    indices: HashMap<&'a str, Option<SchemaIndex>>,
    schemas: Vec<Schema>,
    depth: usize,
}

impl<'a> Builder<'a> {
    /// The schema of a name; None if it says nothing of interest.
    fn named(&mut self, name: &'a str) -> Result<Option<SchemaIndex>, FieldTypesError> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        let Some(written) = self.named.get(name) else {
            return Ok(None);
        };
        if name == QUANTITY {
            let index = self.push(Schema {
                form: Form::Quantity,
                ..Schema::default()
            })?;
            self.indices.insert(name, Some(index));
            return Ok(Some(index));
        }
        // The place is taken before its fields are read: they may refer to it.
        let index = self.push(Schema::default())?;
        self.indices.insert(name, Some(index));
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(FieldTypesError::Large);
        }
        let schema = self.schema(written)?;
        self.depth -= 1;
        if let Some(place) = self.schemas.get_mut(index) {
            *place = schema;
        }
        Ok(Some(index))
    }

    /// The schema of a field; None if it says nothing of interest.
    fn field(
        &mut self,
        written: &'a WrittenSchema,
    ) -> Result<Option<SchemaIndex>, FieldTypesError> {
        let only = match written.all_of.as_slice() {
            [only] => only,
            _ => written,
        };
        if let Some(name) = only.reference.as_deref() {
            let index = self.named(name.strip_prefix(REFERENCE).unwrap_or(name))?;
            return match written.map_type {
                None => Ok(index),
                Some(_) => self.overridden(index, written.form()),
            };
        }
        let schema = self.schema(written)?;
        if schema == Schema::default() {
            return Ok(None);
        }
        self.push(schema).map(Some)
    }

    /// The same schema in another form, as a field says it beside a reference.
    fn overridden(
        &mut self,
        index: Option<SchemaIndex>,
        form: Form,
    ) -> Result<Option<SchemaIndex>, FieldTypesError> {
        let schema = index.and_then(|index| self.schemas.get(index));
        let schema = Schema {
            form,
            ..schema.cloned().unwrap_or_default()
        };
        self.push(schema).map(Some)
    }

    fn schema(&mut self, written: &'a WrittenSchema) -> Result<Schema, FieldTypesError> {
        let mut fields = BTreeMap::new();
        for (name, field) in &written.properties {
            if let Some(index) = self.field(field)? {
                fields.insert(name.clone(), index);
            }
        }
        let each = match (&written.items, &written.values) {
            (Some(items), _) => self.field(items)?,
            (None, Some(ValuesSchema::Schema(values))) => self.field(values)?,
            (None, Some(ValuesSchema::Allowed(_)) | None) => None,
        };
        Ok(Schema {
            form: written.form(),
            is_open: written.is_open(),
            is_nullable: written.nullable,
            fields,
            each,
        })
    }

    fn push(&mut self, schema: Schema) -> Result<SchemaIndex, FieldTypesError> {
        let index = self.schemas.len();
        if index >= MOST_SCHEMAS {
            return Err(FieldTypesError::Large);
        }
        self.schemas.push(schema);
        Ok(index)
    }
}

impl WrittenSchema {
    fn form(&self) -> Form {
        match (self.map_type.as_deref(), self.list_type.as_deref()) {
            (Some("atomic"), _) => Form::AtomicMap,
            (_, Some("map" | "set")) => Form::SharedList,
            _ => Form::Usual,
        }
    }

    /// Whether undeclared fields are kept: it is said, or the schema allows any value or any object.
    fn is_open(&self) -> bool {
        let has_no_type =
            self.all_of.is_empty() && self.any_of.is_empty() && self.one_of.is_empty();
        let allows_values = !matches!(
            self.values,
            Some(ValuesSchema::Allowed(false) | ValuesSchema::Schema(_))
        );
        self.preserves_unknown
            || match self.json_type.as_deref() {
                None => has_no_type && self.reference.is_none(),
                Some("object") => self.properties.is_empty() && allows_values,
                Some(_) => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_group_version_and_name() {
        let schemas = Schemas::parse(include_bytes!("things.json")).unwrap();
        let found = |api_version: &str, kind: &str| {
            schemas.of(&Kind::new(api_version, kind).unwrap()).is_some()
        };
        assert!(found("tests.handler-host.dev/v1", "Thing"));
        assert!(!found("tests.handler-host.dev/v2", "Thing"));
        assert!(!found("tests.handler-host.dev/v1", "Other"));
    }

    #[test]
    fn a_document_that_is_none_or_too_large_is_refused() {
        assert!(Schemas::parse(b"[1]").is_err());
        assert_eq!(Schemas::parse(b"{}").unwrap(), Schemas::default());
        let property = |index| format!(r#""{index}":{{"x-kubernetes-map-type":"atomic"}}"#);
        let properties: Vec<_> = (0..=MOST_SCHEMAS).map(property).collect();
        let text = format!(
            r#"{{"components":{{"schemas":{{"A":{{"properties":{{{}}},"x-kubernetes-group-version-kind":[{{"group":"","version":"v1","kind":"A"}}]}}}}}}}}"#,
            properties.join(",")
        );
        assert!(matches!(
            Schemas::parse(text.as_bytes()),
            Err(FieldTypesError::Large)
        ));
    }

    #[test]
    fn a_chain_of_schemas_has_an_end() {
        let link = |index: usize| {
            let next = index + 1;
            format!(
                r##""{index}":{{"properties":{{"a":{{"$ref":"#/components/schemas/{next}"}}}},"x-kubernetes-group-version-kind":[{{"group":"","version":"v1","kind":"A"}}]}}"##
            )
        };
        let of_links = |count| {
            let links: Vec<_> = (0..count).map(link).collect();
            format!(r#"{{"components":{{"schemas":{{{}}}}}}}"#, links.join(","))
        };
        assert!(Schemas::parse(of_links(DEEPEST).as_bytes()).is_ok());
        assert!(Schemas::parse(of_links(100_000).as_bytes()).is_err());
    }
}
