# What can be done with this tree; `make` alone lists it. Needs GNU make and a Debian (12 or newer) for `make setup`;
# elsewhere `make setup` names what is missing. Nothing is written outside target/ except installed packages and,
# by `make install` alone, the module.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The goals of one call depend on each other's results (the tests load what the build made), so none run side by side.
.NOTPARALLEL:

APXS ?= $(firstword $(wildcard /usr/bin/apxs /usr/bin/apxs2 /usr/local/apache2/bin/apxs) apxs)
RELEASE_MODULE := target/release/libmod_jk.so
# The module is looked for there by the demo, the benchmarks and the comparison with C.
unexport CARGO_TARGET_DIR
# Where rustup's installer puts a toolchain, for shells that do not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup build demo demo-stop test check loom httpd-test oracle bench fuzz image cluster cluster-stop container-test toml install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what is missing: httpd, Tomcat, a JRE, libclang, Rust, Chromium (Debian; root or sudo)
	@tests/demo/setup.sh

build: ## build the release module, target/release/libmod_jk.so
	cargo build --release --locked

demo: ## two Tomcats behind httpd with this module, until Ctrl-C (MODULE=/path/mod_jk.so: with that module)
	@MODULE='$(MODULE)' tests/demo/demo.sh run

demo-stop: ## stop the demo that runs in another terminal, and what a killed one left behind
	@tests/demo/demo.sh stop

test: setup ## everything: format, lints, unit tests, real httpd, real Tomcat, the pages in Chromium (target/screenshots)
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --no-fail-fast

check: ## the quick gate, no httpd started: format, lints, tidy and unit tests, docs
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --lib $(addprefix --test ,$(basename $(notdir $(wildcard tests/core.rs tests/tidy.rs))))
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

loom: ## all interleavings of the shared memory's settings and counts, model-checked (Miri and ThreadSanitizer need a nightly toolchain)
	RUSTFLAGS='--cfg loom' cargo test --release --locked --lib --target-dir target/loom model

httpd-test: ## the tests with a real httpd (event, worker, prefork) and real Tomcats
	cargo test --locked --no-fail-fast --test httpd

oracle: ## the C module (Debian's package, only downloaded) and ours behind the same configurations, compared case by case
	@tests/oracle/c-module.sh
	cargo clippy --locked --test oracle -- -D warnings
	cargo test --locked --test oracle -- --nocapture both_modules_agree

bench: build ## what a request costs, beside Debian's C mod_jk and mod_proxy_ajp (BENCH='instructions ours get'; tests/bench/requests.rs), or BENCH=selection
	@$(if $(filter selection,$(BENCH)),,tests/oracle/c-module.sh)
	C_MOD_JK_SO="$${C_MOD_JK_SO:-$(CURDIR)/target/oracle/mod_jk.so}" \
	cargo bench --locked $(if $(filter selection,$(BENCH)),--bench selection,--bench requests) -- $(BENCH)

fuzz: ## fuzz every parser (FUZZ='600 uriworkermap': seconds and targets); needs no nightly toolchain
	tests/fuzz/run.sh $(or $(FUZZ),60)

toml: ## a workers.properties as workers.toml, on standard output (FILE=/path/workers.properties)
	@cargo run --quiet --locked --example workers-to-toml -- '$(FILE)'

# The builds use the host's network, so that packages can also be had where the engine's bridge leads nowhere. What is set on make's
# command line comes to the scripts in their environment, whatever characters it has.
image: ## build the Docker image mod_jk: Debian's httpd with the module (IMAGES=official: on the official httpd image)
	@tests/container/image.sh $$IMAGES

cluster: ## three Tomcats, two httpds and a balancer in containers (CLUSTER_PORT=18080: on other ports)
	@tests/container/cluster.sh start

cluster-stop: ## remove the cluster
	@tests/container/cluster.sh stop

container-test: ## the module in containers: nodes that die, hang or are cut off, restarts under load (needs a Docker engine)
	@tests/container/image.sh httpd tomcat official
	@tests/oracle/c-module.sh
	cargo clippy --locked --test container -- -D warnings
	@# Ended by Ctrl-C, the tests leave their containers to the sweep at the beginning of the next run, which is this one.
	@trap 'cargo test --quiet --locked --test container container::docker::sweep >/dev/null; exit 130' INT TERM; \
	cargo test --locked --test container -- --nocapture --test-threads=3 container::

install: build ## install the module as mod_jk.so where apxs says (APXS=..., DESTDIR=...)
	@set -e; dir="$$($(APXS) -q LIBEXECDIR)"; test -n "$$dir" || { echo "$(APXS) -q LIBEXECDIR says nothing; set APXS=/path/to/apxs" >&2; exit 1; }; \
	install -d "$(DESTDIR)$$dir"; \
	install -m 0644 $(RELEASE_MODULE) "$(DESTDIR)$$dir/.mod_jk.so.new"; \
	mv -f "$(DESTDIR)$$dir/.mod_jk.so.new" "$(DESTDIR)$$dir/mod_jk.so"; \
	echo "Installed $(DESTDIR)$$dir/mod_jk.so. In httpd's configuration:"; \
	echo "  LoadModule jk_module $$dir/mod_jk.so"; \
	echo "If httpd runs with an older mod_jk, stop and start it: a graceful restart keeps the old code."

clean: ## remove target/ (stops a running demo first)
	@if [ -d target/demo ]; then tests/demo/demo.sh stop; fi
	rm -rf target
