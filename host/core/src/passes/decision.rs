use std::sync::Arc;

use serde_json::{Map, Value};

use super::check::{Denied, check, check_failure, check_size, check_status, read_status};
use super::children::{Checked, ChildRef, Children};
use super::verdict::{Reason, Verdict};
use crate::{Digest, Failure, Fault, Grant, Kind, Object, ParentCondition, Response};

/// What a module wants of a parent, within its grant.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The response as the module gave it, without its children.
    pub response: Response,
    /// The children of the response, checked and completed by the host.
    pub desired: Children<Checked>,
    /// The merge patch of the parent's status; None if there is none.
    pub status: Option<StatusPatch>,
    /// The bytes of memory that it takes, about.
    pub memory: usize,
}

/// What a handler says of its parent's status, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusPatch {
    /// The fields of its merge patch.
    pub fields: Map<String, Value>,
    /// Its conditions.
    pub conditions: Vec<ParentCondition>,
    /// The bytes of memory that they take, about.
    pub memory: usize,
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
    /// Checks the answer of a module for a parent with these children against the grant. There are `room` bytes of memory for
    /// it.
    ///
    /// # Errors
    ///
    /// When the call failed, or the response is outside the grant or takes more memory.
    pub fn of(
        answer: Result<Response, Failure>,
        parent: &Object,
        observed: &[(Kind, Arc<Object>)],
        grant: &Grant,
        room: usize,
    ) -> Result<Self, Undecided> {
        let mut response = answer.map_err(|failure| Undecided::of_failure(failure, grant))?;
        let memory = check_size(&response, grant, room).map_err(Undecided::Denied)?;
        let memory = memory.ok_or(Undecided::Failed(Failure::Fault(Fault::Answer(room))))?;
        let mut checked = || {
            let status = check_status(&response.status, grant)?;
            let desired = Children::desired(std::mem::take(&mut response.children));
            Ok((
                check(desired, &response.kept, observed, parent, grant)?,
                status,
            ))
        };
        let (desired, status) = checked().map_err(Undecided::Denied)?;
        Ok(Self {
            response,
            desired,
            status,
            memory,
        })
    }

    /// Desires nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            response: Response::default(),
            desired: Children {
                children: Vec::new(),
                kept: Vec::new(),
            },
            status: None,
            memory: 0,
        }
    }

    /// Whether this decision of the module before, given the same input, would have spared the parent a failure: it is
    /// another one than for the children that the API server refused. `desired_on_trial` are the
    /// [digests](Children::digests) of those, or None if the module on trial gave nothing that may be applied.
    #[must_use]
    pub fn is_better(&self, desired_on_trial: Option<&[(ChildRef, Digest)]>) -> bool {
        desired_on_trial.is_none_or(|desired| self.desired.digests() != desired)
    }
}

impl Undecided {
    /// A call failed. What the handler says of the parent's status then is checked against the grant, as in a response.
    #[must_use]
    pub fn of_failure(failure: Failure, grant: &Grant) -> Self {
        let checked = failure
            .status()
            .map_or(Ok(()), |it| check_failure(it, grant));
        match checked {
            Err(denied) => Self::Denied(denied),
            Ok(()) => Self::Failed(failure),
        }
    }

    /// What the handler says of the parent's status.
    #[must_use]
    pub fn status(&self) -> Option<StatusPatch> {
        match self {
            // It was checked, so it can be read.
            Self::Failed(failure) => read_status(failure.status()?).ok().flatten(),
            Self::Denied(_) => None,
        }
    }

    /// The verdict on the parent.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Failed(failure) => Verdict::of_failure(failure),
            Self::Denied(denied) => Verdict::new(Reason::Denied, denied.to_string()),
        }
    }
}
