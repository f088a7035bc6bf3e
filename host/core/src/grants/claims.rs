use std::collections::BTreeMap;

use crate::Kind;

/// Which handler serves which kind of parent. A parent has one condition `Ready` and one field `status.handler`, so
/// only one handler can serve a kind. The versions of a kind count as one.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    by_parent: BTreeMap<(String, String), String>,
}

/// A kind of parent that another handler serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "handler `{holder}` serves {parent} already; a kind of parent has one handler: delete that Handler, or give this one another parent"
)]
pub struct Taken {
    /// The handler that serves it.
    pub holder: String,
    /// The kind.
    pub parent: Kind,
}

impl Claims {
    /// Gives a kind to a handler, which gives up the kind that it had.
    ///
    /// # Errors
    ///
    /// When another handler has the kind. This handler has none then.
    pub fn claim(&mut self, handler: &str, parent: &Kind) -> Result<(), Taken> {
        self.release(handler);
        let place = (parent.group().to_owned(), parent.kind.clone());
        if let Some(holder) = self.by_parent.get(&place) {
            return Err(Taken {
                holder: holder.clone(),
                parent: parent.clone(),
            });
        }
        self.by_parent.insert(place, handler.to_owned());
        Ok(())
    }

    /// Whether the handler has a kind.
    #[must_use]
    pub fn holds(&self, handler: &str) -> bool {
        self.by_parent.values().any(|holder| holder == handler)
    }

    /// Takes the kind of a handler that is gone.
    pub fn release(&mut self, handler: &str) {
        self.by_parent.retain(|_, holder| holder != handler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_parent_has_one_handler_in_whatever_version() {
        let mut claims = Claims::default();
        let v1 = Kind::new("kopf.dev/v1", "EphemeralVolumeClaim").unwrap();
        let v2 = Kind::new("kopf.dev/v2", "EphemeralVolumeClaim").unwrap();
        let other = Kind::new("kopf.dev/v1", "Other").unwrap();
        claims.claim("a", &v1).unwrap();
        claims.claim("a", &v1).unwrap();
        let taken = claims.claim("b", &v2).unwrap_err();
        assert_eq!(taken.holder, "a");
        claims.claim("a", &other).unwrap();
        claims.claim("b", &v2).unwrap();
        assert!(claims.holds("b"));
        claims.release("b");
        assert!(!claims.holds("b"));
        claims.claim("c", &v1).unwrap();
    }
}
