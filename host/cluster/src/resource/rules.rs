//! The allowed values of fields: as rules of the CRD for the API server, and in Rust for Handlers from files.

use std::time::Duration;

use handler_host_core::whole;
use kube::core::Rule;

use super::duration;
use super::error::SettingsError;

/// The bounds of a text that stands for an amount.
pub(super) struct Bounds {
    field: &'static str,
    least: &'static str,
    most: &'static str,
    example: &'static str,
}

pub(super) const MEMORY: Bounds = Bounds {
    field: "spec.limits.memory",
    least: "1Mi",
    most: "1Gi",
    example: "64Mi",
};
pub(super) const CHILD_SIZE: Bounds = Bounds {
    field: "spec.limits.childSize",
    least: "1Ki",
    most: "1Mi",
    example: "256Ki",
};
pub(super) const STATUS_SIZE: Bounds = Bounds {
    field: "spec.limits.statusSize",
    least: "1Ki",
    most: "1Mi",
    example: "256Ki",
};
pub(super) const RESPONSE_SIZE: Bounds = Bounds {
    field: "spec.limits.responseSize",
    least: "64Ki",
    most: "32Mi",
    example: "4Mi",
};
pub(super) const DEADLINE: Bounds = Bounds {
    field: "spec.limits.deadline",
    least: "10ms",
    most: "60s",
    example: "1s",
};
pub(super) const POLL_INTERVAL: Bounds = Bounds {
    field: "spec.module.pollInterval",
    least: "1s",
    most: "24h",
    example: "1m",
};
pub(super) const RELATED_SIZE: Bounds = Bounds {
    field: "spec.limits.relatedSize",
    least: "1Ki",
    most: "64Mi",
    example: "4Mi",
};
pub(super) const CLOCK: Bounds = Bounds {
    field: "spec.clock",
    least: "1s",
    most: "24h",
    example: "1m",
};
pub(super) const WINDOW: Bounds = Bounds {
    field: "spec.rollout.window",
    least: "1s",
    most: "24h",
    example: "60s",
};

impl Bounds {
    /// For the API server: a duration within the bounds.
    pub(super) fn duration_rule(&self) -> Rule {
        let Self {
            least,
            most,
            example,
            ..
        } = self;
        // The form is checked first, since the error of `duration()` for another form says less.
        let rule = format!(
            "self.matches('^([0-9]+([.][0-9]+)?(h|m|s|ms))+$') && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
        );
        let message = format!("must be a duration of {least} to {most}; write it as {example}");
        Rule::new(rule).message(message.as_str())
    }

    /// For the API server: a whole number of bytes within the bounds.
    pub(super) fn quantity_rule(&self) -> Rule {
        let Self {
            least,
            most,
            example,
            ..
        } = self;
        let rule = format!(
            "isQuantity(self) && quantity(self).isInteger() && quantity(self).compareTo(quantity('{least}')) >= 0 && quantity(self).compareTo(quantity('{most}')) <= 0"
        );
        let message = format!("must be a quantity of {least} to {most}; write it as {example}");
        Rule::new(rule).message(message.as_str())
    }

    /// The duration that a text stands for, within the bounds.
    pub(super) fn duration(&self, value: &str) -> Result<Duration, SettingsError> {
        self.within(value, "duration", duration::parse)
    }

    /// The bytes that a text stands for, within the bounds.
    pub(super) fn bytes(&self, value: &str) -> Result<usize, SettingsError> {
        self.within(value, "quantity", |text| {
            whole(text).and_then(|bytes| usize::try_from(bytes).ok())
        })
    }

    fn within<T: Ord>(
        &self,
        value: &str,
        form: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        let given = read(value);
        let is_within = read(self.least) <= given && given <= read(self.most);
        match given {
            Some(amount) if is_within => Ok(amount),
            Some(_) | None => Err(SettingsError::Amount {
                field: self.field,
                value: value.to_owned(),
                form,
                least: self.least,
                most: self.most,
                example: self.example,
            }),
        }
    }
}

/// `v1` or `group/version`.
pub(super) fn api_version() -> Rule {
    let part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    Rule::new(format!("self.matches('^({part}/)?{part}$')"))
        .message("must be `version` or `group/version`; write v1 or kopf.dev/v1")
}

/// A name that a namespace could have.
pub(super) fn namespace() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be a DNS label; use a-z, 0-9 and `-`, such as team-a")
}

/// A name that a service account could have.
pub(super) fn account() -> Rule {
    let part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    Rule::new(format!("self.matches('^{part}([.]{part})*$')"))
        .message("must be a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc")
}

/// What the API server takes for a kind.
pub(super) fn kind() -> Rule {
    Rule::new("self.matches('^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("must be letters, digits and hyphens; write it as objects do, such as ConfigMap")
}

/// The patterns of texts in nested lists. Rules for each of them would cost the API server too much, by its own estimate.
pub(super) mod pattern {
    /// The key of a label.
    pub(crate) const LABEL_KEY: &str =
        "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
    /// The value of a label.
    pub(crate) const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";
    /// The type of a condition, as of the API conventions.
    pub(crate) const CONDITION: &str =
        "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z]([A-Za-z0-9]{0,61}[A-Za-z0-9])?$";
    /// A namespace, or what stands for all of them.
    pub(crate) const NAMESPACE: &str = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|[*])$";
    /// The name of an object.
    pub(crate) const OBJECT_NAME: &str = "^[-A-Za-z0-9._:]+$";
}

/// A requirement that a label could meet.
pub(super) fn requirement() -> Rule {
    Rule::new(
        "(self.operator == 'In' || self.operator == 'NotIn') == (has(self.values) && size(self.values) > 0)",
    )
    .message("In and NotIn need at least one value, Exists and DoesNotExist none")
}

/// All namespaces, or some.
pub(super) fn namespaces() -> Rule {
    Rule::new("size(self) <= 1 || !self.exists(it, it == '*')")
        .message("must be names of namespaces, or only \"*\" for all of them")
}

pub(super) fn is_namespace(name: &str) -> bool {
    // An account's namespace has the same form.
    handler_host_core::Account::new(name, "any").is_ok()
}

/// Whether a condition could be of this type.
pub(super) fn is_condition(type_: &str) -> bool {
    let (prefix, name) = match type_.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, type_),
    };
    let is_name = name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // An account's name has the form of such a prefix.
    let is_prefix = |prefix| handler_host_core::Account::new("any", prefix).is_ok();
    is_name && prefix.is_none_or(is_prefix)
}

pub(super) fn is_object_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(is_plain)
}

/// A field for children that are made again.
pub(super) fn recreate_only() -> Rule {
    Rule::new("self.update == 'Recreate' || !has(self.maxUnavailable)")
        .message("maxUnavailable is for update: Recreate only; drop it, or write that")
}

/// Secrets are limited, unless somebody writes that they are not.
pub(super) fn all_secrets() -> Rule {
    Rule::new(
        "self.kind != 'Secret' || self.apiVersion.contains('/') || self.allowAll || (has(self.names) && size(self.names) > 0) \
         || (has(self.namespaces) && size(self.namespaces) > 0 && self.namespaces[0] != '*') \
         || (has(self.labelSelector) && ((has(self.labelSelector.matchLabels) && size(self.labelSelector.matchLabels) > 0) \
         || (has(self.labelSelector.matchExpressions) && size(self.labelSelector.matchExpressions) > 0)))",
    )
    .message(ALL_SECRETS)
}

/// What to do about Secrets that nothing limits.
pub(super) const ALL_SECRETS: &str = "shows every Secret; limit them by names, namespaces or a labelSelector, or write allowAll: true";
