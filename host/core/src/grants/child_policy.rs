use crate::Kind;

/// A kind of children, and how the host treats them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    /// The kind.
    pub kind: Kind,
    /// What becomes of a child when its parent goes.
    pub on_parent_delete: OnParentDelete,
    /// What becomes of a child when the handler desires it otherwise.
    pub update: ChildUpdate,
}

/// What becomes of a child when its parent goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnParentDelete {
    /// The garbage collector deletes it, by owner reference.
    #[default]
    Delete,
    /// It stays: no owner reference is set.
    Orphan,
}

/// What becomes of a child when the handler desires it otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChildUpdate {
    /// It is changed.
    #[default]
    InPlace,
    /// It is deleted, and made again when it is gone.
    Recreate {
        /// How many children of the kind may be missing at a time for that, of one parent.
        max_unavailable: usize,
    },
    /// It stays as it was made.
    Never,
}

impl ChildPolicy {
    /// A kind whose children are changed in place.
    #[must_use]
    pub fn new(kind: Kind, on_parent_delete: OnParentDelete) -> Self {
        Self {
            kind,
            on_parent_delete,
            update: ChildUpdate::InPlace,
        }
    }
}
