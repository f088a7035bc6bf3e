//! Several hosts of which one writes: the leader election by a Lease, and the fence that keeps the others from
//! writing.

mod election;
mod fence;

pub use self::election::{Election, LeaseName};
pub use self::fence::{Fence, Fenced, FencedService};
