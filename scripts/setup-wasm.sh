#!/usr/bin/env bash
# Makes `cargo +TOOLCHAIN build --target wasm32-unknown-unknown` work and installs the wasm-bindgen tools that match
# Cargo.lock. Does only what is not done yet. Its last two lines on standard output say what to use:
#
#   WASM_TOOLCHAIN=the toolchain that compiles for wasm32
#   WASM_BINDGEN_BIN=the folder that holds wasm-bindgen and wasm-bindgen-test-runner
#
# With a rustup that can download, `rustup target add` is all that a toolchain needs. Where only Debian's packages can be
# reached, WASM_FROM_DEBIAN=1 (as root) takes Debian's rustc-web, the compiler that Debian keeps current for building
# browsers, compiles wasm32's std once from its sources, offline, and links the result into rustup as toolchain `wasm`.
# The default toolchain is not touched: a compiler and its std must be of the same version, so one toolchain cannot borrow
# the other's.
set -euo pipefail

readonly TARGET=wasm32-unknown-unknown
readonly DEBIAN_TOOLCHAIN=wasm
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/liferaft
readonly DEBIAN_PREFIX=$CACHE/rust-$DEBIAN_TOOLCHAIN
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT

say() { echo "setup-wasm: $*" >&2; }
die() { say "$*"; exit 1; }

# What a calling cargo leaves in the environment is about its own build, not about those made here.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS

mkdir -p "$CACHE"
SCRATCH=$(mktemp -d "$CACHE/setup.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
# Two runs at once would build everything twice and swap it under each other's feet.
exec 9>"$CACHE/setup-wasm.lock"
if command -v flock >/dev/null; then flock 9; fi

compiles_for_wasm() { # toolchain
    echo 'pub fn f() -> Vec<u8> { vec![1] }' >"$SCRATCH/probe.rs"
    rustc "+$1" --target $TARGET --crate-type lib --emit metadata -o "$SCRATCH/probe.rmeta" "$SCRATCH/probe.rs" \
        >/dev/null 2>&1
}

# As root and not as apt's own user, who may not enter a home folder.
apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root "$@"; }

unpack_debian_compiler() { # prefix
    local packages=$SCRATCH/packages version library llvm
    mkdir "$packages"
    cd "$packages"
    apt update
    apt download rustc-web libstd-rust-web-dev rust-web-src
    # 1.96.0+dfsg1-1 -> the library package is named after 1.96
    version=$(dpkg-deb -f rustc-web_*.deb Version)
    version=${version%%+*}
    library=libstd-rust-web-${version%.*}
    apt download "$library"
    # The shared libraries and the linker are ordinary packages that get in nobody's way.
    llvm=$(dpkg-deb -f "$library"_*.deb Depends | grep -o 'libllvm[0-9]*' | head -n 1)
    llvm=${llvm#libllvm}
    apt install -y --no-install-recommends "libllvm$llvm" "lld-$llvm" patchelf gcc libc6-dev >/dev/null

    for package in rustc-web libstd-rust-web-dev "$library"; do
        dpkg -x "$package"_*.deb root
    done
    dpkg --fsys-tarfile rust-web-src_*.deb | tar -x --wildcards './usr/src/rustc-*/library'

    mkdir -p "$1/bin" "$1/lib"
    cp -a root/usr/bin/rustc root/usr/bin/rustdoc "$1/bin/"
    cp -a root/usr/lib/*-linux-gnu/librustc_driver-*.so root/usr/lib/rustlib "$1/lib/"
    mkdir -p "$1/lib/rustlib/src/rust"
    mv usr/src/rustc-*/library "$1/lib/rustlib/src/rust/library"

    # shellcheck disable=SC2016  # $ORIGIN is for the dynamic linker
    patchelf --set-rpath '$ORIGIN/../lib' "$1/bin/rustc" "$1/bin/rustdoc"
    local host
    host=$("$1/bin/rustc" -vV | sed -n 's/^host: //p')
    rm -rf "$1/lib/rustlib/$host/bin"
    mkdir -p "$1/lib/rustlib/$host/bin"
    ln -s "/usr/bin/lld-$llvm" "$1/lib/rustlib/$host/bin/rust-lld"
    ln -s "$(rustup which cargo --toolchain "$NATIVE")" "$1/bin/cargo"
    cd "$ROOT"
}

build_std() { # prefix
    local library=$1/lib/rustlib/src/rust/library out=$SCRATCH/std
    printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "%s/vendor"\n' "$library" \
        >"$SCRATCH/vendor.toml"
    (
        cd "$library"
        env -u RUSTUP_TOOLCHAIN RUSTC_BOOTSTRAP=1 RUSTC="$1/bin/rustc" CARGO_TARGET_DIR="$out" \
            RUSTFLAGS='-Zforce-unstable-if-unmarked -Cembed-bitcode=yes' \
            "$1/bin/cargo" --config "$SCRATCH/vendor.toml" build --quiet -Zavoid-dev-deps --profile dist \
            --manifest-path sysroot/Cargo.toml --no-default-features --features panic-unwind \
            --target $TARGET --locked --offline
    )
    mkdir -p "$1/lib/rustlib/$TARGET/lib"
    cp "$out/$TARGET/dist/deps/"*.rlib "$1/lib/rustlib/$TARGET/lib/"
    rm -f "$1/lib/rustlib/$TARGET/lib/"libsysroot-*.rlib
}

toolchain_from_debian() {
    [ "$(id -u)" = 0 ] || die "WASM_FROM_DEBIAN=1 installs Debian packages: run it as root"
    say "building wasm32's std from Debian's rustc-web (about two minutes)"
    local fresh=$SCRATCH/toolchain
    mkdir "$fresh"
    unpack_debian_compiler "$fresh"
    build_std "$fresh"
    rm -rf "$DEBIAN_PREFIX"
    mv "$fresh" "$DEBIAN_PREFIX"
    rustup toolchain link $DEBIAN_TOOLCHAIN "$DEBIAN_PREFIX" 2>/dev/null
    compiles_for_wasm $DEBIAN_TOOLCHAIN || die "toolchain $DEBIAN_TOOLCHAIN was built and still cannot compile for $TARGET"
}

install_bindgen() { # version, folder
    say "installing wasm-bindgen-cli $1 (some minutes)"
    local fresh=$SCRATCH/bindgen
    # It runs for seconds: it is built for a short build, not for a fast run.
    local install=(env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_LTO=off
        CARGO_TARGET_DIR="$SCRATCH/bindgen-target"
        cargo "+$NATIVE" install --quiet wasm-bindgen-cli --version "=$1" --root "$fresh"
        --bin wasm-bindgen --bin wasm-bindgen-test-runner)
    # Its lock file may name versions that a lagging mirror does not serve.
    "${install[@]}" --locked 2>/dev/null || "${install[@]}"
    mkdir -p "$(dirname "$2")"
    rm -rf "$2"
    mv "$fresh" "$2"
}

command -v rustup >/dev/null || die "rustup is needed to hold a toolchain for $TARGET"
NATIVE=${RUSTUP_TOOLCHAIN:-$(cd "$ROOT" && rustup show active-toolchain | cut -d' ' -f1)}
readonly NATIVE

if compiles_for_wasm "$NATIVE"; then
    toolchain=$NATIVE
elif compiles_for_wasm $DEBIAN_TOOLCHAIN; then
    toolchain=$DEBIAN_TOOLCHAIN
elif [ "${WASM_FROM_DEBIAN:-0}" = 1 ]; then
    toolchain_from_debian
    toolchain=$DEBIAN_TOOLCHAIN
else
    rustup target add --toolchain "$NATIVE" $TARGET >&2
    toolchain=$NATIVE
fi

# The tools refuse modules of any other version than their own.
version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' "$ROOT/Cargo.lock")
[ -n "$version" ] || die "Cargo.lock names no wasm-bindgen"
bindgen=$CACHE/tools/wasm-bindgen-$version
if [ "$("$bindgen/bin/wasm-bindgen" --version 2>/dev/null)" != "wasm-bindgen $version" ]; then
    install_bindgen "$version" "$bindgen"
fi

echo "WASM_TOOLCHAIN=$toolchain"
echo "WASM_BINDGEN_BIN=$bindgen/bin"
