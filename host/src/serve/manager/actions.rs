use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::StreamExt as _;
use handler_host_cluster::{
    ApiClients, Candidate, HandlerWarning, Serving, SwapOutcome, hold_handler, now, preview,
};
use handler_host_core::{
    Action, FetchedModule, GrantRequest, LoadPurpose, RolloutEvent, RolloutModule, RolloutNote,
    TrialTerms,
};
use handler_host_registry::follow;

use super::{HandlerManager, WRITE_TIME};
use crate::serve::declared::HandlerOrigin;
use crate::serve::modules::{LoadedModule, load};
use crate::serve::stage::ServingStage;
use crate::summary::ChangeCounts;

/// How long a module that serves waits for the finalizer of its Handler.
const HOLD_TIME: Duration = Duration::from_secs(10);

/// How a manager carries out what its rollout decides.
impl HandlerManager {
    /// Carries out an action; gives what came of it.
    pub(super) async fn carry_out(
        &mut self,
        action: Action<LoadedModule>,
    ) -> Result<Option<RolloutEvent<LoadedModule>>> {
        match action {
            Action::Load { purpose, module } => return Ok(self.load(purpose, module).await),
            Action::Run { module, trial } => {
                if module.description().has_finalizer {
                    self.hold().await;
                }
                self.warn_of_little_memory();
                if trial.is_some() {
                    let (handler, window) = (&self.settings().name, self.settings().rollout.window);
                    tracing::info!(%handler, digest = %module.digest().short(), "the module is on trial for {} s", window.as_secs());
                }
                self.serve(&module, trial)?;
            }
            Action::Watch { deadline } => self.watch(deadline).await?,
            Action::Follow => {
                let source = self.settings().module.clone();
                self.source = follow(source, self.host.access.clone()).boxed();
            }
            Action::EndTrial => {
                if let Some(serving) = self.stage.serving() {
                    serving.pass_trial();
                }
            }
            Action::LookAgain => {
                tracing::info!(handler = %self.settings().name, "its account may do all that serving takes again");
                if let Some(serving) = self.stage.serving() {
                    serving.look_again();
                }
            }
            Action::Preview(module) => self.preview(&module),
            Action::Keep(module) => self.host.keep_good(&self.store_key, module).await,
            Action::KeepRolledBack(module) => {
                self.host.keep_rolled_back(&self.store_key, module).await;
            }
            Action::ForgetRolledBack => self.host.forget_rolled_back(&self.store_key).await,
            Action::Note(note) => self.note(&note),
        }
        Ok(None)
    }

    /// Tells where a call cannot have the memory that its limit allows.
    fn warn_of_little_memory(&self) {
        let (limit, most) = (
            self.settings().call_limits.memory,
            self.host.runtime.most_memory(),
        );
        if limit > most {
            let (limit, most) = (limit >> 20, most >> 20);
            self.reporter.warn(&HandlerWarning {
                reason: "LittleMemory",
                message: format!(
                    "limits.memory is {limit} MiB, but this host has {most} MiB for a call. Give the host's Pod more \
                     memory, or lower the limit"
                ),
            });
        }
    }

    /// Gives the Handler a finalizer before its parents get theirs. So its deletion is seen whenever it happens, also if
    /// no host runs then, and the parents are let go.
    pub(super) async fn hold(&mut self) {
        match self.origin {
            HandlerOrigin::Cluster if self.rollout.is_leading() && !self.is_held => {}
            HandlerOrigin::Cluster | HandlerOrigin::Files(_) | HandlerOrigin::Module { .. } => {
                return;
            }
        }
        let client = self.host.clients.own();
        let held = hold_handler(&client, &self.settings().name, None, true);
        let held = tokio::time::timeout(HOLD_TIME, held).await;
        let problem = match held {
            Ok(Ok(())) => {
                self.is_held = true;
                return;
            }
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {} s", HOLD_TIME.as_secs()),
        };
        // It is tried again at each tick.
        if std::mem::replace(&mut self.is_told_unheld, true) {
            return;
        }
        self.reporter.warn(&HandlerWarning {
            reason: "HandlerNotHeld",
            message: format!(
                "the Handler gets no finalizer: {problem}. If it is deleted while no host runs, its parents keep \
                 theirs; give the host the right to patch handlers"
            ),
        });
    }

    /// Loads a module, unless the manager is assigned something else meanwhile.
    async fn load(
        &mut self,
        purpose: LoadPurpose,
        module: FetchedModule,
    ) -> Option<RolloutEvent<LoadedModule>> {
        let known = self.rollout.known(module.digest);
        let compiled = known.map(|module| module.component.clone());
        let spec = self.settings().spec;
        // A clone, so that the assignment is still news to the manager.
        let mut assignment = self.mailbox.assignment.clone();
        // Many large modules at once take minutes to compile, and a restarted host would begin anew.
        self.heartbeat.rest();
        let loaded = tokio::select! {
            loaded = load(&self.host, self.settings(), &self.tally, module, compiled) => loaded,
            Ok(()) = assignment.changed() => return None,
        };
        self.heartbeat.beat();
        if let Err(refused) = &loaded {
            tracing::debug!(handler = %self.settings().name, "the module is not taken: {}", refused.message);
        }
        Some(RolloutEvent::Loaded {
            purpose,
            spec,
            result: Box::new(loaded),
        })
    }

    /// Publishes a module, as soon as the kinds are watched.
    fn serve(
        &mut self,
        module: &LoadedModule,
        trial: Option<TrialTerms<LoadedModule>>,
    ) -> Result<()> {
        let limit = self.settings().call_limits.memory;
        self.reporter
            .metrics()
            .module_is(Some(module.digest()), limit);
        let ratio = trial.as_ref().map(|trial| trial.max_failure_ratio);
        if let Some(serving) = self.stage.serving() {
            serving.swap(module.active.clone(), ratio)?;
            return Ok(());
        }
        let Some(watched) = self.stage.take_watched() else {
            return Ok(());
        };
        // A module on trial is put beside the good one.
        let first = trial.map_or_else(|| module.clone(), |trial| trial.good);
        let clients = self.clients();
        match Serving::start(&clients, watched, &self.host.options, first.active) {
            Ok(serving) => {
                if ratio.is_some() {
                    serving.swap(module.active.clone(), ratio)?;
                }
                self.stage = ServingStage::Serving(serving);
                Ok(())
            }
            Err(error) => self.refuse_for_good(&error.to_string()),
        }
    }

    /// Looks for the granted kinds anew, in the name of the account of now. What was served ends.
    async fn watch(&mut self, deadline: Duration) -> Result<()> {
        self.review = None;
        let settings = self.rollout.settings();
        self.client = self.host.clients.of_handler(settings.account.as_ref())?;
        let looking = ServingStage::look(self.host.clients.own(), GrantRequest::from(settings));
        let before = std::mem::replace(&mut self.stage, looking);
        before.stop(deadline + WRITE_TIME).await;
        Ok(())
    }

    fn preview(&mut self, module: &LoadedModule) {
        self.previews.abort_all();
        let client = self.client.client.clone();
        let digest = module.digest();
        let candidate = Candidate {
            request: GrantRequest::from(self.settings()),
            active: module.active.clone(),
            namespaces: self.host.options.namespaces.clone(),
            answers: self.host.options.answers.clone(),
            objects: self.host.object_memory.clone(),
            now: now(),
            shows_objects: false,
        };
        self.previews.spawn(async move {
            let previewed = preview(&client, &candidate, |_| {}).await;
            let result = previewed.map(|preview| ChangeCounts::of(&preview).summary(&preview));
            (digest, result.map_err(|error| error.to_string()))
        });
    }

    fn note(&self, note: &RolloutNote) {
        let handler = &self.settings().name;
        let metrics = self.reporter.metrics();
        match note {
            RolloutNote::Swapped { from, to, origin } => {
                metrics.swapped(SwapOutcome::Loaded);
                let from = from.map_or_else(|| "none".to_owned(), |from| from.short());
                tracing::info!(%handler, %from, to = %to.short(), %origin, "swapped the module");
            }
            RolloutNote::Passed(digest) => {
                tracing::info!(%handler, digest = %digest.short(), "the module passed its trial");
            }
            // The condition that follows is logged.
            RolloutNote::RolledBack(_) => metrics.swapped(SwapOutcome::RolledBack),
            RolloutNote::Refused => metrics.swapped(SwapOutcome::Refused),
        }
    }

    pub(super) fn clients(&self) -> ApiClients {
        ApiClients {
            host: self.host.clients.own(),
            handler: self.client.client.clone(),
        }
    }

    /// As the cluster is, this handler cannot be served.
    pub(super) fn refuse_for_good(&mut self, message: &str) -> Result<()> {
        match &self.origin {
            HandlerOrigin::Module { .. } => Err(anyhow!("{message}")),
            HandlerOrigin::Files(_) | HandlerOrigin::Cluster => {
                self.stage = ServingStage::Refused(message.to_owned());
                Ok(())
            }
        }
    }
}
