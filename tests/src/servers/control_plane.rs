//! The servers of a control plane: etcd, kube-apiserver and kube-controller-manager.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::health::{answers, is_ok};
use super::setup::Purpose;
use crate::accounts::{TestAccount, Tokens, client};
use crate::programs::server::{Launch, Server};

const AUDIT_POLICY: &str = include_str!("../../control-plane/audit-policy.yaml");
/// The controllers that work on the objects of the suites, where there are no Pods.
const CONTROLLERS: &str =
    "namespace-controller,garbage-collector-controller,persistentvolumeclaim-protection-controller";

pub(super) async fn start_etcd(launch: &Launch<'_>, directory: &Path) -> Result<(Server, String)> {
    let arguments = |ports: &[u16]| {
        let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        Ok(vec![
            format!("--data-dir={}", directory.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ])
    };
    let url = |ports: &[u16]| format!("http://127.0.0.1:{}", ports[0]);
    let (server, ports) = launch
        .start(arguments, async |ports| is_ok(&url(ports), "/health").await)
        .await?;
    Ok((server, url(&ports)))
}

pub(super) async fn start_api_server(
    launch: &Launch<'_>,
    directory: &Path,
    etcd: &str,
    purpose: &Purpose,
) -> Result<(Server, String)> {
    let tokens = Tokens::new(match purpose {
        Purpose::Clients => &TestAccount::CONTROL_PLANE,
        Purpose::Node(_) => &TestAccount::WITH_NODE,
    })?;
    let token_file = directory.join("tokens.csv");
    tokens.write(&token_file)?;
    let policy = directory.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY)
        .with_context(|| format!("cannot write {}", policy.display()))?;

    let host = match purpose {
        Purpose::Clients => Ipv4Addr::LOCALHOST,
        Purpose::Node(environment) => environment.address,
    };
    let url = |ports: &[u16]| format!("https://{host}:{}", ports[0]);
    let certificate = directory.join("certificates/apiserver.crt");
    let arguments = |ports: &[u16]| {
        tokens.write_kubeconfigs(directory, &url(ports), &certificate)?;
        let mut arguments = vec![
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={}", ports[0]),
            format!("--bind-address={host}"),
            // Without this option it looks for a default route, which a machine without a network lacks.
            format!("--advertise-address={host}"),
            format!("--token-auth-file={}", token_file.display()),
            format!("--audit-policy-file={}", policy.display()),
        ];
        arguments.extend(api_server_arguments(directory));
        arguments.extend(purpose_arguments(purpose).iter().map(|it| (*it).to_owned()));
        Ok(arguments)
    };
    let is_ready = async |_: &[u16]| {
        // The first start makes the certificate, so in its first moments there is none to trust.
        match client(&TestAccount::Admin.kubeconfig(directory)).await {
            Ok(client) => answers(&client, "/readyz").await,
            Err(_) => false,
        }
    };
    let (server, ports) = launch.start(arguments, is_ready).await?;
    Ok((server, url(&ports)))
}

fn api_server_arguments(directory: &Path) -> [String; 8] {
    // kube-apiserver makes a certificate and an RSA key for itself here before it reads the key of service
    // accounts, so the same key serves for both.
    let certificates = directory.join("certificates");
    let key = certificates.join("apiserver.key");
    [
        format!("--cert-dir={}", certificates.display()),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--audit-log-path={}", directory.join("audit.log").display()),
        // The log is never rotated, because a mark is an offset in it.
        "--audit-log-maxsize=10000".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

fn purpose_arguments(purpose: &Purpose) -> &'static [&'static str] {
    match purpose {
        Purpose::Clients => &[
            "--authorization-mode=RBAC",
            // The API server refuses a loopback address as an endpoint of the service `kubernetes`, which
            // nothing here uses.
            "--endpoint-reconciler-type=none",
            // No controller makes service accounts here.
            "--disable-admission-plugins=ServiceAccount",
            // Some clusters have this plugin. With it, owner references that block deletion need a right of their own.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        ],
        Purpose::Node(_) => &[
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            // No DNS server knows the node's name.
            "--kubelet-preferred-address-types=InternalIP",
        ],
    }
}

pub(super) async fn start_controller_manager(
    launch: &Launch<'_>,
    directory: &Path,
    purpose: &Purpose,
) -> Result<Server> {
    let certificates = directory.join("certificates");
    let arguments = |ports: &[u16]| {
        let kubeconfig = TestAccount::ControllerManager.kubeconfig(directory);
        let mut arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            // The default of 20 requests a second is too low, because each test makes a namespace and deletes it.
            "--kube-api-qps=300".to_owned(),
            "--kube-api-burst=600".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", ports[0]),
            "--profiling=false".to_owned(),
        ];
        match purpose {
            Purpose::Clients => arguments.push(format!("--controllers={CONTROLLERS}")),
            Purpose::Node(_) => arguments.extend([
                // Pods trust the first file, and the second one signs their tokens.
                format!(
                    "--root-ca-file={}",
                    certificates.join("apiserver.crt").display()
                ),
                format!(
                    "--service-account-private-key-file={}",
                    certificates.join("apiserver.key").display()
                ),
            ]),
        }
        Ok(arguments)
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("https://127.0.0.1:{}", ports[0]), "/healthz").await;
    let (server, _) = launch.start(arguments, is_ready).await?;
    Ok(server)
}
