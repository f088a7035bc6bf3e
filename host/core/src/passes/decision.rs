use serde_json::{Map, Value};

use super::check::{Denied, check, check_size, check_status};
use super::children::{Checked, Children};
use super::verdict::{Reason, Verdict};
use crate::{Failure, Grant, Object, Response};

/// What a module wants of a parent, within its grant.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The response as the module gave it, without its children.
    pub response: Response,
    /// The children of the response, checked and completed by the host.
    pub desired: Children<Checked>,
    /// The fields of the merge patch of the parent's status; None if there is no patch.
    pub status: Option<Map<String, Value>>,
}

/// Why a module gave nothing that may be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The call failed.
    Failed(Failure),
    /// The response was outside the grant.
    Denied(Denied),
}

impl Decision {
    /// Checks the answer of a module for a parent against the grant.
    ///
    /// # Errors
    ///
    /// When the call failed, or the response is outside the grant.
    pub fn of(
        answer: Result<Response, Failure>,
        parent: &Object,
        grant: &Grant,
    ) -> Result<Self, Undecided> {
        let mut response = answer.map_err(Undecided::Failed)?;
        let mut checked = || {
            check_size(&response, grant)?;
            let status = check_status(response.status.as_deref(), grant)?;
            let desired = Children::desired(std::mem::take(&mut response.children));
            Ok((check(desired, parent, grant)?, status))
        };
        let (desired, status) = checked().map_err(Undecided::Denied)?;
        Ok(Self {
            response,
            desired,
            status,
        })
    }

    /// Whether the module before, given the same input, would have spared the parent a failure: it decides, and
    /// decides otherwise than for the children that the API server refused. `desired_on_trial` is
    /// None if the module on trial gave nothing that may be applied.
    #[must_use]
    pub fn is_better(
        decided: &Result<Self, Undecided>,
        desired_on_trial: Option<&Children<Checked>>,
    ) -> bool {
        match (decided, desired_on_trial) {
            (Err(_), _) => false,
            (Ok(_), None) => true,
            (Ok(decision), Some(desired)) => !decision.desired.are_same_as(desired),
        }
    }
}

impl Undecided {
    /// The verdict on the parent.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Failed(failure) => Verdict::of_failure(failure),
            Self::Denied(denied) => Verdict::new(Reason::Denied, denied.to_string()),
        }
    }
}
