use crate::{Digest, PreviewPolicy};

/// What is known where a new module asks to take over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// The module that runs.
    pub running: Option<Digest>,
    /// The last module that passed its trial, or was the first.
    pub good: Option<Digest>,
    /// The module that failed its trial under the present spec.
    pub rejected: Option<Digest>,
    /// The module that somebody approved.
    pub approved: Option<Digest>,
    /// Whether approval is asked for.
    pub preview: PreviewPolicy,
}

/// What becomes of a module that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It failed its trial; it is tried again when the spec changes.
    RolledBack,
    /// It waits until it is approved.
    AwaitsApproval,
    /// It takes over, beside the one that runs until it has proved itself.
    OnTrial,
    /// It takes over at once: it is the first, or known to be good.
    AtOnce,
}

impl Standing {
    /// Decides about a module.
    #[must_use]
    pub fn admit(&self, module: Digest) -> Admission {
        let is = |known: Option<Digest>| known == Some(module);
        if is(self.rejected) {
            return Admission::RolledBack;
        }
        let is_approved = is(self.approved) || is(self.running) || is(self.good);
        match self.preview {
            PreviewPolicy::Required if !is_approved => Admission::AwaitsApproval,
            PreviewPolicy::Required | PreviewPolicy::Optional => {
                // The one that runs, if it is not the good one, is on trial, with whatever config.
                if is(self.good) || self.good.is_none() {
                    Admission::AtOnce
                } else {
                    Admission::OnTrial
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn serving() -> Standing {
        Standing {
            running: Some(digest("old")),
            good: Some(digest("old")),
            ..Standing::default()
        }
    }

    fn preview_required(approved: &str) -> Standing {
        Standing {
            approved: Some(digest(approved)),
            preview: PreviewPolicy::Required,
            ..serving()
        }
    }

    #[rstest]
    #[case::the_first(Standing::default(), Admission::AtOnce)]
    #[case::the_next(serving(), Admission::OnTrial)]
    #[case::the_one_on_trial(Standing { running: Some(digest("new")), ..serving() }, Admission::OnTrial)]
    #[case::back_to_the_good_one(Standing { good: Some(digest("new")), ..serving() }, Admission::AtOnce)]
    #[case::once_rolled_back(Standing { rejected: Some(digest("new")), ..serving() }, Admission::RolledBack)]
    #[case::another_was_rolled_back(Standing { rejected: Some(digest("other")), ..serving() }, Admission::OnTrial)]
    #[case::not_approved(preview_required("old"), Admission::AwaitsApproval)]
    #[case::approved(preview_required("new"), Admission::OnTrial)]
    #[case::approved_but_rolled_back(
        Standing { rejected: Some(digest("new")), ..preview_required("new") }, Admission::RolledBack)]
    #[case::the_first_is_approved_too(
        Standing { preview: PreviewPolicy::Required, ..Standing::default() }, Admission::AwaitsApproval)]
    #[case::the_good_one_after_a_restart(
        Standing { running: None, good: Some(digest("new")), ..preview_required("old") }, Admission::AtOnce)]
    fn a_module_takes_over_only_as_it_may(
        #[case] standing: Standing,
        #[case] admission: Admission,
    ) {
        assert_eq!(standing.admit(digest("new")), admission);
    }
}
