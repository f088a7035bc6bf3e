# How servers are built from the Go modules that pin them. Sourced by the scripts that know which: `label` is
# what they call themselves, `names` are the programs they want.

modules=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$modules/../target}")

fail() {
    printf '%s: %s\n' "$label" "$*" >&2
    exit 1
}

# The programs that directory $1 lacks.
missing_in() {
    local name
    for name in "${names[@]}"; do
        [[ -x $1/$name ]] || echo "$name"
    done
}

# The directory of the go.mod that pins program $1.
module_of() {
    case $1 in
    # It has versions of its own: see tests/node/go.mod.
    kubelet) echo "$modules/node" ;;
    *) echo "$modules/control-plane" ;;
    esac
}

# The version of module $2 in the go.mod of directory $1.
version_in() {
    awk -v module="$2" '($1 == module || $1 == "require" && $2 == module) && / v[0-9]/ {
        print $1 == "require" ? $3 : $2
        exit
    }' "$1/go.mod"
}

# About how long program $1 takes on two cores with nothing in Go's caches, if those before it in this list are
# built: it finds the packages there that they share.
takes() {
    case $1 in
    etcd) echo "1 minute" ;;
    kube-apiserver) echo "3 minutes" ;;
    kube-controller-manager) echo "1 minute" ;;
    kubectl) echo "1 minute" ;;
    *) echo "2 to 3 minutes" ;;
    esac
}

# Reads what `go build -v` prints, a line for each module and package, and prints how many there were so far.
# What else it prints is an error.
count_packages() {
    local line modules=0 packages=0
    while IFS= read -r line; do
        case $line in
        "go: downloading "*) ((++modules % 50)) || echo "  $modules modules downloaded" ;;
        *[!A-Za-z0-9_./~-]*) printf '%s\n' "$line" >&2 ;;
        *) ((++packages % 100)) || echo "  $packages packages compiled" ;;
        esac
    done
}

# Builds program $2 into directory $1. The linker drops the debug information, so the compiler need not make any.
compile() {
    local module package version flags="-s -w" rest started=$SECONDS
    module=$(module_of "$2")
    case $2 in
    etcd)
        package=go.etcd.io/etcd/server/v3
        version=$(version_in "$module" "$package")
        ;;
    registry)
        package=github.com/distribution/distribution/v3/cmd/registry
        version=$(version_in "$module" "${package%/cmd/registry}")
        ;;
    *)
        package=k8s.io/kubernetes/cmd/$2
        version=$(version_in "$module" k8s.io/kubernetes)
        rest=${version#*.}
        # Without these the servers call themselves v0.0.0-master, which clients take for too old.
        flags+=" -X k8s.io/component-base/version.gitVersion=$version"
        flags+=" -X k8s.io/component-base/version.gitMajor=${version:1:1}"
        flags+=" -X k8s.io/component-base/version.gitMinor=${rest%%.*}"
        ;;
    esac
    echo "$2 $version: building from its Go module ($3), about $(takes "$2") on two cores, once"
    (cd "$module" && GOWORK=off CGO_ENABLED=0 \
        go build -v -trimpath -gcflags=all=-dwarf=false -ldflags "$flags" -o "$1/$2" "$package" 2>&1 | count_packages)
    echo "$2: took $((SECONDS - started)) s"
}

# Leaves the programs in directory $1. Those that are there and were made of the same, whose digest is $2, are
# kept, also those that are not asked for. Where all is new, the function $3 is given the new directory first, to
# get there what need not be built.
fill() {
    local fresh file name number=0 go_version was_made_of
    was_made_of=$(cat "$1/stamp" 2>/dev/null || true)
    if [[ $was_made_of == "$2" && -z $(missing_in "$1") ]]; then
        echo "$label: up to date in $1"
        return
    fi

    mkdir -p "$target"
    fresh=$(mktemp -d "$1.XXXXXX")
    # shellcheck disable=SC2064 # It is known only now.
    trap "rm -rf '$fresh'" EXIT
    if [[ $was_made_of == "$2" ]]; then
        for file in "$1"/*; do
            [[ ! -f $file ]] || ln "$file" "$fresh/"
        done
    else
        "$3" "$fresh" || true
    fi

    mapfile -t missing < <(missing_in "$fresh")
    if ! command -v go >/dev/null; then
        go_version=$(awk '$1 == "go" { print $2 }' "$modules/control-plane/go.mod")
        fail "\`go\` is not on the PATH, and ${missing[*]} must be built from Go modules; install Go $go_version or newer$remedy"
    fi
    for name in "${missing[@]}"; do
        number=$((number + 1))
        compile "$fresh" "$name" "$number of ${#missing[@]}"
    done

    echo "$2" >"$fresh/stamp"
    chmod 755 "$fresh"
    rm -rf "$1"
    mv "$fresh" "$1"
    echo "$label: ready in $1"
}
