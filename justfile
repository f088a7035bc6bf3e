# Every command of the project. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := "wasm32-wasip2"
# The suites mostly wait for a cluster, so running more of them at once than there are cores keeps the cores busy.
threads := env("RUST_TEST_THREADS", "4")
# The directory of the control plane that tests/control-plane/build makes, unless the user names another one.
built_assets := absolute_path(env("CARGO_TARGET_DIR", "target")) / "kubebuilder-assets"
# Cargo's subcommands in the versions that the recipes are written for.
tools := absolute_path(env("CARGO_TARGET_DIR", "target")) / "tools"
export PATH := tools / "bin" + ":" + env("PATH")
export KUBEBUILDER_ASSETS := if env("KUBEBUILDER_ASSETS", "") == "" { built_assets } else { env("KUBEBUILDER_ASSETS") }

# List the recipes
@default:
    just --list --unsorted

# Build a guest's folder into the component target/guests/NAME.wasm
build-guest folder="guest-evc": (_guest folder)

# Build the host and everything that the suites run
build: (_guest "guest-evc") (_guest "tests/guests/puppet") (_guest "tests/guests/chameleon") (_guest "tests/guests/hostile")
    @echo "Compiling handler-host and the tests: about 8 minutes on two cores, once"
    cargo build --locked --workspace --all-targets

# Put etcd, kube-apiserver, kube-controller-manager, kubectl and a registry into target/kubebuilder-assets
control-plane:
    tests/control-plane/build

# Run all tests: unit tests, tests of guests, and the suites against a real control plane
test: control-plane build
    cargo test --locked --workspace --no-fail-fast -- --test-threads {{ threads }}

# Run only the suites, or only the tests whose names contain FILTER
suites filter="": control-plane build
    cargo test --locked --workspace --test suites -- --test-threads {{ threads }} {{ filter }}

# Run the suites that need Pods on a real node, or only the tests whose names contain FILTER; needs root
e2e filter="": _node control-plane build image
    tests/node/build
    # The tests run one after the other, since they share one host and measure it.
    cargo --config "target.'cfg(all())'.runner = '{{ justfile_directory() }}/tests/node/run'" \
        test --locked --workspace --test e2e -- --ignored --test-threads 1 --show-output {{ filter }}

# Write the pages of docs/reference that are made from the program anew
docs:
    UPDATE_DOCS=1 cargo test --locked --workspace --bin handler-host reference

# Let libFuzzer look for inputs that break a promise: for one target of tests/fuzz, or all; for so many seconds each
fuzz target="" seconds="60": (_tool "cargo-fuzz" "0.13.2")
    tests/fuzz/run {{ seconds }} {{ target }}

# Measure what claims and swaps cost, in comparison with a bare client; the optimised build takes minutes
bench: control-plane (_guest "guest-evc") (_guest "tests/guests/chameleon")
    cargo build --locked --release --workspace --bins --bench claims --bench swap
    cargo bench --locked --workspace --bench claims --bench swap

# Measure what hostile handlers do to their host and to a neighbour; the host has the memory of a small Pod (HOSTILE_MIB)
hostile: control-plane (_guest "guest-evc") (_guest "tests/guests/hostile")
    cargo build --locked --release --workspace --bins --bench hostile
    cargo bench --locked --workspace --bench hostile

# Test the alerts, and run the dashboard's queries on a real Prometheus; needs Debian's package prometheus
check-alerts: control-plane build
    promtool check rules host/deploy/alerts.yaml
    promtool test rules host/deploy/alerts-test.yaml
    cargo test --locked --workspace --test suites -- --ignored a_real_prometheus

# Check formatting and dependencies, run the lints, and run all tests
check: lint deny test

# Check formatting, and run clippy's lints
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- --deny warnings

# Check the licences, sources and versions of dependencies, and known faults where GitHub can be reached
deny: (_tool "cargo-deny" "0.20.2")
    #!/usr/bin/env bash
    set -euo pipefail
    checks=(licenses bans sources)
    if timeout 60 cargo-deny --log-level off fetch db; then
        checks+=(advisories)
    else
        echo "advisories NOT CHECKED: the database of RustSec cannot be fetched from GitHub" >&2
    fi
    cargo-deny --locked check "${checks[@]}"

# Run the tutorial on a control plane of its own: a claim, its volume claim and its Events, and their deletion
demo: _demo
    tests/demo

# Edit a handler, preview it and swap it in a running host; a broken one is refused, one that traps is rolled back
demo-swap: _demo
    tests/demo --swap

# Start the control plane and host of the tutorial, and keep them until Ctrl-C
up: _demo
    tests/demo --stay

# Builds only what the demo runs: no tests, no registry, one guest.
_demo: && (_guest "guest-evc")
    tests/control-plane/build etcd kube-apiserver kube-controller-manager kubectl
    @echo "Compiling handler-host and the program that starts the control plane: about 4 minutes on two cores, once"
    cargo build --locked --workspace --bins

# This is the first dependency of `e2e`: it fails at once on an unsuitable machine, and the others take minutes.
_node:
    tests/node/install

# Build the image into target/image without a container engine: for this machine, or for the named ones of amd64 and arm64
image *architectures:
    host/deploy/image/build {{ architectures }}

# Installs a cargo subcommand in this version into target/tools, unless it is on the PATH
_tool name version:
    #!/usr/bin/env bash
    set -euo pipefail
    if [[ $({{ name }} --version 2>/dev/null) != "{{ name }} {{ version }}" ]]; then
        echo "Compiling {{ name }}: about 2 minutes on two cores, once"
        cargo install --locked --quiet --root '{{ tools }}' '{{ name }}@{{ version }}'
    fi

_guest folder:
    #!/usr/bin/env bash
    set -euo pipefail
    # rust-toolchain.toml names the target; this line installs it where rustup does not do so by itself.
    rustup target list --installed | grep -qx {{ target }} || rustup target add {{ target }}
    out="${CARGO_TARGET_DIR:-target}"
    package=$(sed -n 's/^name = "\(.*\)"/\1/p' '{{ folder }}/Cargo.toml' | head -n 1)
    name="${package#guest-}"
    echo "Compiling the guest $name: less than a minute on two cores, once"
    cargo build --locked --package "$package" --target {{ target }} --profile guest
    mkdir -p "$out/guests"
    # The file is renamed into place, so that a reader never sees a part of it.
    cp "$out/{{ target }}/guest/${package//-/_}.wasm" "$out/guests/.$name.new"
    mv "$out/guests/.$name.new" "$out/guests/$name.wasm"
