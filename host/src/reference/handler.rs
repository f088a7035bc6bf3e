use std::fmt::Write as _;

use handler_host_cluster::resource::Handler;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::{cell, expect};

#[test]
fn the_reference_of_handlers_is_up_to_date() {
    let mut crd = Handler::crd();
    let version = crd.spec.versions.pop().unwrap();
    let schema = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
    let mut page = "\
# The resource Handler

<!-- Made by `just docs` from the schema that `handler-host crd` prints. -->

"
    .to_owned();
    let about = schema.description.as_deref().unwrap();
    let group = &crd.spec.group;
    let _ = writeln!(page, "{about}\n");
    let _ = writeln!(
        page,
        "Its `apiVersion` is `{group}/{}`, its scope is {}. A file that `handler-host run --handler` reads is checked \
         by the same rules.\n",
        version.name, crd.spec.scope
    );
    write_rules(&mut page, &schema);
    write_columns(&mut page, &version);
    for part in ["spec", "status"] {
        let properties = schema.properties.as_ref().unwrap();
        write_object(&mut page, part, &properties[part]);
    }
    expect("handler.md", &page);
}

fn write_columns(page: &mut String, version: &CustomResourceDefinitionVersion) {
    page.push_str("## Columns of `kubectl get handlers`\n\n| column | shows | with `-o wide` only |\n|---|---|---|\n");
    for column in version.additional_printer_columns.iter().flatten() {
        let is_wide = column.priority.is_some_and(|priority| priority > 0);
        let (name, path) = (column.name.to_uppercase(), cell(&column.json_path));
        let wide = if is_wide { "yes" } else { "" };
        let about = column.description.as_deref().unwrap_or_default();
        let gap = if about.is_empty() { "" } else { ": " };
        let _ = writeln!(page, "| `{name}` | {about}{gap}`{path}` | {wide} |");
    }
}

/// A table of an object's fields, then those of its fields that are objects themselves.
fn write_object(page: &mut String, path: &str, schema: &JSONSchemaProps) {
    let _ = write!(page, "\n## `{path}`\n\n");
    if let Some(about) = &schema.description {
        let _ = write!(page, "{about}\n\n");
    }
    write_rules(page, schema);
    page.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    let fields = schema.properties.iter().flatten();
    for (name, field) in fields.clone() {
        let is_required = schema.required.iter().flatten().any(|it| it == name);
        let default = match (&field.default, is_required) {
            (Some(default), _) => format!("`{}`", bare(&default.0)),
            (None, true) => "required".to_owned(),
            (None, false) => String::new(),
        };
        let about = field.description.as_deref().unwrap_or_default();
        let mut meaning = about.to_owned();
        // Those of an object stand above its own table.
        let rules = messages(field).into_iter();
        for rule in rules.filter(|_| field.properties.is_none()) {
            let _ = write!(meaning, " It {rule}.");
        }
        let (default, meaning) = (cell(&default), cell(&meaning));
        let _ = writeln!(
            page,
            "| `{name}` | {} | {default} | {meaning} |",
            type_of(field)
        );
    }
    for (name, field) in fields {
        let within = match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => items,
            Some(JSONSchemaPropsOrArray::Schemas(_)) | None => field,
        };
        if within.properties.is_some() {
            let mark = if field.items.is_some() { "[]" } else { "" };
            write_object(page, &format!("{path}.{name}{mark}"), within);
        }
    }
}

/// The rules of an object as a whole.
fn write_rules(page: &mut String, schema: &JSONSchemaProps) {
    let rules = messages(schema);
    for rule in &rules {
        let _ = writeln!(page, "- Rule: {rule}.");
    }
    if !rules.is_empty() {
        page.push('\n');
    }
}

/// What the API server says where a rule is broken, as a rule.
fn messages(schema: &JSONSchemaProps) -> Vec<String> {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    let message = |message: &String| message.trim_end_matches('.').to_owned();
    let words = rules.map(|rule| match &rule.message {
        Some(text) => message(text),
        // The message is made of the value; the rule says what may stand there.
        None => format!("must fulfil `{}`", rule.rule),
    });
    words.collect()
}

/// A value as people write it in YAML.
fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let type_ = schema.type_.as_deref().unwrap_or("any");
    if let Some(words) = &schema.enum_ {
        let words: Vec<_> = words
            .iter()
            .map(|word| format!("`{}`", bare(&word.0)))
            .collect();
        return format!("one of {}", words.join(", "));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        let most = schema
            .max_items
            .map_or(String::new(), |most| format!(", at most {most}"));
        return format!("list of {}s{most}", type_of(items));
    }
    let bounds = match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    };
    let length = schema
        .max_length
        .map_or(String::new(), |most| format!(", at most {most} characters"));
    format!("{type_}{bounds}{length}")
}
