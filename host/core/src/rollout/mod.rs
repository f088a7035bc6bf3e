//! What a Handler's modules are at: a pure state machine.
//!
//! ```text
//! source ──Fetched──▶ Load ──Loaded──▶ admitted? ──▶ held until it is approved
//!                                          │             │
//!                                          ├─────────────┘
//!                                          ├──▶ on trial beside the good one ──▶ good, or rolled back
//!                                          └──▶ good at once: the first, or known to be good
//! ```
//!
//! [`Rollout::handle`] takes an event and answers with the actions to carry out, in their order. The Handler's
//! conditions and what its status says of modules are functions of the state. There is no clock in it but the
//! time that comes with each event, and nothing that carries out actions keeps a state of its own about modules.
//!
//! A host that does not lead stands by: it has the modules loaded, so that it serves at once when it leads.

mod candidate;
mod event;
mod leading;
mod record;
mod running;
mod status;
#[cfg(test)]
mod tests;
mod trial;

use std::time::{Instant, SystemTime};

use candidate::CandidateState;
pub use event::{
    Action, Facts, LoadPurpose, Now, PreviewSummary, Recalled, RolloutEvent, RolloutModule,
    RolloutNote, TrialTerms,
};
use leading::Leading;
pub use record::{ModuleRecord, RollbackRecord, RolloutRecord, SwapRecord};
pub use status::{HeldModule, RolloutStatus, ServingState};

use crate::{
    Description, Digest, FetchedModule, GrantRequest, HandlerCondition, Refused, Settings,
};

/// How many modules are kept loaded while a host stands by: the one that runs elsewhere, the one it would
/// return to, and one that came since.
const MOST_PRELOADED: usize = 3;

/// What one Handler's modules are at.
#[derive(Clone, Debug)]
pub struct Rollout<M> {
    common: Common,
    duty: Duty<M>,
}

/// What is known whether this host leads or stands by.
#[derive(Clone, Debug)]
struct Common {
    settings: Settings,
    /// The Handler's generation that the settings are of; None for a Handler that is not in the cluster.
    generation: Option<i64>,
    source: Source,
    /// Whether all granted kinds were found, and are watched.
    is_watching: bool,
    /// The condition `Authorized`; None while the rights were not reviewed.
    authorized: Option<HandlerCondition>,
}

/// What the module source says.
#[derive(Clone, Debug, Default)]
struct Source {
    /// The module that it gave last.
    latest: Option<FetchedModule>,
    /// Why it gives none now.
    error: Option<Refused>,
}

/// Whether this host serves the handler.
#[derive(Clone, Debug)]
enum Duty<M> {
    /// Another host serves it, or none does yet. The modules that are loaded, the latest last.
    StandingBy(Vec<M>),
    /// This host serves it.
    Leading(Box<Leading<M>>),
}

impl Common {
    fn lacks_rights(&self) -> bool {
        let authorized = self.authorized.as_ref();
        authorized.is_some_and(|condition| !condition.is_true())
    }
}

impl<M: RolloutModule> Rollout<M> {
    /// A host that stands by, with modules that are loaded already.
    #[must_use]
    pub fn new(settings: Settings, generation: Option<i64>, preloaded: Vec<M>) -> Self {
        Self {
            common: Common {
                settings,
                generation,
                source: Source::default(),
                is_watching: false,
                authorized: None,
            },
            duty: Duty::StandingBy(preloaded),
        }
    }

    /// Handles an event. The actions are to be carried out in their order; what comes of one may be the next
    /// event.
    pub fn handle(&mut self, event: RolloutEvent<M>, facts: &Facts) -> Vec<Action<M>> {
        match event {
            RolloutEvent::Leads(recalled) => self.lead(*recalled, facts),
            RolloutEvent::StandsBy => self.stand_by(),
            RolloutEvent::Changed {
                settings,
                generation,
            } => self.change(*settings, generation, facts),
            RolloutEvent::SpecRefused {
                refused,
                generation,
            } => {
                self.common.generation = generation;
                self.on_leading(|leading, _| {
                    leading.spec_refused = Some(refused);
                    Vec::new()
                })
            }
            RolloutEvent::Fetched(module) => {
                self.common.source.error = None;
                self.common.source.latest = Some(module);
                self.consider()
            }
            RolloutEvent::FetchFailed(refused) => {
                self.common.source.error = Some(refused);
                Vec::new()
            }
            RolloutEvent::Loaded {
                purpose,
                spec,
                result,
            } => self.loaded(purpose, spec, *result, facts),
            RolloutEvent::Previewed { digest, result } => self.on_leading(|leading, _| {
                leading.previewed(digest, result, facts);
                Vec::new()
            }),
            RolloutEvent::KindsWatched => {
                self.common.is_watching = true;
                self.on_leading(|leading, common| leading.serve(common, facts))
            }
            RolloutEvent::KindsChanged => {
                self.common.is_watching = false;
                self.common.authorized = None;
                let deadline = self.common.settings.call_limits.deadline;
                vec![Action::Watch { deadline }]
            }
            RolloutEvent::TrialFailed { digest, failure } => self.on_leading(|leading, common| {
                leading.trial_failed(digest, &failure, common, facts)
            }),
            RolloutEvent::Reviewed(condition) => self.reviewed(condition),
            RolloutEvent::Woke => self.on_leading(|leading, common| leading.wake(common, facts)),
        }
    }

    /// When [`RolloutEvent::Woke`] is due.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Instant> {
        match &self.duty {
            Duty::StandingBy(_) => None,
            Duty::Leading(leading) => leading.wakes_at(),
        }
    }

    /// The settings that are in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.common.settings
    }

    /// Whether this host leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self.duty, Duty::Leading(_))
    }

    /// The module that serves, or will once the kinds are watched.
    #[must_use]
    pub fn running(&self) -> Option<&M> {
        match &self.duty {
            Duty::StandingBy(_) => None,
            Duty::Leading(leading) => leading.running.module(),
        }
    }

    /// When the trial of the module that serves is over; None if it is on none.
    #[must_use]
    pub fn trial_until(&self) -> Option<SystemTime> {
        match &self.duty {
            Duty::StandingBy(_) => None,
            Duty::Leading(leading) => leading.trial_until(),
        }
    }

    /// What the module that serves describes.
    #[must_use]
    pub fn described(&self) -> Option<&Description> {
        self.running().map(RolloutModule::description)
    }

    /// The loaded module of this digest: its compiled code need not be made again.
    #[must_use]
    pub fn known(&self, digest: Digest) -> Option<&M> {
        match &self.duty {
            Duty::StandingBy(modules) => modules.iter().find(|it| it.digest() == digest),
            Duty::Leading(leading) => leading.known(digest),
        }
    }

    /// The modules that are loaded while this host stands by, the latest last.
    #[must_use]
    pub fn preloaded(&self) -> &[M] {
        match &self.duty {
            Duty::StandingBy(modules) => modules,
            Duty::Leading(_) => &[],
        }
    }

    /// Whether the rights of the handler's account are known to be lacking.
    #[must_use]
    pub fn lacks_rights(&self) -> bool {
        self.common.lacks_rights()
    }

    /// Whether the first module is still on its way, and will come by itself.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        match &self.duty {
            Duty::StandingBy(modules) => {
                let source = &self.common.source;
                modules.is_empty() && source.latest.is_none() && source.error.is_none()
            }
            Duty::Leading(leading) => {
                let is_refused =
                    leading.spec_refused.is_some() || self.common.source.error.is_some();
                let is_pending = matches!(leading.candidate, CandidateState::Pending);
                leading.running.module().is_none() && is_pending && !is_refused
            }
        }
    }

    /// Handles what concerns a host that leads, and no other.
    fn on_leading(
        &mut self,
        handle: impl FnOnce(&mut Leading<M>, &Common) -> Vec<Action<M>>,
    ) -> Vec<Action<M>> {
        match &mut self.duty {
            Duty::StandingBy(_) => Vec::new(),
            Duty::Leading(leading) => handle(leading, &self.common),
        }
    }

    fn lead(&mut self, recalled: Recalled, facts: &Facts) -> Vec<Action<M>> {
        let modules = self.take_modules();
        let (leading, actions) = Leading::begin(recalled, modules, &self.common, facts);
        self.duty = Duty::Leading(Box::new(leading));
        actions
    }

    fn stand_by(&mut self) -> Vec<Action<M>> {
        let mut modules = Vec::new();
        for module in self.take_modules() {
            put(&mut modules, module);
        }
        self.duty = Duty::StandingBy(modules);
        self.common.is_watching = false;
        self.common.authorized = None;
        let deadline = self.common.settings.call_limits.deadline;
        let mut actions = vec![Action::Watch { deadline }];
        actions.extend(self.consider());
        actions
    }

    fn take_modules(&mut self) -> Vec<M> {
        match std::mem::replace(&mut self.duty, Duty::StandingBy(Vec::new())) {
            Duty::StandingBy(modules) => modules,
            Duty::Leading(leading) => leading.into_modules(),
        }
    }

    fn change(
        &mut self,
        settings: Settings,
        generation: Option<i64>,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        let before = std::mem::replace(&mut self.common.settings, settings);
        self.common.generation = generation;
        let settings = &self.common.settings;
        let is_changed = before.spec != settings.spec;
        let approved = settings.approved;
        let is_moved = before.module != settings.module;
        let is_regranted = GrantRequest::from(&before) != GrantRequest::from(settings)
            || before.account != settings.account;
        let is_resumed = before.is_paused && !settings.is_paused;
        let mut actions = self.on_leading(|leading, common| {
            leading.spec_refused = None;
            if is_resumed {
                leading.resume(common, facts);
            }
            if !is_changed {
                return Vec::new();
            }
            leading.begin_anew();
            vec![Action::ForgetRolledBack]
        });
        if is_regranted {
            // What is watched, and in whose name, are other things now.
            let deadline = before.call_limits.deadline;
            actions.push(Action::Watch { deadline });
            actions.extend(self.regrant(facts));
        }
        if is_moved {
            self.common.source = Source::default();
            actions.push(Action::Follow);
        } else if is_changed {
            actions.extend(match &mut self.duty {
                Duty::StandingBy(_) => self.consider(),
                Duty::Leading(leading) => leading.renew(&self.common),
            });
        } else if approved.is_some() && self.held() == approved {
            actions.extend(self.consider());
        }
        actions
    }

    fn regrant(&mut self, facts: &Facts) -> Vec<Action<M>> {
        self.common.is_watching = false;
        self.common.authorized = None;
        match &mut self.duty {
            Duty::StandingBy(modules) => {
                modules.clear();
                Vec::new()
            }
            Duty::Leading(leading) => leading.regrant(&self.common, facts),
        }
    }

    /// The module that waits for approval.
    fn held(&self) -> Option<Digest> {
        match &self.duty {
            Duty::StandingBy(_) => None,
            Duty::Leading(leading) => leading.held().map(|held| held.digest),
        }
    }

    fn consider(&mut self) -> Vec<Action<M>> {
        let leading = match &mut self.duty {
            Duty::Leading(leading) => leading,
            Duty::StandingBy(modules) => {
                let spec = self.common.settings.spec;
                let latest = self.common.source.latest.iter();
                let is_loaded = |module: &&FetchedModule| {
                    let mut modules = modules.iter();
                    modules.any(|it| it.digest() == module.digest && it.spec() == spec)
                };
                let unloaded = latest.filter(|module| !is_loaded(module));
                return unloaded
                    .map(|module| Action::Load {
                        purpose: LoadPurpose::Preload,
                        module: module.clone(),
                    })
                    .collect();
            }
        };
        leading.consider(&self.common)
    }

    fn loaded(
        &mut self,
        purpose: LoadPurpose,
        spec: Digest,
        result: Result<M, Refused>,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        if spec != self.common.settings.spec {
            // The Handler was changed meanwhile, so the module was described for another config.
            return match &mut self.duty {
                Duty::StandingBy(_) => self.consider(),
                Duty::Leading(leading) => leading.renew(&self.common),
            };
        }
        match &mut self.duty {
            Duty::StandingBy(modules) => {
                // What is wrong with a module says the host that leads.
                if let Ok(module) = result {
                    put(modules, module);
                }
                Vec::new()
            }
            Duty::Leading(leading) => leading.loaded(purpose, result, &self.common, facts),
        }
    }

    fn reviewed(&mut self, condition: HandlerCondition) -> Vec<Action<M>> {
        let Duty::Leading(leading) = &mut self.duty else {
            return Vec::new();
        };
        let lacked = self.common.lacks_rights();
        self.common.authorized = Some(condition);
        if lacked && !self.common.lacks_rights() {
            leading.go_on(&self.common)
        } else {
            Vec::new()
        }
    }
}

/// Puts a module behind those that are loaded; the oldest go.
fn put<M: RolloutModule>(modules: &mut Vec<M>, module: M) {
    modules.retain(|known| known.digest() != module.digest());
    modules.push(module);
    let surplus = modules.len().saturating_sub(MOST_PRELOADED);
    modules.drain(..surplus);
}
