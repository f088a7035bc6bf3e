use crate::{
    Grant, HAND_OVER_ANNOTATION, HANDLER_LABEL, Kind, Object, PARENT_UID_LABEL, Scope,
    UNOWNED_ANNOTATION,
};

/// What an object of a granted kind is to a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It is the parent's child: it is kept as desired, and deleted when it is not desired.
    Child,
    /// It is written if it is desired, and becomes a child by that. It is never deleted.
    Adoptable(Adoption),
    /// It is never written or deleted.
    Foreign(Foreign),
}

/// Why an object that is no child may become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It has the parent's labels or owner reference, and lost what makes it a child.
    Own,
    /// It is the child of a parent that lives no more, such as one that was restored from a backup.
    Orphan,
    /// Its owner hands it over, by the annotation or by an owner reference to the parent.
    HandedOver,
}

/// Why an object is foreign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Another object is its controller.
    Controlled {
        /// The kind of that object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It stands in a namespace where the parent has no children.
    Elsewhere,
    /// It is the child of another handler, or of another parent of this one.
    OfAnother {
        /// The handler.
        handler: String,
    },
    /// Nothing says whose it is.
    Unlabelled,
}

/// A parent, which may own objects of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The parent.
    pub parent: &'a Object,
    /// What its handler is granted.
    pub grant: &'a Grant,
}

impl Claimant<'_> {
    /// What an object is to the parent.
    ///
    /// An object is a child if the parent is its controller. Labels count only where no owner reference may stand, for
    /// children that outlive their parent or are made while it is being deleted in the foreground, and only if this
    /// handler applied the object: a copy has the labels too. An object that another object controls is never a child.
    ///
    /// `is_living` says whether a parent with a uid exists.
    #[must_use]
    pub fn ownership(
        &self,
        kind: &Kind,
        object: &Object,
        is_living: impl Fn(&str) -> bool,
    ) -> Ownership {
        let (parent, handler) = (&self.parent.meta, self.grant.handler.as_str());
        let is_own_namespace = match self.grant.parent_scope {
            Scope::Namespaced => object.meta.namespace == parent.namespace,
            Scope::Cluster => true,
        };
        if !is_own_namespace {
            return Ownership::Foreign(Foreign::Elsewhere);
        }
        let is_applied = object.meta.is_applied_by(&self.grant.field_manager());
        let labels = &object.meta.labels;
        let label = labels.get(HANDLER_LABEL);
        let applier = label.map(|label| format!("{}/{label}", crate::HOST));
        let is_of_other_handler = label.is_some_and(|label| label != handler)
            && applier.is_some_and(|applier| object.meta.is_applied_by(&applier));
        match object.meta.controller() {
            Some(owner) if owner.uid != parent.uid => {
                return Ownership::Foreign(Foreign::Controlled {
                    kind: owner.kind.to_string(),
                    name: owner.name.to_string(),
                });
            }
            // A label that was edited by hand is restored, but two handlers do not take from each other.
            Some(_) if !is_of_other_handler => {
                return match self.grant.parent_scope {
                    Scope::Namespaced => Ownership::Child,
                    // Such a parent may own objects in every namespace, also copies that others made there.
                    Scope::Cluster if is_applied => Ownership::Child,
                    Scope::Cluster => Ownership::Adoptable(Adoption::Own),
                };
            }
            Some(_) | None => {}
        }
        let named_parent = labels.get(PARENT_UID_LABEL);
        let is_named = named_parent == Some(parent.uid.as_str());
        if label == Some(handler) {
            // Also when the garbage collector is done with the parent, and only the handler holds it.
            let is_clean_up = self.parent.is_deleting()
                && object.meta.annotations.get(UNOWNED_ANNOTATION).is_some();
            let is_unowned = self.grant.keeps(kind) || is_clean_up;
            if is_named && is_applied && is_unowned {
                return Ownership::Child;
            }
            if is_named {
                return Ownership::Adoptable(Adoption::Own);
            }
            if named_parent.is_some_and(|uid| !is_living(uid)) {
                return Ownership::Adoptable(Adoption::Orphan);
            }
        }
        let mut owners = object.meta.owners.iter();
        let is_given = owners.any(|it| it.uid == parent.uid && it.controller != Some(true));
        if is_given || object.meta.annotations.get(HAND_OVER_ANNOTATION) == Some(handler) {
            return Ownership::Adoptable(Adoption::HandedOver);
        }
        Ownership::Foreign(match label {
            Some(label) => Foreign::OfAnother {
                handler: label.to_owned(),
            },
            None => Foreign::Unlabelled,
        })
    }

    /// Whether an object is the parent's child.
    #[must_use]
    pub fn owns(&self, kind: &Kind, object: &Object) -> bool {
        // Whether another parent lives decides only about objects that are no children.
        self.ownership(kind, object, |_| true) == Ownership::Child
    }
}

#[cfg(test)]
mod tests;
