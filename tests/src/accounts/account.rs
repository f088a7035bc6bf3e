//! The users of a control plane.

use std::path::{Path, PathBuf};

/// A user of the API server, who has a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestAccount {
    /// The administrator, who may do everything.
    Admin,
    /// The user `handler-host`, with the rights of `tests/control-plane/host-role.yaml`.
    Host,
    /// The user `handler-host-2`, with the same rights. A second host uses it, so that the audit log tells the two
    /// hosts apart.
    SecondHost,
    /// The host's service account. It has the rights of `host/deploy/base` once that is
    /// [applied](crate::deployment::deployed).
    Deployed,
    /// The user `nobody`, who has no rights.
    Nobody,
    /// kube-controller-manager. It may do everything, and the audit log tells it from the administrator.
    ControllerManager,
    /// kube-scheduler, where there is a node. It has the rights that the API server gives it, as the next two have.
    Scheduler,
    /// kube-proxy.
    Proxy,
    /// The kubelet of the node.
    Kubelet,
}

impl TestAccount {
    /// The accounts of a control plane without a node.
    pub(crate) const CONTROL_PLANE: [TestAccount; 6] = [
        TestAccount::Admin,
        TestAccount::Host,
        TestAccount::SecondHost,
        TestAccount::Deployed,
        TestAccount::Nobody,
        TestAccount::ControllerManager,
    ];
    /// The accounts of a control plane with a node.
    pub(crate) const WITH_NODE: [TestAccount; 7] = [
        TestAccount::Admin,
        TestAccount::Host,
        TestAccount::Nobody,
        TestAccount::ControllerManager,
        TestAccount::Scheduler,
        TestAccount::Proxy,
        TestAccount::Kubelet,
    ];

    /// The user name, as it is in the audit log.
    pub fn user(self) -> &'static str {
        match self {
            TestAccount::Admin => "admin",
            TestAccount::Host => "handler-host",
            TestAccount::SecondHost => "handler-host-2",
            TestAccount::Deployed => "system:serviceaccount:handler-host:handler-host",
            TestAccount::Nobody => "nobody",
            TestAccount::ControllerManager => "kube-controller-manager",
            TestAccount::Scheduler => "system:kube-scheduler",
            TestAccount::Proxy => "system:kube-proxy",
            TestAccount::Kubelet => "system:node:node",
        }
    }

    /// The path of the kubeconfig in the directory of a control plane.
    pub fn kubeconfig(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            TestAccount::Admin => "admin.kubeconfig",
            TestAccount::Host => "host.kubeconfig",
            TestAccount::SecondHost => "second-host.kubeconfig",
            TestAccount::Deployed => "deployed.kubeconfig",
            TestAccount::Nobody => "nobody.kubeconfig",
            TestAccount::ControllerManager => "controller-manager.kubeconfig",
            TestAccount::Scheduler => "scheduler.kubeconfig",
            TestAccount::Proxy => "proxy.kubeconfig",
            TestAccount::Kubelet => "kubelet.kubeconfig",
        })
    }

    /// The groups, separated by commas.
    pub(super) fn groups(self) -> &'static str {
        match self {
            TestAccount::Admin | TestAccount::ControllerManager => "system:masters",
            TestAccount::Deployed => "system:serviceaccounts,system:serviceaccounts:handler-host",
            TestAccount::Kubelet => "system:nodes",
            TestAccount::Host
            | TestAccount::SecondHost
            | TestAccount::Nobody
            | TestAccount::Scheduler
            | TestAccount::Proxy => "",
        }
    }
}
