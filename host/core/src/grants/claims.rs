use std::collections::BTreeMap;

use crate::{Kind, ParentStatus, Settings};

/// Which handler writes which condition of which kind of parent. Several handlers may serve a kind, each with a condition of
/// its own. The versions of a kind count as one.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// What each handler has.
    by_handler: BTreeMap<String, Claim>,
}

/// What a handler writes of its parents, which no other handler may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The kind of the parents.
    pub parent: Kind,
    /// The type of the condition; None if nothing is written into their status.
    pub condition: Option<String>,
}

/// A condition of a kind of parent that another handler writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "handler `{holder}` writes the condition {condition} of {parent} already; give this Handler another spec.parent.condition, or delete that one"
)]
pub struct Taken {
    /// The handler that writes it.
    pub holder: String,
    /// The type of the condition.
    pub condition: String,
    /// The kind.
    pub parent: Kind,
}

impl Claim {
    /// What a handler with these settings writes.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let parent = settings.parent.clone();
        let status = settings.parent_status;
        let status = status.unwrap_or_else(|| ParentStatus::default_for(&parent));
        let condition = match status {
            ParentStatus::Conditions => Some(settings.condition.clone()),
            ParentStatus::Nothing => None,
        };
        Self { parent, condition }
    }

    fn excludes(&self, other: &Self) -> bool {
        self.condition.is_some()
            && self.condition == other.condition
            && self.parent.is_same_kind(&other.parent)
    }
}

impl Claims {
    /// Gives a handler what it claims. It gives up what it had.
    ///
    /// # Errors
    ///
    /// When another handler has it. This handler has nothing then.
    pub fn claim(&mut self, handler: &str, claim: Claim) -> Result<(), Taken> {
        self.release(handler);
        let mut others = self.by_handler.iter();
        if let Some((holder, _)) = others.find(|(_, held)| held.excludes(&claim)) {
            return Err(Taken {
                holder: holder.clone(),
                condition: claim.condition.unwrap_or_default(),
                parent: claim.parent,
            });
        }
        self.by_handler.insert(handler.to_owned(), claim);
        Ok(())
    }

    /// Whether the handler has a claim.
    #[must_use]
    pub fn holds(&self, handler: &str) -> bool {
        self.by_handler.contains_key(handler)
    }

    /// Takes what a handler had that is gone.
    pub fn release(&mut self, handler: &str) {
        self.by_handler.remove(handler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(version: &str, kind: &str, condition: Option<&str>) -> Claim {
        Claim {
            parent: Kind::new(&format!("kopf.dev/{version}"), kind).unwrap(),
            condition: condition.map(str::to_owned),
        }
    }

    #[test]
    fn a_condition_of_a_kind_has_one_handler_in_whatever_version() {
        let mut claims = Claims::default();
        let ready = |version| claim(version, "EphemeralVolumeClaim", Some("Ready"));
        claims.claim("a", ready("v1")).unwrap();
        claims.claim("a", ready("v1")).unwrap();
        let taken = claims.claim("b", ready("v2")).unwrap_err();
        assert_eq!(
            (taken.holder.as_str(), taken.condition.as_str()),
            ("a", "Ready")
        );
        claims
            .claim("b", claim("v2", "EphemeralVolumeClaim", Some("Synced")))
            .unwrap();
        claims
            .claim("a", claim("v1", "Other", Some("Ready")))
            .unwrap();
        claims.claim("b", ready("v2")).unwrap();
        assert!(claims.holds("b"));
        claims.release("b");
        assert!(!claims.holds("b"));
        claims.claim("c", ready("v1")).unwrap();
    }

    #[test]
    fn handlers_that_write_no_status_exclude_none() {
        let mut claims = Claims::default();
        for handler in ["a", "b"] {
            claims.claim(handler, claim("v1", "Any", None)).unwrap();
        }
        assert!(claims.holds("a") && claims.holds("b"));
    }
}
