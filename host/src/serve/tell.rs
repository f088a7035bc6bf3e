use handler_host_cluster::{Say, Serving};

use super::sink::PENDING;
use super::stage::Stage;
use super::steward::Steward;

/// Where a steward tells how its handler stands.
impl Steward {
    /// Says how it stands.
    pub(super) fn tell(&mut self) {
        let module_loaded = self.view.module_loaded();
        let ready = self.view.ready(&self.stage, &module_loaded);
        let counts = self.stage.serving().map(Serving::counts);
        let status = self
            .view
            .status(&ready, &module_loaded, counts, self.tally.counts());
        self.desk.sink.say(&ready, &module_loaded, status);
        if let Some(counts) = counts {
            self.meters.parents_are(counts.parents, counts.failing);
        }
        let waits_for = self.waits_for(&module_loaded);
        let readiness = &self.host.gauges.readiness;
        readiness.stands(&self.settings.name, waits_for);
    }

    /// What it waits for that will come by itself, before it serves for the first time.
    fn waits_for(&self, module_loaded: &Say) -> Option<String> {
        if self.running.is_none() && module_loaded.reason == PENDING {
            return Some("its module is being loaded".to_owned());
        }
        match &self.stage {
            Stage::Looking(looking) => looking.waits_for(),
            Stage::Refused(_) | Stage::Ready(_) => None,
            Stage::Serving(serving) if serving.is_warm() => None,
            Stage::Serving(_) => Some("its caches are being filled".to_owned()),
        }
    }
}
