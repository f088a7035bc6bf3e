mod choices;
mod rbac;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use handler_host_cluster::LeaseName;
use handler_host_core::{CallLimits, Kind, Timestamp};
use http::Uri;

pub(crate) use choices::{
    Color, CrdOutput, DiffOutput, InspectOutput, LogFormat, ParentDelete, PushOutput, RenderOutput,
};
pub(crate) use rbac::RbacArguments;

use crate::traces;

/// Run Kubernetes handlers: WebAssembly components that say which objects should exist.
///
/// The host watches, checks, applies, reports and retries. A handler has no network, no credentials,
/// no files and no clock: it is a function from (parent, observed children, related objects, config, time) to desired children.
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
    /// Compile the module on standard input within limits; the host runs this for itself
    #[command(hide = true)]
    Compile(CompileArguments),
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

#[derive(Args)]
pub(crate) struct CompileArguments {
    /// How much memory compiling may take, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: u64,

    /// How much CPU time compiling may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) cpu_seconds: u64,
}

#[derive(Args, Clone)]
pub(crate) struct ModuleArguments {
    /// The handler: a WebAssembly component
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// A field of the handler's config; the value is YAML. Can be given several times
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
    /// How long one call of the handler may compute, in milliseconds, without its waiting
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    deadline: u64,

    /// How much memory one call of the handler may use, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    memory: u16,
}

impl From<&LimitArguments> for CallLimits {
    fn from(arguments: &LimitArguments) -> Self {
        Self {
            memory: usize::from(arguments.memory) << 20,
            deadline: Duration::from_millis(arguments.deadline),
            ..Self::default()
        }
    }
}

#[derive(Args)]
#[command(
    after_long_help = RUN_HELP,
    group = ArgGroup::new("what").required(true).args(["module", "handlers", "handlers_from_cluster"])
)]
pub(crate) struct RunArguments {
    /// Serve one handler, a WebAssembly component, without a Handler resource; the kinds that it describes are granted
    #[arg(short, long, value_name = "FILE")]
    pub(crate) module: Option<PathBuf>,

    /// Serve the Handler resources in these YAML or JSON files, or directories of files. Can be given several times
    #[arg(long = "handler", value_name = "PATH", num_args = 1.., conflicts_with_all = ONLY)]
    pub(crate) handlers: Vec<PathBuf>,

    /// Serve all Handler resources of the cluster
    #[arg(long, conflicts_with_all = ONLY)]
    pub(crate) handlers_from_cluster: bool,

    /// With --handlers-from-cluster: serve only the Handlers with these labels, e.g. `team=storage`
    #[arg(
        long,
        value_name = "LABELS",
        default_value = "",
        requires = "handlers_from_cluster"
    )]
    pub(crate) handler_selector: String,

    #[command(flatten)]
    pub(crate) only: OnlyArguments,

    /// A namespace whose parents are served. Can be given several times [default: all namespaces]
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// How many parents of each handler are reconciled at the same time, and how many calls run at the same time for
    /// all handlers together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) concurrency: u32,

    /// How many parents of each handler are reconciled again per second after its module changed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) revisit_rate: u32,

    /// The size of the cache for answers of handlers, in MiB: a call whose input is in the cache is answered from it.
    /// 0 turns the cache off
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=4096))]
    pub(crate) memo: u64,

    /// The directory for the last good module of each Handler, so that it survives a restart, and for compiled code
    ///
    /// The default is $STATE_DIRECTORY, else handler-host in $XDG_STATE_HOME or ~/.local/state. In a Pod with a
    /// read-only root file system, mount a volume and name it here. If the directory cannot be written, the host
    /// reports that and continues without it.
    #[arg(long, value_name = "DIR", conflicts_with = "module")]
    pub(crate) state_dir: Option<PathBuf>,

    /// The Lease by which several hosts with the same Handlers elect the one that serves; the others stand by
    ///
    /// The host creates the Lease if it does not exist. A host that stands by has filled its caches and compiled its
    /// modules, and takes over as soon as the Lease is released or expires.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = lease, conflicts_with = "module")]
    pub(crate) lease: Option<LeaseName>,

    /// With --lease: how many seconds after the last renewal another host takes over
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
    /// The address at which /livez, /readyz and /metrics are served, e.g. `0.0.0.0:8080` [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,

    /// With --listen: for how many seconds a watch, a request or a worker may make no progress before /livez fails
    ///
    /// The API server sends a bookmark to each watch every minute, and every two minutes when it is busy. An API
    /// server that sends no bookmarks, such as some aggregated ones, ends a silent watch after 290 s: for their kinds
    /// use 330.
    #[arg(long, value_name = "SECONDS", default_value_t = 240, requires = "listen", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) max_silence: u64,

    /// The format of log lines, which go to standard error. RUST_LOG sets what is logged, e.g. `debug`
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) log_format: LogFormat,

    /// The OpenTelemetry collector that gets traces of reconciles, e.g. `http://localhost:4318` [default: none]
    ///
    /// The host sends OTLP over HTTP, to /v1/traces unless the URL has another path. The environment variables of
    /// OpenTelemetry apply, e.g. OTEL_TRACES_SAMPLER=parentbased_traceidratio with OTEL_TRACES_SAMPLER_ARG=0.01 to
    /// trace one reconcile in a hundred, and OTEL_RESOURCE_ATTRIBUTES.
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

/// The arguments whose values a Handler has in its fields, so that they cannot be combined with a Handler.
const ONLY: [&str; 5] = ["config", "name", "on_parent_delete", "deadline", "memory"];

/// The values that the fields of a Handler would give, for a module that runs without a Handler.
#[derive(Args, Clone)]
pub(crate) struct OnlyArguments {
    /// With --module: a field of the handler's config; the value is YAML. Can be given several times
    ///
    /// `--config storageClass=fast --config replicas=3` gives the handler
    /// `{"storageClass": "fast", "replicas": 3}`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    /// With --module: the handler's name in labels, field managers and log lines [default: the name that
    /// the module suggests, else the kind of its parents]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// With --module: what happens to children when their parent is deleted
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
With --module, the host prints the module's own description and grants it: the handler may apply the kinds that \
it describes, in its parents' namespaces, and nothing else. A Handler resource grants the kinds that it lists, and \
has limits of its own instead of --deadline and --memory. `handler-host crd` prints its CRD. With \
spec.serviceAccount the host reads and writes the handler's parents and children as that account; `handler-host \
rbac` prints the roles that the account needs.

The host watches modules and Handlers for changes. It compiles and checks a new module while the old one still \
serves. The new module then takes over without a restart, and is on trial for a while. A module that fails a \
check does not replace the old one, and a module that fails its trial is rolled back. `handler-host diff` shows \
beforehand what a module would change.

On SIGTERM or Ctrl-C the host ends the work in progress, for at most the deadline of a call and 10 s more, and \
exits with 0. It exits with 1 if the module, its config, a Handler's file or the cluster configuration is \
invalid, or if a task of the host ended. If the API server cannot be reached, the host waits for it.";

#[derive(Args)]
#[command(after_long_help = DIFF_HELP)]
pub(crate) struct DiffArguments {
    /// The handler: a WebAssembly component
    #[arg(short, long, value_name = "FILE", required_unless_present = "filename")]
    pub(crate) module: Option<PathBuf>,

    /// A file with a Handler, which is tried as it would be applied: with its module, grant, config and limits. So a
    /// change of its config or image can be previewed
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["module", "handler"], conflicts_with_all = ONLY)]
    pub(crate) filename: Option<PathBuf>,

    /// A field of the handler's config; the value is YAML. Can be given several times
    ///
    /// `--config storageClass=fast --config replicas=3` gives the handler
    /// `{"storageClass": "fast", "replicas": 3}`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    /// The Handler whose grant, config and limits the module gets: its name in the cluster, or a file that holds it.
    /// Without it, the one in the cluster that serves the kind of the module's parents; if there is none, the module is
    /// tried as `run --module` would run it
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ONLY)]
    pub(crate) handler: Option<String>,

    /// The handler name under which the module is tried; children are recognised by it [default: the name of
    /// the Handler that serves the kind, else the name that the module suggests, else the kind of its parents]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// A namespace whose parents are tried. Can be given several times [default: all namespaces]
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,

    /// What happens to children when their parent is deleted
    #[arg(long, value_name = "WHAT", default_value = "delete")]
    pub(crate) on_parent_delete: ParentDelete,

    /// The time of day that a handler with a clock is told, such as 2026-01-31T12:00:00Z [default: the present]
    #[arg(long, value_name = "TIME", value_parser = choices::time)]
    pub(crate) now: Option<Timestamp>,

    /// The format of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: DiffOutput,

    /// Whether the output has colours; with NO_COLOR in the environment, auto means never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

const DIFF_HELP: &str = "\
The command calls the module for every existing parent, and sends each write that would follow to the API server \
as a dry run, so that the API server's defaults, validation and admission webhooks are applied. It writes nothing, \
and does not disturb a handler that runs. It needs the same rights as `run`.

For each child that would change it prints a unified diff between the live object and the result of the dry run, \
without the fields that the API server sets by itself. For each parent that would newly fail it prints a line that \
begins with `!`.

Children are recognised by the name of their handler. Try a new module, another config with the module that runs, or a \
changed Handler as it would be applied:

  handler-host diff --module evc-2.wasm
  handler-host diff --module evc.wasm --config storageClass=fast
  handler-host diff -f handler.yaml

Exit codes:
  0  nothing would change, and no parent would newly fail
  1  something would change, or a parent would newly fail
  2  wrong usage, or there is no preview: the module or the configuration is invalid, or the cluster cannot answer";

#[derive(Args)]
#[command(after_long_help = RENDER_HELP)]
pub(crate) struct RenderArguments {
    #[command(flatten)]
    pub(crate) module: ModuleArguments,

    /// The parents, as YAML or JSON; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: PathBuf,

    /// The children that the parents have already, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) children: Option<PathBuf>,

    /// Other objects that the handler may see, as YAML or JSON. It sees those of them that it asks for
    #[arg(long, value_name = "FILE")]
    pub(crate) related: Option<PathBuf>,

    /// The time of day that a handler with a clock is told, such as 2026-01-31T12:00:00Z [default: the present]
    #[arg(long, value_name = "TIME", value_parser = choices::time)]
    pub(crate) now: Option<Timestamp>,

    /// The format of the output: the children as YAML, or everything that the handler returned as JSON
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: RenderOutput,
}

const RENDER_HELP: &str = "\
The command assumes that all kinds of children are namespaced. It prints the children as the handler returned \
them; `run` adds namespace, owner reference and labels.

Exit codes:
  0  the children are printed
  1  the module, the file or the config is invalid
  2  wrong usage
  3  the handler returned a permanent failure
  4  the handler returned a temporary failure
  5  the handler trapped, or exceeded its deadline or memory limit
  6  the handler returned children that its description does not cover
With several parents, the exit code is that of the first parent that failed.";

#[derive(Args)]
pub(crate) struct InspectArguments {
    /// The module, a WebAssembly component
    #[arg(value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// A field of the config that the module's `describe` gets; the value is YAML. Can be given several times
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    /// The format of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: InspectOutput,
}

#[derive(Args)]
#[command(after_long_help = PUSH_HELP)]
pub(crate) struct PushArguments {
    /// The module, a WebAssembly component
    #[arg(value_name = "FILE")]
    pub(crate) module: PathBuf,

    /// The image to push: `host/repository:tag`
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,

    /// Use HTTP without TLS, e.g. for a registry on this machine
    #[arg(long)]
    pub(crate) plain_http: bool,

    /// An annotation of the image. Can be given several times
    ///
    /// For example, `--annotation org.opencontainers.image.source=https://github.com/acme/evc` names the source code.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub(crate) annotations: Vec<String>,

    /// The format of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: PushOutput,
}

const PUSH_HELP: &str = "\
The command compiles the file first, and does not push a file that is not a handler. The same file gives the same \
image, so pushing it twice changes nothing.

A Handler that names the image by the printed host/repository@sha256:… always runs this module; a Handler that \
names the tag runs each module that the tag is moved to. The printed digest of the module is the one that `inspect` \
prints, and that a Handler may pin.

The credentials are those of `docker login`, credential helpers included: config.json in $DOCKER_CONFIG, or in \
~/.docker.

The image has the layout that the CNCF's Wasm working group describes, with one layer of application/wasm. So \
other tools work too: `wkg oci push REFERENCE FILE` pushes such an image, and `wkg oci pull` and `oras pull` read it.

Examples:
  handler-host push evc.wasm ghcr.io/acme/evc:1.2.0
  handler-host push evc.wasm localhost:5000/evc:dev --plain-http
  handler-host push evc.wasm ghcr.io/acme/evc:1.2.0 -o json | jq -r .image";

#[derive(Args)]
#[command(after_long_help = CRD_HELP)]
pub(crate) struct CrdArguments {
    /// Instead of the CRD of Handlers, one for the parents of a handler to start from, with the fields of the status that
    /// the host writes: `GROUP/VERSION/KIND`, such as `example.com/v1/Widget`
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(crate) parent: Option<Kind>,

    /// The format of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: CrdOutput,
}

const CRD_HELP: &str = "\
Install the CRD, or update it:
  handler-host crd | kubectl apply -f -

Begin with a kind of your own:
  handler-host crd --parent example.com/v1/Widget > widget.yaml";

/// A kind, as `--parent` names it.
fn kind(text: &str) -> Result<Kind, String> {
    let form = "write it as GROUP/VERSION/KIND, such as example.com/v1/Widget";
    let (api_version, kind) = text.rsplit_once('/').ok_or(form)?;
    let kind = Kind::new(api_version, kind).map_err(|error| error.to_string())?;
    // The API server wants a domain as the group of a CustomResourceDefinition.
    if kind.group().contains('.') {
        Ok(kind)
    } else {
        Err(format!("{:?} is no domain; {form}", kind.group()))
    }
}
