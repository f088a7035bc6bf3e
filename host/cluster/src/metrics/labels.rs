//! The labels of metrics. None grows with the objects of a cluster: parents and children have no names here.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

macro_rules! labels {
    ($($name:ident { $($label:ident: $type:ty),+ })+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub(crate) struct $name { $(pub(crate) $label: $type,)+ }
        )+
    };
}

/// A handler's name.
pub(crate) type Name = Arc<str>;

labels! {
    OfController { controller: Name }
    OfReconcile { controller: Name, result: &'static str }
    OfQueue { name: Name, controller: Name }
    OfRequest { code: String, method: String }
    OfLease { name: String }
    OfHandler { handler: Name }
    OfCall { handler: Name, outcome: &'static str }
    OfSwap { handler: Name, outcome: &'static str }
    OfWrite { handler: Name, write: &'static str, outcome: &'static str }
    OfModule { handler: Name, digest: String }
    OfCondition { handler: Name, r#type: &'static str, reason: &'static str }
    OfBuild { version: &'static str }
    OfWatches { state: &'static str }
}
