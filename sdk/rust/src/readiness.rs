//! Whether objects are ready, by the rules of Kubernetes itself: what `kubectl rollout status` and `kubectl wait` go by, see
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status> and
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_status/>.

use serde_json::Value;

use crate::Readiness;

/// Whether an object is ready, and else why it is not.
///
/// An object that is being deleted is not ready, and neither is one whose controller has not seen its present generation. Beyond that
/// it depends on the kind: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, Pod, PersistentVolumeClaim, Service, Ingress,
/// Namespace and CustomResourceDefinition have rules of their own. Any other kind is ready if its condition `Ready` is `True`, or if
/// it has none.
///
/// ```
/// use handler_sdk::{Readiness, readiness};
/// use serde_json::json;
///
/// let claim = json!({
///     "apiVersion": "v1", "kind": "PersistentVolumeClaim",
///     "metadata": {"name": "a"}, "status": {"phase": "Pending"},
/// });
/// let waiting = "PersistentVolumeClaim a is Pending, and not Bound";
/// assert_eq!(readiness(&claim), Readiness::Waiting(waiting.to_owned()));
/// ```
#[must_use]
pub fn readiness(object: &Value) -> Readiness {
    match unready(object) {
        None => Readiness::Ready,
        Some(why) => {
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            Readiness::Waiting(format!("{kind} {name} {why}"))
        }
    }
}

/// Whether all of these objects are ready, and else why the first one that is not is not.
#[must_use]
pub fn readiness_of_all<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Readiness {
    let mut states = objects.into_iter().map(readiness);
    states
        .find(|state| *state != Readiness::Ready)
        .unwrap_or(Readiness::Ready)
}

fn unready(object: &Value) -> Option<String> {
    let status = &object["status"];
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Some("is being deleted".to_owned());
    }
    let generation = object["metadata"]["generation"].as_i64();
    let observed = status["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return Some(format!(
            "is at generation {generation}, of which its controller has seen {observed}"
        ));
    }
    let group = text(&object["apiVersion"]).split_once('/');
    let group = group.map_or("", |(group, _)| group);
    match (group, text(&object["kind"])) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") => replica_set(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        ("", "PersistentVolumeClaim") => phase(status, "Bound"),
        ("", "Namespace") => phase(status, "Active"),
        ("", "Service") if text(&object["spec"]["type"]) == "LoadBalancer" => address(status),
        ("", "Service") => None,
        ("networking.k8s.io", "Ingress") => address(status),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            holds(status, "NamesAccepted").or_else(|| holds(status, "Established"))
        }
        _ if condition(status, "Ready").is_some() => holds(status, "Ready"),
        _ => None,
    }
}

fn deployment(object: &Value) -> Option<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if let Some(unseen) = unseen(object) {
        return Some(unseen);
    }
    let progressing = condition(status, "Progressing");
    if let Some(condition) = progressing
        && text(&condition["reason"]) == "ProgressDeadlineExceeded"
    {
        return Some(format!(
            "makes no progress: {}",
            text(&condition["message"])
        ));
    }
    let (wanted, updated) = (replicas(spec), count(&status["updatedReplicas"]));
    let old = count(&status["replicas"]).saturating_sub(updated);
    let available = count(&status["availableReplicas"]);
    if updated < wanted {
        return Some(format!("has {updated} of {wanted} replicas updated"));
    }
    if old > 0 {
        return Some(format!("has {old} old replicas that are to end"));
    }
    (available < updated).then(|| format!("has {available} of {updated} replicas available"))
}

fn stateful_set(object: &Value) -> Option<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if let Some(unseen) = unseen(object) {
        return Some(unseen);
    }
    let (wanted, ready) = (replicas(spec), count(&status["readyReplicas"]));
    if ready < wanted {
        return Some(format!("has {ready} of {wanted} replicas ready"));
    }
    let strategy = &spec["updateStrategy"];
    if text(&strategy["type"]) == "OnDelete" {
        return None;
    }
    let partition = count(&strategy["rollingUpdate"]["partition"]);
    let updated = count(&status["updatedReplicas"]);
    if partition > 0 {
        let wanted = wanted.saturating_sub(partition);
        return (updated < wanted).then(|| format!("has {updated} of {wanted} replicas updated"));
    }
    let (current, update) = (&status["currentRevision"], &status["updateRevision"]);
    (current != update).then(|| format!("has {updated} of {wanted} replicas updated"))
}

fn daemon_set(object: &Value) -> Option<String> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if let Some(unseen) = unseen(object) {
        return Some(unseen);
    }
    let wanted = count(&status["desiredNumberScheduled"]);
    let updated = count(&status["updatedNumberScheduled"]);
    let available = count(&status["numberAvailable"]);
    if updated < wanted && text(&spec["updateStrategy"]["type"]) != "OnDelete" {
        return Some(format!("has {updated} of {wanted} Pods updated"));
    }
    (available < wanted).then(|| format!("has {available} of {wanted} Pods available"))
}

fn replica_set(object: &Value) -> Option<String> {
    let (wanted, status) = (replicas(&object["spec"]), &object["status"]);
    if let Some(unseen) = unseen(object) {
        return Some(unseen);
    }
    if let Some(condition) = condition(status, "ReplicaFailure")
        && condition["status"] == "True"
    {
        return Some(format!(
            "cannot make its Pods: {}",
            text(&condition["message"])
        ));
    }
    let available = count(&status["availableReplicas"]);
    (available < wanted).then(|| format!("has {available} of {wanted} replicas available"))
}

fn job(object: &Value) -> Option<String> {
    let status = &object["status"];
    if let Some(failed) = condition(status, "Failed")
        && failed["status"] == "True"
    {
        return Some(format!("failed: {}", text(&failed["message"])));
    }
    if condition(status, "Complete").is_some_and(|it| it["status"] == "True") {
        return None;
    }
    let (done, wanted) = (count(&status["succeeded"]), &object["spec"]["completions"]);
    Some(match wanted.as_u64() {
        Some(wanted) => format!("has {done} of {wanted} completions"),
        None => "is not complete".to_owned(),
    })
}

fn pod(object: &Value) -> Option<String> {
    let status = &object["status"];
    match text(&status["phase"]) {
        "Succeeded" => None,
        "Failed" => Some(format!("failed: {}", text(&status["message"]))),
        _ if condition(status, "Ready").is_some_and(|it| it["status"] == "True") => None,
        "" => Some("has not begun".to_owned()),
        phase => {
            let why = condition(status, "Ready").map(|it| text(&it["message"]));
            let why = why.filter(|why| !why.is_empty());
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            Some(format!("is {phase}, and not ready{why}"))
        }
    }
}

/// Why a kind is not ready whose controller always says which generation it has seen.
fn unseen(object: &Value) -> Option<String> {
    let observed = object["status"]["observedGeneration"].as_i64();
    observed
        .is_none()
        .then(|| "has not been seen by its controller".to_owned())
}

fn phase(status: &Value, wanted: &str) -> Option<String> {
    match text(&status["phase"]) {
        phase if phase == wanted => None,
        "" => Some(format!("is not {wanted} yet")),
        phase => Some(format!("is {phase}, and not {wanted}")),
    }
}

fn address(status: &Value) -> Option<String> {
    let ingress = status["loadBalancer"]["ingress"].as_array();
    ingress
        .is_none_or(Vec::is_empty)
        .then(|| "has no address yet".to_owned())
}

fn holds(status: &Value, type_: &str) -> Option<String> {
    let Some(condition) = condition(status, type_) else {
        return Some(format!("is not {type_} yet"));
    };
    if condition["status"] == "True" {
        return None;
    }
    let (reason, message) = (text(&condition["reason"]), text(&condition["message"]));
    let why = if message.is_empty() { reason } else { message };
    Some(format!("is not {type_}: {why}"))
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == type_)
}

fn replicas(spec: &Value) -> u64 {
    spec["replicas"].as_u64().unwrap_or(1)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// Of an object of this kind with generation 2.
    fn why(kind: &str, spec: &Value, status: &Value) -> String {
        let (api_version, kind) = kind.split_once(' ').unwrap();
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "a", "generation": 2}, "spec": spec, "status": status,
        });
        match readiness(&object) {
            Readiness::Ready => String::new(),
            Readiness::Waiting(message) => {
                let about = format!("{kind} a ");
                message.strip_prefix(&about).unwrap().to_owned()
            }
        }
    }

    const DEPLOYMENT: &str = "apps/v1 Deployment";
    const STATEFUL_SET: &str = "apps/v1 StatefulSet";
    const DAEMON_SET: &str = "apps/v1 DaemonSet";
    const REPLICA_SET: &str = "apps/v1 ReplicaSet";
    const JOB: &str = "batch/v1 Job";
    const POD: &str = "v1 Pod";
    const CRD: &str = "apiextensions.k8s.io/v1 CustomResourceDefinition";

    fn of(type_: &str, status: &str) -> Value {
        json!({"conditions": [{"type": type_, "status": status, "reason": "Why", "message": "because"}]})
    }

    #[rstest]
    #[case::deployment_unseen(DEPLOYMENT, json!({}), json!({}), "has not been seen by its controller")]
    #[case::deployment_of_before(DEPLOYMENT, json!({}), json!({"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1}),
        "is at generation 2, of which its controller has seen 1")]
    #[case::deployment_updating(DEPLOYMENT, json!({"replicas": 3}), json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1}),
        "has 1 of 3 replicas updated")]
    #[case::deployment_with_old_ones(DEPLOYMENT, json!({"replicas": 1}), json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1}),
        "has 1 old replicas that are to end")]
    #[case::deployment_unavailable(DEPLOYMENT, json!({}), json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}),
        "has 0 of 1 replicas available")]
    #[case::deployment_stuck(DEPLOYMENT, json!({}), json!({"observedGeneration": 2, "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]}),
        "makes no progress: timed out")]
    #[case::deployment_ready(DEPLOYMENT, json!({}), json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), "")]
    #[case::deployment_of_none(DEPLOYMENT, json!({"replicas": 0}), json!({"observedGeneration": 2}), "")]
    #[case::stateful_set_starting(STATEFUL_SET, json!({"replicas": 2}), json!({"observedGeneration": 2, "readyReplicas": 1}),
        "has 1 of 2 replicas ready")]
    #[case::stateful_set_rolling(STATEFUL_SET, json!({}), json!({"observedGeneration": 2, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
        "has 0 of 1 replicas updated")]
    #[case::stateful_set_on_delete(STATEFUL_SET, json!({"updateStrategy": {"type": "OnDelete"}}),
        json!({"observedGeneration": 2, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"}), "")]
    #[case::stateful_set_partitioned(STATEFUL_SET, json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
        json!({"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
        "has 1 of 2 replicas updated")]
    #[case::stateful_set_partitioned_and_done(STATEFUL_SET, json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
        json!({"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "b"}), "")]
    #[case::stateful_set_ready(STATEFUL_SET, json!({}), json!({"observedGeneration": 2, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "a"}), "")]
    #[case::daemon_set_updating(DAEMON_SET, json!({}), json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberAvailable": 3}),
        "has 2 of 3 Pods updated")]
    #[case::daemon_set_on_delete(DAEMON_SET, json!({"updateStrategy": {"type": "OnDelete"}}),
        json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "numberAvailable": 3}), "")]
    #[case::daemon_set_unavailable(DAEMON_SET, json!({}), json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 1}),
        "has 1 of 3 Pods available")]
    #[case::daemon_set_on_no_node(DAEMON_SET, json!({}), json!({"observedGeneration": 2, "desiredNumberScheduled": 0}), "")]
    #[case::replica_set_starting(REPLICA_SET, json!({"replicas": 2}), json!({"observedGeneration": 2, "availableReplicas": 1}),
        "has 1 of 2 replicas available")]
    #[case::replica_set_refused(REPLICA_SET, json!({}), json!({"observedGeneration": 2, "conditions": [
        {"type": "ReplicaFailure", "status": "True", "message": "quota"}]}), "cannot make its Pods: quota")]
    #[case::replica_set_ready(REPLICA_SET, json!({}), json!({"observedGeneration": 2, "availableReplicas": 1}), "")]
    #[case::job_running(JOB, json!({"completions": 3}), json!({"succeeded": 1}), "has 1 of 3 completions")]
    #[case::job_of_a_work_queue(JOB, json!({}), json!({"succeeded": 1}), "is not complete")]
    #[case::job_failed(JOB, json!({}), of("Failed", "True"), "failed: because")]
    #[case::job_done(JOB, json!({}), of("Complete", "True"), "")]
    #[case::pod_new(POD, json!({}), json!({}), "has not begun")]
    #[case::pod_starting(POD, json!({}), json!({"phase": "Pending"}), "is Pending, and not ready")]
    #[case::pod_unready(POD, json!({}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [a]"}]}),
        "is Running, and not ready: containers with unready status: [a]")]
    #[case::pod_ready(POD, json!({}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), "")]
    #[case::pod_done(POD, json!({}), json!({"phase": "Succeeded"}), "")]
    #[case::pod_failed(POD, json!({}), json!({"phase": "Failed", "message": "evicted"}), "failed: evicted")]
    #[case::claim_pending("v1 PersistentVolumeClaim", json!({}), json!({"phase": "Pending"}), "is Pending, and not Bound")]
    #[case::claim_new("v1 PersistentVolumeClaim", json!({}), json!({}), "is not Bound yet")]
    #[case::claim_bound("v1 PersistentVolumeClaim", json!({}), json!({"phase": "Bound"}), "")]
    #[case::namespace_ending("v1 Namespace", json!({}), json!({"phase": "Terminating"}), "is Terminating, and not Active")]
    #[case::service("v1 Service", json!({"type": "ClusterIP"}), json!({}), "")]
    #[case::load_balancer("v1 Service", json!({"type": "LoadBalancer"}), json!({"loadBalancer": {}}), "has no address yet")]
    #[case::load_balancer_ready("v1 Service", json!({"type": "LoadBalancer"}), json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}), "")]
    #[case::ingress("networking.k8s.io/v1 Ingress", json!({}), json!({}), "has no address yet")]
    #[case::definition_new(CRD, json!({}), json!({}), "is not NamesAccepted yet")]
    #[case::definition_refused(CRD, json!({}), of("NamesAccepted", "False"), "is not NamesAccepted: because")]
    #[case::definition_ready(CRD, json!({}), json!({"conditions": [
        {"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]}), "")]
    #[case::any_ready("example.com/v1 Any", json!({}), of("Ready", "True"), "")]
    #[case::any_unready("example.com/v1 Any", json!({}), of("Ready", "Unknown"), "is not Ready: because")]
    #[case::any_of_before("example.com/v1 Any", json!({}), json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}),
        "is at generation 2, of which its controller has seen 1")]
    #[case::any_without_a_condition("v1 ConfigMap", json!({}), json!(null), "")]
    // A kind of that name in another group.
    #[case::another_deployment("example.com/v1 Deployment", json!({}), json!({}), "")]
    fn an_object_is_ready_by_the_rules_of_its_kind(
        #[case] kind: &str,
        #[case] spec: Value,
        #[case] status: Value,
        #[case] told: &str,
    ) {
        assert_eq!(why(kind, &spec, &status), told);
    }

    #[test]
    fn what_is_being_deleted_is_not_ready_and_the_first_of_several_is_told() {
        let object = |name: &str, deletion: Option<&str>| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "deletionTimestamp": deletion}});
        let objects = [
            object("a", None),
            object("b", Some("now")),
            object("c", Some("now")),
        ];
        let told = Readiness::Waiting("ConfigMap b is being deleted".to_owned());
        assert_eq!(readiness_of_all(&objects), told);
        assert_eq!(readiness_of_all(&objects[..1]), Readiness::Ready);
        assert_eq!(readiness_of_all(&[]), Readiness::Ready);
    }
}
