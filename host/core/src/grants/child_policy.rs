use crate::Kind;

/// A kind of children, and how the host treats them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    /// The kind.
    pub kind: Kind,
    /// What becomes of a child when its parent goes.
    pub on_parent_delete: OnParentDelete,
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
