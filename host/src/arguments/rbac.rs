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
    /// The Handlers: their names in the cluster, files that hold them, or directories of such files. A value with a
    /// dot or a slash is a path. Can be given several times
    #[arg(long = "handler", value_name = "NAME|PATH", num_args = 1.., conflicts_with_all = ONLY)]
    pub(crate) handlers: Vec<String>,

    /// A module; it is granted the kinds that it describes, unless a Handler in the cluster serves its parents' kind or
    /// --handler names one: then the roles are for that Handler, and the module says whether parents get a finalizer
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) only: OnlyArguments,

    /// The account that gets the rights [default: the Handler's spec.serviceAccount, else --host-account]
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub(crate) service_account: Option<Account>,

    /// The host's own account, which gets the right to act as the handler's account; a value without a slash is a user
    #[arg(long, value_name = "NAMESPACE/NAME|USER", default_value = HOST_ACCOUNT)]
    pub(crate) host_account: Subject,

    /// A namespace whose parents are served, as in `run`: it gets a Role instead of a ClusterRole. Can be given several
    /// times
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// Use no cluster: guess the plural names of kinds, and that parents have a status subresource
    #[arg(long)]
    pub(crate) guess: bool,

    /// The format of the output
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
The printed roles have the rights that the API server requires when the host serves the handler, and no others: \
to watch its parents and children, to write children, and to write the parents' status and, where the module \
wants one, their finalizer. The roles are bound to the handler's account, and the host gets the right to act as \
that account. The account's namespace must exist already.

The command reads from the cluster what a kind is called in roles, and whether it has a status subresource; a kind \
that the cluster does not serve is an error. With --guess it uses no cluster, and prints its guesses to standard \
error. If a guess was wrong, the Handler's condition Authorized says which right is missing.

With --module alone, the command looks for a Handler in the cluster that serves the kind of the module's parents, and \
prints its roles: its name, its grant and its account. With --name or --config, or if there is no such Handler, it prints \
the roles for `run --module`.

A module says whether parents get a finalizer: the module that --module names, else the module that runs, by the \
Handler's status, else the file that the Handler names. If none of these is available, the command assumes that \
parents get no finalizer, and says so on standard error.

Examples:
  handler-host rbac --handler evc | kubectl apply -f -
  handler-host rbac --handler evc.yaml --namespace team-a --namespace team-b | kubectl apply -f -
  handler-host rbac --module evc.wasm --service-account team-a/evc | kubectl apply -f -
  kubectl delete --ignore-not-found clusterrole,clusterrolebinding handler-host:evc";
