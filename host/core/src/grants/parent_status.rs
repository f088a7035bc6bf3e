use crate::Kind;

/// What the host writes into the status of a handler's parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentStatus {
    /// The condition `Ready`, the handler's identity, and what the handler gives.
    Conditions,
    /// Nothing: the status is another controller's, or there is none. Events, log and metrics tell the outcome.
    Nothing,
}

/// The API groups of Kubernetes itself, as of 1.36. Other kinds are custom resources, or served by another API server.
const BUILT_IN_GROUPS: [&str; 22] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "custom.metrics.k8s.io",
    "external.metrics.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
    "imagepolicy.k8s.io",
];

impl ParentStatus {
    /// What is written if nobody says: nothing for the kinds of Kubernetes itself, whose status has a controller.
    #[must_use]
    pub fn default_for(kind: &Kind) -> Self {
        if is_built_in(kind) {
            Self::Nothing
        } else {
            Self::Conditions
        }
    }
}

/// Whether Kubernetes itself defines the kind. The group of a CustomResourceDefinition has a dot.
fn is_built_in(kind: &Kind) -> bool {
    let group = kind.group();
    !group.contains('.') || BUILT_IN_GROUPS.contains(&group)
}

/// What an administrator should know before a handler serves these parents; None if there is nothing. `namespaces` are
/// those that the host serves, all if there are none.
#[must_use]
pub fn parents_warning(kind: &Kind, is_namespaced: bool, namespaces: &[String]) -> Option<String> {
    if !is_built_in(kind) {
        return None;
    }
    let is_everywhere = namespaces.is_empty();
    if !is_namespaced {
        return Some(format!(
            "the parents are every {} of the cluster, those that the cluster itself needs too; what the handler desires \
             is made for each of them",
            kind.kind
        ));
    }
    if is_everywhere || namespaces.iter().any(|it| it == "kube-system") {
        return Some(format!(
            "the parents are the {} objects of kube-system too, which the cluster itself needs; limit the host with \
             --namespace",
            kind.kind
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("v1", "Node", ParentStatus::Nothing)]
    #[case("apps/v1", "Deployment", ParentStatus::Nothing)]
    #[case("networking.k8s.io/v1", "Ingress", ParentStatus::Nothing)]
    #[case("kopf.dev/v1", "EphemeralVolumeClaim", ParentStatus::Conditions)]
    // A custom resource in a protected group.
    #[case("gateway.networking.k8s.io/v1", "Gateway", ParentStatus::Conditions)]
    fn the_status_of_kubernetes_own_kinds_is_left_alone(
        #[case] api_version: &str,
        #[case] kind: &str,
        #[case] status: ParentStatus,
    ) {
        let kind = Kind::new(api_version, kind).unwrap();
        assert_eq!(ParentStatus::default_for(&kind), status);
    }

    #[rstest]
    #[case::nodes("v1", "Node", false, &[], Some("every Node of the cluster"))]
    #[case::pods("v1", "Pod", true, &[], Some("kube-system"))]
    #[case::pods_of_kube_system("v1", "Pod", true, &["kube-system"], Some("kube-system"))]
    #[case::pods_elsewhere("v1", "Pod", true, &["team-a"], None)]
    #[case::custom("kopf.dev/v1", "EphemeralVolumeClaim", true, &[], None)]
    fn dangerous_parents_are_warned_of(
        #[case] api_version: &str,
        #[case] kind: &str,
        #[case] is_namespaced: bool,
        #[case] namespaces: &[&str],
        #[case] part: Option<&str>,
    ) {
        let kind = Kind::new(api_version, kind).unwrap();
        let namespaces: Vec<_> = namespaces.iter().map(|it| (*it).to_owned()).collect();
        let warning = parents_warning(&kind, is_namespaced, &namespaces);
        assert_eq!(warning.is_some(), part.is_some(), "{warning:?}");
        assert!(
            warning
                .unwrap_or_default()
                .contains(part.unwrap_or_default())
        );
    }
}
