use std::path::PathBuf;

use clap::{ArgGroup, Args};
use handler_host_core::Account;

use super::{ClusterArguments, CrdOutput, ONLY, OnlyArguments};
use crate::rbac::{HOST_ACCOUNT, Subject};

#[derive(Args)]
#[command(
    after_long_help = RBAC_HELP,
    group = ArgGroup::new("whose").required(true).multiple(true).args(["module", "handlers"])
)]
pub(crate) struct RbacArguments {
    /// Handlers: names of Handlers in the cluster, files of them, or directories of such files. A path has a
    /// dot or a slash. Repeatable
    #[arg(long = "handler", value_name = "NAME|PATH", num_args = 1.., conflicts_with_all = ONLY)]
    pub(crate) handlers: Vec<String>,

    /// A module without a Handler, granted what it describes. With --handler: the module that says whether
    /// parents get a finalizer
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) only: OnlyArguments,

    /// The account that is given the rights [default: the Handler's spec.serviceAccount, else --host-account]
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub(crate) service_account: Option<Account>,

    /// The host's own account, which may act as the handler's then; what has no slash is a user
    #[arg(long, value_name = "NAMESPACE/NAME|USER", default_value = HOST_ACCOUNT)]
    pub(crate) host_account: Subject,

    /// A namespace whose parents are served, as in `run`: a Role there instead of a ClusterRole. Repeatable
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// Ask no cluster: guess the plural names of kinds, and that parents have a status subresource
    #[arg(long)]
    pub(crate) guess: bool,

    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: CrdOutput,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

/// Reads `NAMESPACE/NAME`.
fn service_account(text: &str) -> Result<Account, String> {
    let Some((namespace, name)) = text.split_once('/') else {
        return Err("it has no slash; write it as NAMESPACE/NAME, such as team-a/evc".to_owned());
    };
    Account::new(namespace, name).map_err(|error| error.to_string())
}

const RBAC_HELP: &str = "\
The rights are those that the API server asks for when the host serves the handler, and no others: to watch \
its parents and children, to write children, and to write the parents' status and, where the module wants \
one, finalizer. They go to the handler's account, and the host is given the right to act as that account. \
The account's namespace must be there already.

What a kind is called in roles, and whether it has a status subresource, the cluster says; one that is not \
served is an error. With --guess nobody is asked, and what was guessed is told on standard error. Where that \
was wrong, the Handler's condition Authorized says what is missing.

Whether parents get a finalizer, a module says: the one that --module names, else the one that runs, by the \
Handler's status, else the file that the Handler names. Where none can be asked it is taken for no, which is \
told on standard error.

Examples:
  handler-host rbac --handler evc | kubectl apply -f -
  handler-host rbac --handler evc.yaml --namespace team-a --namespace team-b | kubectl apply -f -
  handler-host rbac --module evc.wasm --service-account team-a/evc | kubectl apply -f -
  kubectl delete --ignore-not-found clusterrole,clusterrolebinding handler-host:evc";
