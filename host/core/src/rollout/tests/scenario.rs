//! A host in small: it carries out actions as the real one does, on modules that are only names.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::TrialProgress;
use crate::rollout::{
    Action, Facts, LoadPurpose, Now, PreviewSummary, Recalled, Rollout, RolloutEvent,
    RolloutModule, RolloutNote, RolloutRecord, ServingState,
};
use crate::{
    CallLimits, ChildPolicy, ConditionType, Description, Digest, FetchedModule, GrantRequest,
    HandlerCondition, HandlerReason, KeptModules, Kind, Limits, ModuleLocation, ModuleSource,
    OnParentDelete, PreviewPolicy, Refused, RolloutPolicy, Settings, TrialFailure, TrialSoFar,
};

/// How long a trial takes here.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// A module by name. What is special about it, its name says.
#[derive(Clone, Debug)]
pub(super) struct NamedModule {
    fetched: FetchedModule,
    spec: Digest,
    description: Description,
}

impl RolloutModule for NamedModule {
    fn fetched(&self) -> &FetchedModule {
        &self.fetched
    }

    fn spec(&self) -> Digest {
        self.spec
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn world(&self) -> String {
        "handler-host:handler@0.1.0".to_owned()
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum TestStep {
    /// This host begins to lead.
    Lead,
    /// This host loses its lease.
    LoseLease,
    /// The host ends and another one starts, with the same disk, and leads. Its source says nothing yet.
    Restart,
    /// The same, with an empty disk.
    RestartWithoutDisk,
    /// The source gives a module. `broken` is no handler, `busy` fails to load for now, `greedy` describes a
    /// Secret beside ConfigMaps.
    Fetch(&'static str),
    /// The source gives nothing.
    FetchFails,
    /// The kinds are found and watched.
    Kinds,
    /// The spec gets another config.
    Config(&'static str),
    /// The spec grants these kinds of children.
    Grant(&'static [&'static str]),
    /// The spec names another source.
    Source(&'static str),
    /// The spec changes into one that cannot be served.
    BadSpec,
    /// Somebody approves a module.
    Approve(&'static str),
    /// Enough parents were called with the module on trial, and did well.
    DoesWell,
    /// Some parents were called, and most of them failed newly; too few to end the trial at once.
    DoesBadly,
    /// The trial of this module failed.
    Fails(&'static str),
    /// So much time passes.
    Pass(Duration),
    /// The account's rights are reviewed: they are all there, or not.
    Rights(bool),
    /// The Handler is paused, or goes on.
    Pause(bool),
    /// The preview of this module ends well, or fails.
    Preview(&'static str, bool),
}

/// The host in small.
pub(super) struct Scenario {
    pub(super) rollout: Rollout<NamedModule>,
    settings: Settings,
    generation: i64,
    start: Instant,
    now: Duration,
    trial: TrialSoFar,
    pub(super) disk: KeptModules,
    /// Whether the kinds are watched.
    pub(super) is_watching: bool,
    /// What serves, and beside what it is on trial.
    pub(super) serves: Option<(String, Option<String>)>,
    pub(super) notes: Vec<RolloutNote>,
    /// Modules that were loaded, each time with why.
    pub(super) loads: Vec<(LoadPurpose, String)>,
    pub(super) previews: Vec<String>,
    pub(super) follows: usize,
    pub(super) looks_again: usize,
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub(super) fn fetched(name: &str) -> FetchedModule {
    FetchedModule {
        bytes: Bytes::copy_from_slice(name.as_bytes()),
        digest: digest(name),
        origin: format!("{name}.wasm"),
    }
}

fn name_of(module: &FetchedModule) -> String {
    String::from_utf8_lossy(&module.bytes).into_owned()
}

fn kind(name: &str) -> Kind {
    Kind::new("v1", name).unwrap()
}

/// As the real digest of the spec: an annotation is not part of it.
fn spec_of(settings: &Settings) -> Digest {
    let Settings {
        config,
        children,
        module,
        ..
    } = settings;
    digest(&format!("{config} {children:?} {module:?}"))
}

fn settings(preview: PreviewPolicy) -> Settings {
    let mut settings = Settings {
        name: "evc".to_owned(),
        spec: digest("spec"),
        module: ModuleSource {
            location: ModuleLocation::File("evc.wasm".into()),
            pinned: None,
        },
        parent: kind("Pod"),
        parent_status: None,
        condition: "Ready".to_owned(),
        selection: crate::ParentSelection::default(),
        children: children(&["ConfigMap"]),
        related: Vec::new(),
        clock: None,
        account: None,
        config: "{}".to_owned(),
        call_limits: CallLimits::default(),
        limits: Limits::default(),
        rollout: RolloutPolicy {
            preview,
            max_failure_ratio: 0.5,
            window: WINDOW,
        },
        approved: None,
        is_paused: false,
    };
    settings.spec = spec_of(&settings);
    settings
}

fn children(kinds: &[&str]) -> Vec<ChildPolicy> {
    let kinds = kinds.iter().map(|name| kind(name));
    kinds
        .map(|kind| ChildPolicy::new(kind, OnParentDelete::Delete))
        .collect()
}

impl Scenario {
    /// A host that was just started and leads.
    pub(super) fn new() -> Self {
        let mut scenario = Self::standing_by(PreviewPolicy::Optional);
        scenario.step(&TestStep::Lead);
        scenario
    }

    /// A host that leads, of a Handler whose modules must be approved.
    pub(super) fn with_approval() -> Self {
        let mut scenario = Self::standing_by(PreviewPolicy::Required);
        scenario.step(&TestStep::Lead);
        scenario
    }

    pub(super) fn standing_by(preview: PreviewPolicy) -> Self {
        let settings = settings(preview);
        Self {
            rollout: Rollout::new(settings.clone(), Some(1), Vec::new()),
            settings,
            generation: 1,
            start: Instant::now(),
            now: Duration::ZERO,
            trial: TrialSoFar::None,
            disk: KeptModules::default(),
            is_watching: false,
            serves: None,
            notes: Vec::new(),
            loads: Vec::new(),
            previews: Vec::new(),
            follows: 0,
            looks_again: 0,
        }
    }

    pub(super) fn steps(mut self, steps: &[TestStep]) -> Self {
        for step in steps {
            self.step(step);
        }
        self
    }

    pub(super) fn step(&mut self, step: &TestStep) {
        let event = match step {
            TestStep::Lead => return self.lead(),
            TestStep::Restart => return self.restart(),
            TestStep::RestartWithoutDisk => {
                self.disk = KeptModules::default();
                return self.restart();
            }
            TestStep::Pass(time) => return self.pass(*time),
            TestStep::DoesWell => return self.call_parents(TrialSoFar::Proven),
            TestStep::DoesBadly => {
                return self.call_parents(TrialSoFar::Undecided(Err(failure())));
            }
            TestStep::LoseLease => RolloutEvent::StandsBy,
            TestStep::Fetch(name) => RolloutEvent::Fetched(fetched(name)),
            TestStep::FetchFails => RolloutEvent::FetchFailed(Refused::new(
                HandlerReason::FetchFailed,
                "there is no such file",
            )),
            TestStep::Kinds => {
                self.is_watching = true;
                RolloutEvent::KindsWatched
            }
            TestStep::Config(config) => {
                self.change(|settings| (*config).clone_into(&mut settings.config))
            }
            TestStep::Grant(kinds) => self.change(|settings| settings.children = children(kinds)),
            TestStep::Pause(is_paused) => self.change(|settings| settings.is_paused = *is_paused),
            TestStep::Source(path) => self.change(|settings| {
                settings.module.location = ModuleLocation::File(path.into());
            }),
            TestStep::BadSpec => {
                self.generation += 1;
                RolloutEvent::SpecRefused {
                    refused: Refused::new(HandlerReason::InvalidSpec, "spec.limits.deadline"),
                    generation: Some(self.generation),
                }
            }
            TestStep::Approve(name) => {
                self.change(|settings| settings.approved = Some(digest(name)))
            }
            TestStep::Fails(name) => RolloutEvent::TrialFailed {
                digest: digest(name),
                failure: failure(),
            },
            TestStep::Rights(has_all) => RolloutEvent::Reviewed(review(*has_all)),
            TestStep::Preview(name, is_done) => RolloutEvent::Previewed {
                digest: digest(name),
                result: if *is_done {
                    Ok(PreviewSummary {
                        parents: 3,
                        change: 2,
                        ..PreviewSummary::default()
                    })
                } else {
                    Err("no answer".to_owned())
                },
            },
        };
        self.send(event);
    }

    /// What serves and what the conditions say: `two beside one, Loaded, OnTrial`.
    pub(super) fn told(&self) -> String {
        let serves = match &self.serves {
            None => "nothing".to_owned(),
            Some((module, None)) => module.clone(),
            Some((module, Some(good))) => format!("{module} beside {good}"),
        };
        let conditions = self.conditions();
        let reason = |type_| {
            let mut conditions = conditions.iter();
            let found = conditions.find(|condition| condition.type_ == type_);
            found.map_or("-", |condition| condition.reason.as_str())
        };
        let (loaded, ready) = (
            reason(ConditionType::ModuleLoaded),
            reason(ConditionType::Ready),
        );
        format!("{serves}, {loaded}, {ready}")
    }

    pub(super) fn message(&self, type_: ConditionType) -> String {
        let conditions = self.conditions();
        let mut conditions = conditions.into_iter();
        let found = conditions.find(|condition| condition.type_ == type_);
        found.map_or_else(String::new, |condition| condition.message)
    }

    fn conditions(&self) -> Vec<HandlerCondition> {
        let serving = match (self.is_watching, &self.serves) {
            (false, _) => ServingState::Looking(None),
            (true, None) => ServingState::Watching,
            (true, Some(_)) => ServingState::Serving {
                missing: None,
                trial: TrialProgress::default(),
            },
        };
        self.rollout.conditions(&serving)
    }

    /// Whether a moment is not in the past.
    pub(super) fn is_ahead(&self, moment: Option<Instant>) -> bool {
        moment.is_none_or(|moment| moment >= self.start + self.now)
    }

    /// The name of the module that is kept on disk as the good one.
    pub(super) fn kept(&self) -> Option<String> {
        self.disk.good.as_ref().map(name_of)
    }

    fn lead(&mut self) {
        self.lead_after(self.rollout.status().record);
    }

    /// Begins to lead after a host that recorded this.
    pub(super) fn lead_after(&mut self, record: RolloutRecord) {
        let kept = self.disk.clone();
        let recalled = Recalled { record, kept };
        self.send(RolloutEvent::Leads(Box::new(recalled)));
    }

    fn restart(&mut self) {
        let record = self.rollout.status().record;
        self.rollout = Rollout::new(self.settings.clone(), Some(self.generation), Vec::new());
        self.is_watching = false;
        self.serves = None;
        self.trial = TrialSoFar::None;
        self.lead_after(record);
    }

    /// Time passes; the rollout wakes each time that it asked for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.rollout.wakes_at() {
            let at = at.saturating_duration_since(self.start);
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.send(RolloutEvent::Woke);
        }
        self.now = end;
    }

    /// As the cluster side would find, if a module is on trial.
    fn call_parents(&mut self, trial: TrialSoFar) {
        if let Some((_, Some(_))) = self.serves {
            self.trial = trial;
        }
    }

    fn change(&mut self, edit: impl FnOnce(&mut Settings)) -> RolloutEvent<NamedModule> {
        edit(&mut self.settings);
        self.generation += 1;
        self.settings.spec = spec_of(&self.settings);
        RolloutEvent::Changed {
            settings: Box::new(self.settings.clone()),
            generation: Some(self.generation),
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            now: Now {
                instant: self.start + self.now,
                time: SystemTime::UNIX_EPOCH + self.now,
            },
            trial: self.trial.clone(),
        }
    }

    /// Handles an event, and what comes of its actions.
    fn send(&mut self, event: RolloutEvent<NamedModule>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let facts = self.facts();
            for action in self.rollout.handle(event, &facts) {
                events.extend(self.carry_out(action));
            }
        }
    }

    fn carry_out(&mut self, action: Action<NamedModule>) -> Option<RolloutEvent<NamedModule>> {
        match action {
            Action::Watch { .. } => {
                self.is_watching = false;
                self.serves = None;
                self.trial = TrialSoFar::None;
            }
            Action::Follow => self.follows += 1,
            Action::Load { purpose, module } => return Some(self.load(purpose, &module)),
            Action::Run { module, trial } => {
                // Nothing is served before the kinds are watched.
                if self.is_watching {
                    let good = trial.map(|terms| name_of(&terms.good.fetched));
                    self.serves = Some((name_of(&module.fetched), good));
                    self.trial = match &self.serves {
                        Some((_, Some(_))) => TrialSoFar::Undecided(Ok(())),
                        Some((_, None)) | None => TrialSoFar::None,
                    };
                }
            }
            Action::EndTrial => {
                self.trial = TrialSoFar::None;
                if let Some((_, good)) = &mut self.serves {
                    *good = None;
                }
            }
            Action::LookAgain => self.looks_again += 1,
            Action::Preview(module) => self.previews.push(name_of(&module.fetched)),
            Action::Keep(module) => {
                self.disk.good = Some(module);
            }
            Action::KeepRolledBack(module) => self.disk.rolled_back = Some(module),
            Action::ForgetRolledBack => self.disk.rolled_back = None,
            Action::Note(note) => self.notes.push(note),
        }
        None
    }

    fn load(&mut self, purpose: LoadPurpose, module: &FetchedModule) -> RolloutEvent<NamedModule> {
        let name = name_of(module);
        self.loads.push((purpose, name.clone()));
        let refused = |reason| Err(Refused::new(reason, &format!("{name} is not taken")));
        let description = Description {
            parent: kind("Pod"),
            children: match name.as_str() {
                "greedy" => vec![kind("ConfigMap"), kind("Secret")],
                _ => vec![kind("ConfigMap")],
            },
            related: Vec::new(),
            has_finalizer: false,
            clock: None,
        };
        let grant = GrantRequest::from(&self.settings).grant().unwrap();
        let result = match name.as_str() {
            "broken" => refused(HandlerReason::InvalidModule),
            "busy" => refused(HandlerReason::DescribeFailed).map_err(Refused::temporary),
            "strict" if self.settings.config != "{}" => refused(HandlerReason::DescribeFailed),
            _ if grant.narrowed_to(&description).is_err() => refused(HandlerReason::NotGranted),
            _ => Ok(NamedModule {
                fetched: module.clone(),
                spec: self.settings.spec,
                description,
            }),
        };
        RolloutEvent::Loaded {
            purpose,
            spec: self.settings.spec,
            result: Box::new(result),
        }
    }
}

fn failure() -> TrialFailure {
    TrialFailure {
        failing: 3,
        called: 4,
        first_error: "ns/a: Trapped: unreachable".to_owned(),
    }
}

fn review(has_all: bool) -> HandlerCondition {
    let reason = if has_all {
        HandlerReason::Authorized
    } else {
        HandlerReason::Forbidden
    };
    HandlerCondition::new(ConditionType::Authorized, reason, "m")
}
