use handler_host_cluster::resource::{
    APPROVE_ANNOTATION, CandidateStatus, HandlerStatus, KindSpec, KindsStatus, ModuleStatus,
    PreviewCounts, RollbackStatus, SwapStatus,
};
use handler_host_cluster::{Counts, Say, now};
use handler_host_core::{Digest, Kind, Settings};
use handler_host_engine::{MemoCounts, WORLD_VERSION};
use handler_host_registry::Rejected;

use super::loaded::{Loaded, Refused};
use super::sink::{
    AWAITING_APPROVAL, KIND_NOT_SERVED, MODULE_NOT_LOADED, NOT_AUTHORIZED, PENDING, PREVIEWING,
};
use super::stage::Stage;

/// How a handler stands, as its status tells it.
pub(crate) struct View {
    name: String,
    generation: Option<i64>,
    granted: KindsStatus,
    described: Option<KindsStatus>,
    module: Option<ModuleStatus>,
    last_swap: Option<SwapStatus>,
    rolled_back: Option<RollbackStatus>,
    progress: Progress,
    /// Why the spec as it is now will not do; the one before goes on.
    spec_refused: Option<Refused>,
    /// Why the source gives no module now.
    source: Option<Refused>,
    /// Whether its account may do what serving takes; None while that is not known.
    pub(crate) authorized: Option<Say>,
    /// What an earlier host said last: the same module taken over again is no swap.
    remembered: Option<HandlerStatus>,
}

/// What became of the module that the spec asks for.
enum Progress {
    Pending,
    Loaded,
    Refused(Refused),
    Held(Digest, Option<Result<PreviewCounts, String>>),
    RolledBack(Rejected),
}

impl View {
    pub(crate) fn new(
        settings: &Settings,
        generation: Option<i64>,
        remembered: Option<HandlerStatus>,
    ) -> Self {
        let children = settings.children.iter().map(|(kind, _)| kind);
        Self {
            name: settings.name.clone(),
            generation,
            granted: kinds(&settings.parent, children),
            described: None,
            module: None,
            last_swap: None,
            rolled_back: None,
            progress: Progress::Pending,
            spec_refused: None,
            source: None,
            authorized: None,
            remembered,
        }
    }

    /// The settings changed; what runs still does, and what is held still is.
    pub(crate) fn change(&mut self, settings: &Settings, generation: Option<i64>) {
        let children = settings.children.iter().map(|(kind, _)| kind);
        self.granted = kinds(&settings.parent, children);
        self.generation = generation;
        self.spec_refused = None;
    }

    /// The spec was changed into one that will not do.
    pub(crate) fn refuse_spec(&mut self, refused: Refused, generation: Option<i64>) {
        self.generation = generation;
        self.spec_refused = Some(refused);
    }

    /// What the spec asks for is to be found out anew.
    pub(crate) fn begin_anew(&mut self) {
        self.rolled_back = None;
        self.progress = Progress::Pending;
    }

    /// Why the source gives no module; None if it does.
    pub(crate) fn source_is(&mut self, refused: Option<Refused>) {
        self.source = refused;
    }

    /// The module that the spec asks for runs.
    pub(crate) fn runs(&mut self, origin: &str) {
        self.progress = Progress::Loaded;
        if let Some(module) = &mut self.module {
            origin.clone_into(&mut module.origin);
        }
    }

    /// The module that the spec asks for will not do.
    pub(crate) fn refuse(&mut self, refused: Refused) {
        self.progress = Progress::Refused(refused);
    }

    pub(crate) fn held(&mut self, digest: Digest) {
        self.progress = Progress::Held(digest, None);
    }

    pub(crate) fn previewed(&mut self, digest: Digest, counts: Result<PreviewCounts, String>) {
        if let Progress::Held(held, preview) = &mut self.progress
            && *held == digest
        {
            *preview = Some(counts);
        }
    }

    /// The module that the spec asks for was rolled back, now or before.
    pub(crate) fn rejected(&mut self, rejected: &Rejected) {
        self.remember(rejected);
        self.progress = Progress::RolledBack(rejected.clone());
    }

    /// A module was rolled back under this spec, whether or not it is what the source gives now.
    pub(crate) fn remember(&mut self, rejected: &Rejected) {
        let is_told = |told: &RollbackStatus| told.digest == rejected.digest.to_string();
        if self.rolled_back.as_ref().is_some_and(is_told) {
            return;
        }
        let before = self.remembered.as_ref();
        let before = before.and_then(|status| status.rolled_back.clone());
        self.rolled_back = before.filter(is_told).or_else(|| {
            Some(RollbackStatus {
                digest: rejected.digest.to_string(),
                to: rejected
                    .good
                    .map_or_else(String::new, |good| good.to_string()),
                error: rejected.error.clone(),
                at: now(),
            })
        });
    }

    pub(crate) fn took_over(&mut self, loaded: &Loaded, from: Option<Digest>) {
        let digest = loaded.digest();
        let description = &loaded.active.description;
        self.described = Some(KindsStatus {
            finalizer: Some(description.has_finalizer),
            ..kinds(&description.parent, description.children.iter())
        });
        self.runs(&loaded.fetched.origin);
        if from == Some(digest) {
            return;
        }
        let remembered = self.remembered.take();
        let is_same = |module: &ModuleStatus| module.digest == digest.to_string();
        if let Some(before) = remembered.filter(|it| it.module.as_ref().is_some_and(is_same)) {
            self.module = before.module;
            self.last_swap = before.last_swap;
            return self.runs(&loaded.fetched.origin);
        }
        self.module = Some(ModuleStatus {
            digest: digest.to_string(),
            short_digest: digest.short(),
            world: format!("handler-host:handler@{WORLD_VERSION}"),
            origin: loaded.fetched.origin.clone(),
            loaded_at: now(),
        });
        self.last_swap = Some(SwapStatus {
            from: from.map(|from| from.to_string()),
            to: digest.to_string(),
            at: now(),
        });
    }

    /// The module that ran is not granted any more what it describes.
    pub(crate) fn lost_module(&mut self) {
        self.module = None;
        self.described = None;
        self.progress = Progress::Pending;
    }

    /// All that is said of it, as conditions of these types.
    pub(crate) fn conditions(&self, stage: &Stage) -> Vec<(&'static str, Say)> {
        let module_loaded = self.module_loaded();
        let mut said = vec![
            ("Ready", self.ready(stage, &module_loaded)),
            ("ModuleLoaded", module_loaded),
        ];
        said.extend(self.authorized.clone().map(|say| ("Authorized", say)));
        said
    }

    pub(crate) fn module_loaded(&self) -> Say {
        let not = |reason, message: String| Say {
            is_true: false,
            reason,
            message,
        };
        if let Some(refused) = self.spec_refused.as_ref().or(self.source.as_ref()) {
            return not(refused.reason, refused.message.clone());
        }
        match &self.progress {
            Progress::Pending => not(PENDING, "The module is being loaded.".to_owned()),
            Progress::Loaded => Say {
                is_true: true,
                reason: "Loaded",
                message: self.module.as_ref().map_or_else(String::new, |module| {
                    format!("{} from {}", module.digest, module.origin)
                }),
            },
            Progress::Refused(refused) => not(refused.reason, refused.message.clone()),
            Progress::Held(digest, None) => {
                not(PREVIEWING, format!("Module {digest} is being previewed."))
            }
            Progress::Held(digest, Some(preview)) => not(
                AWAITING_APPROVAL,
                format!(
                    "Module {digest} {}; approve it: kubectl annotate --overwrite handler {} {APPROVE_ANNOTATION}={digest}",
                    effect(preview),
                    self.name,
                ),
            ),
            Progress::RolledBack(rejected) => not(
                "RolledBack",
                format!(
                    "Module {} was rolled back{} and is tried again when the spec changes: {}",
                    rejected.digest,
                    rejected
                        .good
                        .map_or_else(String::new, |good| format!(" to {good}")),
                    rejected.error
                ),
            ),
        }
    }

    fn ready(&self, stage: &Stage, module_loaded: &Say) -> Say {
        let not = |reason, message: String| Say {
            is_true: false,
            reason,
            message,
        };
        match stage {
            Stage::Refused(message) => not("Refused", message.clone()),
            Stage::Looking(_) => match stage.missing() {
                missing if missing.is_empty() => {
                    not(PENDING, "Looking for the kinds in the cluster.".to_owned())
                }
                missing => not(KIND_NOT_SERVED, missing),
            },
            Stage::Ready(_) if module_loaded.reason == PENDING => {
                not(PENDING, module_loaded.message.clone())
            }
            Stage::Ready(_) => not(
                MODULE_NOT_LOADED,
                "No module runs; ModuleLoaded says why.".to_owned(),
            ),
            Stage::Serving(_) if self.authorized.as_ref().is_some_and(|it| !it.is_true) => not(
                NOT_AUTHORIZED,
                "Its account lacks rights; Authorized says which.".to_owned(),
            ),
            Stage::Serving(_) => Say {
                is_true: true,
                reason: "Serving",
                message: "Its parents are served.".to_owned(),
            },
        }
    }

    pub(crate) fn status(
        &self,
        said: &[(&'static str, Say)],
        counts: Option<Counts>,
        memo: MemoCounts,
    ) -> HandlerStatus {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let total = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        HandlerStatus {
            observed_generation: self.generation,
            conditions: said
                .iter()
                .map(|(type_, say)| say.condition(type_, self.generation))
                .collect(),
            module: self.module.clone(),
            described: self.described.clone(),
            granted: Some(self.granted.clone()),
            parents: counts.map(|counts| number(counts.parents)),
            failing_parents: counts.map(|counts| number(counts.failing)),
            last_swap: self.last_swap.clone(),
            candidate: self.candidate(),
            rolled_back: self.rolled_back.clone(),
            calls: Some(total(memo.calls)),
            memo_hits: Some(total(memo.hits)),
        }
    }

    fn candidate(&self) -> Option<CandidateStatus> {
        let Progress::Held(digest, preview) = &self.progress else {
            return None;
        };
        Some(CandidateStatus {
            digest: digest.to_string(),
            preview: preview
                .as_ref()
                .and_then(|preview| preview.as_ref().ok().copied()),
        })
    }
}

/// What a held module would do, in words.
fn effect(preview: &Result<PreviewCounts, String>) -> String {
    match preview {
        Err(error) => format!("could not be previewed ({error})"),
        Ok(counts) => format!(
            "would create {}, change {} and delete {} children, and newly fail for {} of {} parents",
            counts.create, counts.change, counts.delete, counts.failing, counts.parents
        ),
    }
}

fn kinds<'a>(parent: &Kind, children: impl Iterator<Item = &'a Kind>) -> KindsStatus {
    let kind = |kind: &Kind| KindSpec {
        api_version: kind.api_version.clone(),
        kind: kind.kind.clone(),
    };
    KindsStatus {
        parent: kind(parent),
        children: children.map(kind).collect(),
        finalizer: None,
    }
}
