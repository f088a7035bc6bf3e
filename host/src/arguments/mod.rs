mod choices;
mod rbac;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use handler_host_cluster::LeaseName;
use handler_host_core::CallLimits;
use http::Uri;

pub(crate) use choices::{
    Color, CrdOutput, DiffOutput, InspectOutput, LogFormat, ParentDelete, PushOutput, RenderOutput,
};
pub(crate) use rbac::RbacArguments;

use crate::traces;

/// Run Kubernetes handlers: WebAssembly components that say which objects should exist.
///
/// The host watches, checks, applies, reports and retries. A handler has no network, no credentials,
/// no files and no clock: it is a function from (parent, observed children, config) to desired children.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve handlers: watch their parents in a cluster and keep their children as they say
    Run(Box<RunArguments>),
    /// Show what a module would change in a cluster, as diffs of children; changes nothing
    Diff(DiffArguments),
    /// Call a handler for objects in a file and print the children it desires; needs no cluster
    Render(RenderArguments),
    /// Say what a module is: digest, size, world, imports, and the kinds it handles
    Inspect(InspectArguments),
    /// Push a module to a registry as an OCI image, and print what pins it
    Push(PushArguments),
    /// Print the definition of Handlers: `handler-host crd | kubectl apply -f -`
    Crd(CrdArguments),
    /// Print the roles that a handler needs, for `kubectl apply -f -`
    Rbac(RbacArguments),
    /// Print a completion script for a shell, e.g. `source <(handler-host completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Clone)]
pub(crate) struct ModuleArguments {
    /// The handler: a WebAssembly component
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// A field of the handler's config; the value is YAML. Repeatable
    ///
    /// `--config storageClass=fast --config replicas=3` gives the handler
    /// `{"storageClass": "fast", "replicas": 3}`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

#[derive(Args, Clone)]
pub(crate) struct LimitArguments {
    /// How long one call may take, in milliseconds of wall-clock time
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    deadline: u64,

    /// How much memory one call may use, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    memory: u16,
}

impl From<&LimitArguments> for CallLimits {
    fn from(arguments: &LimitArguments) -> Self {
        Self {
            memory: usize::from(arguments.memory) << 20,
            deadline: Duration::from_millis(arguments.deadline),
        }
    }
}

#[derive(Args)]
#[command(
    after_long_help = RUN_HELP,
    group = ArgGroup::new("what").required(true).args(["module", "handlers", "handlers_from_cluster"])
)]
pub(crate) struct RunArguments {
    /// One handler, without a Handler: a WebAssembly component. What it describes is granted
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,

    /// Handlers: YAML or JSON files of Handler resources, or directories of them. Repeatable
    #[arg(long = "handler", value_name = "PATH", num_args = 1.., conflicts_with_all = ONLY)]
    pub(crate) handlers: Vec<PathBuf>,

    /// Handlers: all Handler resources of the cluster
    #[arg(long, conflicts_with_all = ONLY)]
    pub(crate) handlers_from_cluster: bool,

    /// With --handlers-from-cluster: only those with these labels, e.g. `team=storage`
    #[arg(
        long,
        value_name = "LABELS",
        default_value = "",
        requires = "handlers_from_cluster"
    )]
    pub(crate) handler_selector: String,

    #[command(flatten)]
    pub(crate) only: OnlyArguments,

    /// A namespace whose parents are served. Repeatable [default: all namespaces]
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// How many parents of a handler are worked on at a time, and how many calls run at a time in all
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) concurrency: u32,

    /// How many parents of a handler a second are looked at again after its module changed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) revisit_rate: u32,

    /// Memory for answers of handlers, in MiB: a call with the same input is answered from it. 0 turns it off
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=4096))]
    pub(crate) memo: u64,

    /// Where the last good module of each Handler is kept, to survive a restart of the host, and compiled code
    ///
    /// By default $STATE_DIRECTORY, else handler-host in $XDG_STATE_HOME or ~/.local/state. In a Pod with a
    /// read-only root file system mount a volume and name it here. Where it cannot be written, the host says so
    /// and goes on without.
    #[arg(long, value_name = "DIR", conflicts_with = "module")]
    pub(crate) state_dir: Option<PathBuf>,

    /// A Lease, so that of several hosts with the same Handlers one serves and the others stand by
    ///
    /// It is made if there is none. A host that stands by has its caches filled and its modules compiled, and
    /// takes over as soon as the Lease is given back, or ran out.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = lease, conflicts_with = "module")]
    pub(crate) lease: Option<LeaseName>,

    /// With --lease: after what time without a renewal, in seconds, another host takes over
    #[arg(long, value_name = "S", default_value_t = 15, requires = "lease", value_parser = clap::value_parser!(u64).range(5..=300))]
    pub(crate) lease_duration: u64,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArguments,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

fn lease(text: &str) -> Result<LeaseName, &'static str> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(LeaseName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        }
        Some(_) | None => Err("a Lease is named NAMESPACE/NAME, e.g. handler-host/handler-host"),
    }
}

#[derive(Args, Clone)]
pub(crate) struct TelemetryArguments {
    /// Where /livez, /readyz and /metrics are answered, e.g. `0.0.0.0:8080` [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,

    /// With --listen: how long what should move may be silent before /livez fails, in seconds
    ///
    /// The API server sends each watch a bookmark a minute, and a busy one every second minute. One that sends
    /// none, as aggregated API servers may, ends a silent watch after 290 s: with such kinds, 330 s are right.
    #[arg(long, value_name = "SECONDS", default_value_t = 240, requires = "listen", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) max_silence: u64,

    /// How log lines are written, to standard error. RUST_LOG sets what is logged, e.g. `debug`
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) log_format: LogFormat,

    /// An OpenTelemetry collector to send traces of reconciles to, e.g. `http://localhost:4318` [default: none]
    ///
    /// By OTLP over HTTP, to /v1/traces unless the URL has a path of its own. The environment variables of
    /// OpenTelemetry are heeded, e.g. OTEL_TRACES_SAMPLER=parentbased_traceidratio with
    /// OTEL_TRACES_SAMPLER_ARG=0.01 for one in a hundred, and OTEL_RESOURCE_ATTRIBUTES.
    #[arg(long, value_name = "URL", value_parser = traces::endpoint)]
    pub(crate) otlp_endpoint: Option<Uri>,
}

#[derive(Args, Clone)]
pub(crate) struct ClusterArguments {
    /// The kubeconfig to use [default: $KUBECONFIG, ~/.kube/config, or the Pod's service account]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: its current one]
    #[arg(long)]
    pub(crate) context: Option<String>,
}

/// What a Handler says itself, and no argument beside it.
const ONLY: [&str; 5] = ["config", "name", "on_parent_delete", "deadline", "memory"];

/// What a Handler would say, for a module without one.
#[derive(Args, Clone)]
pub(crate) struct OnlyArguments {
    /// With --module: a field of the handler's config; the value is YAML. Repeatable
    ///
    /// `--config storageClass=fast --config replicas=3` gives the handler
    /// `{"storageClass": "fast", "replicas": 3}`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    /// With --module: the handler's name, in labels, field managers and log lines [default: the file's stem]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// With --module: what becomes of children when their parent is deleted
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "delete",
        requires = "module"
    )]
    pub(crate) on_parent_delete: ParentDelete,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

const RUN_HELP: &str = "\
With --module, the module's own description is printed and granted: it may apply the kinds it describes, in \
its parents' namespaces, and nothing else. A Handler grants what it lists, and has limits of its own instead of \
--deadline and --memory. `handler-host crd` prints its CRD. With spec.serviceAccount its parents and children \
are read and written as that account; `handler-host rbac` prints the roles that it needs.

Modules and Handlers are followed: a new module is compiled and checked beside the one that runs, takes over \
without a restart, and is on trial for a while; a bad one changes nothing. `handler-host diff` shows before \
what it would do.

SIGTERM or Ctrl-C lets what is under way end, for at most the deadline of a call and 10 s more, then exits \
with 0. Exit code 1: the module, its config, a Handler's file or the cluster configuration will not do, or a \
part of the host ended. An API server that is away is waited for.";

#[derive(Args)]
#[command(after_long_help = DIFF_HELP)]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    pub(crate) module: ModuleArguments,

    /// The Handler whose grant, config and limits it is to have: its name in the cluster, or a file of it.
    /// Without, the module is tried as `run --module` would run it
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ONLY)]
    pub(crate) handler: Option<String>,

    /// The name of the handler it is to serve as: children are known by it [default: the file's stem]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// A namespace whose parents are looked at. Repeatable [default: all namespaces]
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// What becomes of children when their parent is deleted
    #[arg(long, value_name = "WHAT", default_value = "delete")]
    pub(crate) on_parent_delete: ParentDelete,

    /// How the outcome is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: DiffOutput,

    /// Whether it is printed in colours; NO_COLOR in the environment makes auto mean never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

const DIFF_HELP: &str = "\
The module is called for every parent there is, and each write that would follow goes to the API server as a \
dry run, so that its defaults, its validation and its admission webhooks have had their say. Nothing is \
written, and a handler that runs is not disturbed. It takes the rights that `run` takes.

A child that would change is a unified diff, live against tried, less what the API server writes for itself. \
A parent that would fail and does not yet is a line that begins with `!`.

A new module is tried under the name of the handler whose place it is to take, since children are known by \
it; another config is tried with the module that runs:

  handler-host diff --module evc-2.wasm --name evc
  handler-host diff --module evc.wasm --config storageClass=fast

Exit codes:
  0  nothing would change, and no parent would newly fail
  1  something would
  2  wrong usage, or there is no preview: the module, the cluster or its configuration will not do";

#[derive(Args)]
#[command(after_long_help = RENDER_HELP)]
pub(crate) struct RenderArguments {
    #[command(flatten)]
    pub(crate) module: ModuleArguments,

    /// The parents, as YAML or JSON; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: PathBuf,

    /// How the outcome is printed: the children as YAML, or everything the handler said as JSON
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: RenderOutput,
}

const RENDER_HELP: &str = "\
Kinds of children are taken for namespaced. The children are printed as the handler gave them; `run` adds \
namespace, owner reference and labels.

Exit codes:
  0  the children are printed
  1  the module, the file or the config will not do
  2  wrong usage
  3  the handler says: permanent failure
  4  the handler says: temporary failure
  5  the handler trapped, or ran over its deadline or memory limit
  6  the children are outside what the handler describes
With several parents, the code of the first that failed.";

#[derive(Args)]
pub(crate) struct InspectArguments {
    /// The module
    #[arg(value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// A field of the config to describe for; the value is YAML. Repeatable
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: InspectOutput,
}

#[derive(Args)]
#[command(after_long_help = PUSH_HELP)]
pub(crate) struct PushArguments {
    /// The module
    #[arg(value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// Where it goes: `host/repository:tag`
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,

    /// Speak HTTP without TLS, as with a registry on this machine
    #[arg(long)]
    pub(crate) plain_http: bool,

    /// An annotation of the image. Repeatable
    ///
    /// `--annotation org.opencontainers.image.source=https://github.com/acme/evc` says where the source is.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub(crate) annotations: Vec<String>,

    /// How the outcome is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: PushOutput,
}

const PUSH_HELP: &str = "\
The file is compiled first: what is no handler is not pushed. The same file gives the same image, so pushing \
twice changes nothing.

A Handler that names the image by the printed host/repository@sha256:… always runs this very module; one \
that names the tag follows it. The digest of the module is what `inspect` prints and what a Handler may pin.

Credentials are those of `docker login`, helpers included: config.json in $DOCKER_CONFIG, or in ~/.docker.

The image has the layout that the CNCF's Wasm working group describes, one layer of application/wasm. So \
other tools do as well: `wkg oci push REFERENCE FILE` pushes such an image, `wkg oci pull` and `oras pull` \
read it.

Examples:
  handler-host push evc.wasm ghcr.io/acme/evc:1.2.0
  handler-host push evc.wasm localhost:5000/evc:dev --plain-http
  handler-host push evc.wasm ghcr.io/acme/evc:1.2.0 -o json | jq -r .image";

#[derive(Args)]
#[command(after_long_help = CRD_HELP)]
pub(crate) struct CrdArguments {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: CrdOutput,
}

const CRD_HELP: &str = "\
Install it, or bring it up to date:
  handler-host crd | kubectl apply -f -";
