//! Kubernetes objects: their kinds, keys, metadata and text, and how two of them differ.

mod applied_fields;
mod change;
mod compare;
mod digest;
mod field_types;
mod key;
mod kind;
mod meta;
mod object;
mod parsed_size;
mod quantity;

pub use self::change::{Change, changed_fields};
pub use self::compare::{has_desired_fields, projection};
pub use self::digest::{Digest, DigestError};
pub(crate) use self::field_types::FieldType;
pub use self::field_types::{FieldTypes, FieldTypesError, Schemas};
pub use self::key::Key;
pub(crate) use self::kind::is_dns_subdomain;
pub use self::kind::{Kind, KindError};
pub use self::meta::{Meta, Owner, Pairs, Writer, version_number};
pub use self::object::{OBJECT_MEMORY, Object, ObjectError};
pub(crate) use self::parsed_size::parsed_size;
pub use self::quantity::{canonical, whole};
