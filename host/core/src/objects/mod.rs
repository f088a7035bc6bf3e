//! Kubernetes objects: their kinds, keys, metadata and text, and how two of them differ.

mod applied_fields;
mod change;
mod compare;
mod digest;
mod field_types;
mod key;
mod kind;
mod meta;
mod names;
mod object;
mod parsed_size;
mod quantity;
mod selector;

pub use self::change::{Change, changed_fields};
pub use self::compare::{has_desired_fields, projection};
pub use self::digest::{Digest, DigestError};
pub(crate) use self::field_types::FieldType;
pub use self::field_types::{FieldTypes, FieldTypesError, Schemas};
pub use self::key::Key;
pub use self::kind::{Kind, KindError};
pub use self::meta::{Meta, Owner, Pairs, Writer, version_number};
pub(crate) use self::names::{is_dns_label, is_dns_subdomain, is_qualified_name};
pub use self::object::{OBJECT_MEMORY, Object, ObjectError};
pub(crate) use self::parsed_size::parsed_size;
pub use self::quantity::{canonical, whole};
pub use self::selector::{LabelSelector, Operator, Requirement, SelectorError};
