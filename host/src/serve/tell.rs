use handler_host_cluster::Serving;

use super::sink::PENDING;
use super::steward::Steward;

/// Where a steward tells how its handler stands.
impl Steward {
    /// Says how it stands.
    pub(super) fn tell(&mut self) {
        let said = self.view.conditions(&self.stage);
        let counts = self.stage.serving().map(Serving::counts);
        let status = self.view.status(&said, counts, self.tally.counts());
        self.desk.sink.say(said, status);
        if let Some(counts) = counts {
            self.meters.parents_are(counts.parents, counts.failing);
        }
        let waits_for = self.waits_for();
        let readiness = &self.host.gauges.readiness;
        readiness.stands(&self.settings.name, waits_for);
    }

    /// What it waits for that will come by itself, before it serves for the first time.
    fn waits_for(&self) -> Option<String> {
        if self.running.is_none() && self.view.module_loaded().reason == PENDING {
            return Some("its module is being loaded".to_owned());
        }
        self.stage.waits_for()
    }
}
