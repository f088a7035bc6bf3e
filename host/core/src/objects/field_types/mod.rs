mod document;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::document::{FieldTypesError, Schemas};

/// What the API server's schema says about the fields of one kind, as far as it matters when objects are compared. The
/// default is a kind whose schema is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldTypes(Option<(Arc<[Schema]>, SchemaIndex)>);

/// The place of a schema in a list of them.
pub(crate) type SchemaIndex = usize;

/// One schema. Schemas that say nothing of interest are left out, such as that of a string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    form: Form,
    /// Whether undeclared fields are kept as they are.
    is_open: bool,
    /// Whether null is a value that is kept.
    is_nullable: bool,
    /// The fields of an object.
    fields: BTreeMap<Box<str>, SchemaIndex>,
    /// The elements of a list, or the values of a map.
    each: Option<SchemaIndex>,
}

/// How the API server treats a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// Anything that needs no care.
    #[default]
    Usual,
    /// A quantity, which is written back in its canonical form.
    Quantity,
    /// An object that is set as a whole: all its fields have the same field manager.
    AtomicMap,
    /// A list whose elements have field managers of their own.
    SharedList,
}

/// The type of one field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldType<'a> {
    /// No schema is known.
    Unknown,
    /// The schema says nothing of interest.
    Plain,
    /// The field is within an object of which not all fields are declared.
    Undeclared,
    /// The field has this schema, one of the list.
    Declared(&'a [Schema], &'a Schema),
}

impl FieldTypes {
    /// The type of the whole object.
    pub(crate) fn root(&self) -> FieldType<'_> {
        let Some((schemas, index)) = &self.0 else {
            return FieldType::Unknown;
        };
        FieldType::at(schemas, Some(*index))
    }
}

impl<'a> FieldType<'a> {
    fn at(schemas: &'a [Schema], index: Option<SchemaIndex>) -> Self {
        let schema = index.and_then(|index| schemas.get(index));
        schema.map_or(Self::Plain, |schema| Self::Declared(schemas, schema))
    }

    /// The type of a field of an object, or of a value of a map.
    pub(crate) fn field(self, name: &str) -> Self {
        match self {
            Self::Unknown | Self::Plain | Self::Undeclared => self,
            Self::Declared(schemas, schema) => {
                let index = schema.fields.get(name).copied().or(schema.each);
                if index.is_none() && schema.is_open {
                    return Self::Undeclared;
                }
                Self::at(schemas, index)
            }
        }
    }

    /// The type of the elements of a list.
    pub(crate) fn element(self) -> Self {
        match self {
            Self::Unknown | Self::Plain | Self::Undeclared => self,
            Self::Declared(schemas, schema) => Self::at(schemas, schema.each),
        }
    }

    /// Whether the API server is known to keep a null that is written here. Elsewhere a null is like no field at all.
    pub(crate) fn keeps_null(self) -> bool {
        match self {
            Self::Unknown | Self::Plain => false,
            Self::Undeclared => true,
            Self::Declared(_, schema) => schema.is_nullable || schema.is_open,
        }
    }

    /// Whether the API server is known to drop a null that is written here.
    pub(crate) fn drops_null(self) -> bool {
        !matches!(self, Self::Unknown) && !self.keeps_null()
    }

    pub(crate) fn is_quantity(self) -> bool {
        self.form() == Some(Form::Quantity)
    }

    pub(crate) fn is_atomic_map(self) -> bool {
        self.form() == Some(Form::AtomicMap)
    }

    pub(crate) fn is_shared_list(self) -> bool {
        self.form() == Some(Form::SharedList)
    }

    fn form(self) -> Option<Form> {
        match self {
            Self::Unknown | Self::Plain | Self::Undeclared => None,
            Self::Declared(_, schema) => Some(schema.form),
        }
    }
}
