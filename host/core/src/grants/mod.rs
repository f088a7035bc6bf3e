//! What a handler may do: the grant, and the rights in the cluster that serving the handler needs.

mod account;
mod child_policy;
mod claims;
mod grant;
mod parent_status;
mod related;
mod request;
mod rights;
mod selection;

pub use self::account::{Account, AccountError};
pub use self::child_policy::{ChildPolicy, ChildUpdate, OnParentDelete};
pub use self::claims::{Claim, Claims, Taken};
pub use self::grant::{
    ChildGrant, Grant, GrantError, Limits, READY, Scope, finalizer_of, is_handler_name,
};
pub use self::parent_status::{ParentStatus, parents_warning};
pub use self::related::{RelatedGrant, RelatedPlaces, RelatedPolicy, RelatedScope};
pub use self::request::GrantRequest;
pub use self::rights::{Resource, Right, Rule, Verb, rights, rights_in_words, rules};
pub use self::selection::{OnParentUnmatch, ParentSelection};
