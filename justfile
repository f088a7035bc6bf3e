# Every command of the project. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

target := "wasm32-wasip2"
# The suites mostly wait for a cluster; more of them at once than cores keeps the cores busy.
threads := env("RUST_TEST_THREADS", "6")
# Where tests/control-plane/build puts the control plane, unless the user has one.
built_assets := absolute_path(env("CARGO_TARGET_DIR", "target")) / "kubebuilder-assets"
export KUBEBUILDER_ASSETS := if env("KUBEBUILDER_ASSETS", "") == "" { built_assets } else { env("KUBEBUILDER_ASSETS") }

# List the recipes
@default:
    just --list --unsorted

# Build a guest's folder into target/guests/NAME.wasm, a component
build-guest folder="guest-evc": (_guest folder)

# Build the host and everything the suites run
build: (_guest "guest-evc") (_guest "tests/guests/puppet") (_guest "tests/guests/chameleon")
    cargo build --locked --workspace --all-targets

# Put etcd, kube-apiserver, kube-controller-manager, kubectl and a registry into target/kubebuilder-assets
control-plane:
    tests/control-plane/build

# Run all tests: units, guests, and the suites against a real control plane
test: control-plane build
    cargo test --locked --workspace --no-fail-fast -- --test-threads {{ threads }}

# Run the suites only, or those whose names contain FILTER
suites filter="": control-plane build
    cargo test --locked --workspace --test suites -- --test-threads {{ threads }} {{ filter }}

# Run the suites that need Pods on a real node, or those whose names contain FILTER; needs root
e2e filter="": _node control-plane build image
    tests/node/build
    # One after the other: they share one host, and measure it.
    cargo --config "target.'cfg(all())'.runner = '{{ justfile_directory() }}/tests/node/run'" \
        test --locked --workspace --test e2e -- --ignored --test-threads 1 --show-output {{ filter }}

# Measure what claims and swaps cost, beside a bare client; optimised, minutes to build
bench: control-plane (_guest "guest-evc") (_guest "tests/guests/chameleon")
    cargo build --locked --release --workspace --bins --bench claims --bench swap
    cargo bench --locked --workspace --bench claims --bench swap

# Test the alerts, and run the board's queries on a real Prometheus; needs Debian's package prometheus
check-alerts: control-plane build
    promtool check rules host/deploy/alerts.yaml
    promtool test rules host/deploy/alerts-test.yaml
    cargo test --locked --workspace --test suites -- --ignored a_real_prometheus

# Format, lint, test
check: lint test

# Formatting, clippy, licences of dependencies
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- --deny warnings
    if command -v cargo-deny >/dev/null; then cargo deny --locked check licenses bans sources; else echo "licences not checked: cargo install --locked cargo-deny"; fi

# From a bare clone to the tutorial's claim, its volume claim and its events, and back to nothing
demo: control-plane build
    tests/demo

# A handler edited, previewed, swapped under a running host, refused when broken, rolled back when it traps
demo-swap: control-plane build
    tests/demo --swap

# The same control plane and host, to play with until Ctrl-C
up: control-plane build
    tests/demo --stay

# First of all, since it may refuse, and the rest takes minutes.
_node:
    tests/node/install

# The image without an engine, into target/image: for this machine, or for those named, amd64 and arm64
image *architectures:
    host/deploy/image/build {{ architectures }}

_guest folder:
    #!/usr/bin/env bash
    set -euo pipefail
    # The target is asked for by rust-toolchain.toml; where rustup does not install by itself, this does.
    rustup target list --installed | grep -qx {{ target }} || rustup target add {{ target }}
    out="${CARGO_TARGET_DIR:-target}"
    package=$(sed -n 's/^name = "\(.*\)"/\1/p' '{{ folder }}/Cargo.toml' | head -n 1)
    name="${package#guest-}"
    cargo build --locked --quiet --package "$package" --target {{ target }} --profile guest
    mkdir -p "$out/guests"
    # Renamed into place, so that whoever reads the file never sees half of it.
    cp "$out/{{ target }}/guest/${package//-/_}.wasm" "$out/guests/.$name.new"
    mv "$out/guests/.$name.new" "$out/guests/$name.wasm"
