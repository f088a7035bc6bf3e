//! The labels of metrics. None of them names a parent or a child, so that series do not grow with the cluster.

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
pub(crate) type HandlerName = Arc<str>;

labels! {
    OfController { controller: HandlerName }
    OfReconcile { controller: HandlerName, result: &'static str }
    OfQueue { name: HandlerName, controller: HandlerName }
    OfRequest { code: String, method: String }
    OfLease { name: String }
    OfHandler { handler: HandlerName }
    OfSkip { handler: HandlerName, reason: &'static str }
    OfCall { handler: HandlerName, outcome: &'static str }
    OfSwap { handler: HandlerName, outcome: &'static str }
    OfWrite { handler: HandlerName, write: &'static str, outcome: &'static str }
    OfModule { handler: HandlerName, digest: String }
    OfCondition { handler: HandlerName, r#type: &'static str, reason: &'static str }
    OfBuild { version: &'static str }
    OfWatches { state: &'static str }
}
