//! The two calls, from text to typed values and back. They are the same on WebAssembly and in tests.

use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde_json::Deserializer;
use serde_path_to_error::{Path, Segment};

use crate::{
    Description, Failure, Handler, ObservedObjects, Query, RelatedObjects, Request, Response,
};

pub(crate) fn describe<H: Handler>(config: &str) -> Result<Description, String> {
    parse_config(config).map(|config| H::describe(&config))
}

/// The input of one call of `reconcile` as the host passes it.
#[derive(Debug, Default)]
pub(crate) struct RawRequest {
    pub(crate) parent: String,
    pub(crate) children: Vec<String>,
    pub(crate) related: Vec<Vec<String>>,
    pub(crate) config: String,
    pub(crate) now: Option<SystemTime>,
}

pub(crate) fn related<H: Handler>(parent: &str, config: &str) -> Result<Vec<Query>, Failure> {
    let config = parse_config(config).map_err(Failure::permanent)?;
    let parent = parse_parent(parent).map_err(Failure::permanent)?;
    H::related(&parent, &config)
}

pub(crate) fn reconcile<H: Handler>(request: RawRequest) -> Result<Response, Failure> {
    let RawRequest {
        parent,
        children,
        related,
        config,
        now,
    } = request;
    H::reconcile(Request {
        config: parse_config(&config).map_err(Failure::permanent)?,
        parent: parse_parent(&parent).map_err(Failure::permanent)?,
        children: ObservedObjects::from_texts(children),
        related: RelatedObjects::from_texts(related),
        now,
    })
}

fn parse_config<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    parse(text).map_err(|Mistake { field, rule }| {
        let field = field.map(|path| format!(".{path}")).unwrap_or_default();
        format!("config{field}: {rule}. Correct or remove it in the handler's config.")
    })
}

fn parse_parent<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    parse(text).map_err(|Mistake { field, rule }| {
        let field = field.map(|path| format!("{path}: ")).unwrap_or_default();
        format!("{field}{rule}. Correct it in this object.")
    })
}

/// Why a text does not parse, for a reader who does not see the text itself.
struct Mistake {
    /// The field with the mistake, such as `spec.size`. It is None at the root.
    field: Option<String>,
    /// What is wrong there, and what is right.
    rule: String,
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    // serde would accept a list for a struct, and take its items as the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Mistake {
            field: None,
            rule: format!("must be a JSON object such as {{}}; got `{text}`"),
        });
    }
    serde_path_to_error::deserialize(&mut Deserializer::from_str(text)).map_err(|error| {
        let message = error.inner().to_string();
        // The position is left out, because it is a position in the host's text.
        let rule = match message.rsplit_once(" at line ") {
            Some((rule, _position)) => rule,
            None => &message,
        };
        Mistake {
            field: enclosing_field(error.path(), rule),
            rule: rule.to_owned(),
        }
    })
}

/// The path to the mistake. The rule `unknown field` names the field itself, so for it the path ends
/// at the object that holds the field.
fn enclosing_field(path: &Path, rule: &str) -> Option<String> {
    let mut names: Vec<String> = path
        .iter()
        .filter(|segment| !matches!(segment, Segment::Unknown))
        .map(ToString::to_string)
        .collect();
    if rule.starts_with("unknown field") {
        names.pop();
    }
    (!names.is_empty()).then(|| names.join("."))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct TestConfig {
        #[serde(default)]
        storage_class: String,
        #[serde(default)]
        zones: Vec<Zone>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Zone {
        name: String,
    }

    #[rstest]
    #[case::unknown(
        r#"{"storageclass": "x"}"#,
        "config: unknown field `storageclass`, expected `storageClass` or `zones`. \
         Correct or remove it in the handler's config."
    )]
    #[case::unknown_within(
        r#"{"zones": [{"name": "a"}, {"nane": "b"}]}"#,
        "config.zones.[1]: unknown field `nane`, expected `name`. \
         Correct or remove it in the handler's config."
    )]
    #[case::another_type(
        r#"{"storageClass": 5}"#,
        "config.storageClass: invalid type: integer `5`, expected a string. \
         Correct or remove it in the handler's config."
    )]
    #[case::a_list(
        r#"["fast"]"#,
        "config: must be a JSON object such as {}; got `[\"fast\"]`. \
         Correct or remove it in the handler's config."
    )]
    fn a_config_that_does_not_parse_is_refused_with_field_rule_and_remedy(
        #[case] config: &str,
        #[case] message: &str,
    ) {
        assert_eq!(parse_config::<TestConfig>(config).unwrap_err(), message);
    }

    #[rstest]
    #[case::missing(
        r#"{"zones": [{}]}"#,
        "zones.[0]: missing field `name`. Correct it in this object."
    )]
    #[case::another_type(
        r#"{"zones": "b"}"#,
        "zones: invalid type: string \"b\", expected a sequence. Correct it in this object."
    )]
    fn a_parent_that_does_not_parse_is_told_which_field_is_wrong(
        #[case] parent: &str,
        #[case] message: &str,
    ) {
        assert_eq!(parse_parent::<TestConfig>(parent).unwrap_err(), message);
    }
}
