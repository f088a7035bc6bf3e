use std::fmt;

use super::meta::Pairs;
use super::names::{is_label_value, is_qualified_name};

/// How many requirements a selector may have, and how many values one of them may name.
const MOST: usize = 100;

/// A label selector, as Kubernetes has it: an object matches if it meets all requirements. Without any it matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector(Vec<Requirement>);

/// What an object's label has to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// How the label of a requirement is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values; an object without the label matches.
    NotIn,
    /// The object has the label.
    Exists,
    /// The object has no such label.
    DoesNotExist,
}

/// Why there is no such selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The key is no name of a label.
    #[error(
        "{0:?} is no label key; use at most 63 letters, digits, `-`, `_` and `.`, with or without a DNS subdomain before it, such as example.com/tier"
    )]
    Key(String),
    /// A value is no value of a label.
    #[error("{0:?} is no label value; use at most 63 letters, digits, `-`, `_` and `.`")]
    Value(String),
    /// The operator does not go with the number of values.
    #[error("the operator {operator} of label {key} has {count} values; {rule}")]
    Values {
        /// The key.
        key: String,
        /// The operator.
        operator: Operator,
        /// How many values it has.
        count: usize,
        /// What is right.
        rule: &'static str,
    },
    /// There are too many requirements.
    #[error("a selector has {0} requirements; {MOST} are the most, so name fewer")]
    Count(usize),
}

impl Requirement {
    /// Checks key and values.
    ///
    /// # Errors
    ///
    /// When no label can be meant.
    pub fn new(
        key: &str,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Self, SelectorError> {
        let mut values: Vec<String> = values.into_iter().take(MOST + 1).collect();
        if !is_qualified_name(key) {
            return Err(SelectorError::Key(key.to_owned()));
        }
        if let Some(value) = values.iter().find(|value| !is_label_value(value)) {
            return Err(SelectorError::Value(value.clone()));
        }
        let rule = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => Some("name at least one"),
            Operator::In | Operator::NotIn if values.len() > MOST => Some("name at most 100"),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Some("name none"),
            Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => None,
        };
        if let Some(rule) = rule {
            return Err(SelectorError::Values {
                key: key.to_owned(),
                operator,
                count: values.len(),
                rule,
            });
        }
        values.sort();
        values.dedup();
        Ok(Self {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    fn is_met_by(&self, labels: &Pairs) -> bool {
        let value = labels.get(&self.key);
        let is_named = || value.is_some_and(|value| self.values.iter().any(|it| it == value));
        match self.operator {
            Operator::In => is_named(),
            Operator::NotIn => !is_named(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl LabelSelector {
    /// A selector of these requirements, in whatever order.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Result<Self, SelectorError> {
        let mut requirements: Vec<_> = requirements.into_iter().take(MOST + 1).collect();
        if requirements.len() > MOST {
            return Err(SelectorError::Count(requirements.len()));
        }
        requirements.sort();
        requirements.dedup();
        Ok(Self(requirements))
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels matches.
    #[must_use]
    pub fn matches(&self, labels: &Pairs) -> bool {
        self.0.iter().all(|it| it.is_met_by(labels))
    }

    /// The bytes of memory that it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let texts = self.0.iter().map(|it| {
            let values = it
                .values
                .iter()
                .map(|value| size_of::<String>() + value.len());
            size_of::<Requirement>() + it.key.len() + values.sum::<usize>()
        });
        texts.sum()
    }

    /// A label of which each object that matches has one of these values; None if there is no such label.
    #[must_use]
    pub fn decisive(&self) -> Option<(&str, &[String])> {
        let mut decisive = self.0.iter().filter(|it| it.operator == Operator::In);
        decisive.next().map(|it| (it.key.as_str(), &*it.values))
    }
}

/// As requests to the API server write it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let Requirement {
                key,
                operator,
                values,
            } = requirement;
            match (operator, values.as_slice()) {
                (Operator::In, [value]) => write!(f, "{key}={value}")?,
                (Operator::NotIn, [value]) => write!(f, "{key}!={value}")?,
                (Operator::In, values) => write!(f, "{key} in ({})", values.join(","))?,
                (Operator::NotIn, values) => write!(f, "{key} notin ({})", values.join(","))?,
                (Operator::Exists, _) => f.write_str(key)?,
                (Operator::DoesNotExist, _) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{Kind, Object};

    fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        let values = values.iter().map(|it| (*it).to_owned());
        Requirement::new(key, operator, values).unwrap()
    }

    #[rstest]
    #[case::no_requirement(&[], "", true)]
    #[case::a_value(&[requirement("tier", Operator::In, &["web"])], "tier=web", true)]
    #[case::another_value(&[requirement("tier", Operator::In, &["db"])], "tier=db", false)]
    #[case::one_of_two(&[requirement("tier", Operator::In, &["web", "db"])], "tier in (db,web)", true)]
    #[case::not_that_value(&[requirement("tier", Operator::NotIn, &["db"])], "tier!=db", true)]
    #[case::none_of_two(&[requirement("tier", Operator::NotIn, &["web", "db"])], "tier notin (db,web)", false)]
    #[case::not_in_of_a_label_that_is_missing(&[requirement("zone", Operator::NotIn, &["a"])], "zone!=a", true)]
    #[case::in_of_a_label_that_is_missing(&[requirement("zone", Operator::In, &["a"])], "zone=a", false)]
    #[case::exists(&[requirement("tier", Operator::Exists, &[])], "tier", true)]
    #[case::exists_not(&[requirement("zone", Operator::Exists, &[])], "zone", false)]
    #[case::does_not_exist(&[requirement("zone", Operator::DoesNotExist, &[])], "!zone", true)]
    #[case::an_empty_value(&[requirement("empty", Operator::In, &[""])], "empty=", true)]
    #[case::all_of_them(
        &[requirement("tier", Operator::In, &["web"]), requirement("a.io/x", Operator::In, &["2"])],
        "a.io/x=2,tier=web",
        false
    )]
    fn a_selector_matches_as_in_kubernetes(
        #[case] requirements: &[Requirement],
        #[case] text: &str,
        #[case] matches: bool,
    ) {
        let object = json!({"metadata": {"name": "a", "labels": {"tier": "web", "a.io/x": "1", "empty": ""}}});
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        let object = Object::parse(&kind, &object.to_string()).unwrap();
        let selector = LabelSelector::new(requirements.to_vec()).unwrap();
        assert_eq!(selector.matches(&object.meta.labels), matches);
        assert_eq!(selector.to_string(), text);
    }

    #[rstest]
    #[case::an_empty_key("", Operator::Exists, &[], "is no label key")]
    #[case::a_key_that_would_end_the_text("a,b", Operator::Exists, &[], "is no label key")]
    #[case::two_slashes("a/b/c", Operator::Exists, &[], "is no label key")]
    #[case::a_value_that_would_end_the_text("a", Operator::In, &["b),c"], "is no label value")]
    #[case::no_value("a", Operator::In, &[], "name at least one")]
    #[case::a_value_too_many("a", Operator::Exists, &["b"], "name none")]
    fn what_no_label_can_have_is_refused(
        #[case] key: &str,
        #[case] operator: Operator,
        #[case] values: &[&str],
        #[case] message: &str,
    ) {
        let values = values.iter().map(|it| (*it).to_owned());
        let error = Requirement::new(key, operator, values).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
