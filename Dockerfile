# The program in its own image, without compilers, under its own user.
#
#   docker build -t alerttrail .
#   docker run --rm alerttrail --help
#
# State goes to /var/lib/alerttrail; mount a configuration at /etc/alerttrail/alerttrail.toml. The first build takes 15
# to 25 minutes on two cores, nearly all of it for the C++ of RocksDB and librdkafka, which later builds reuse. It needs
# BuildKit, which Docker has since version 23.

FROM debian:trixie-slim AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
# scripts/setup installs the packages that a build needs, and the Rust that rust-toolchain.toml pins, here as on any
# other machine.
COPY scripts/setup scripts/
COPY rust-toolchain.toml Cargo.toml ./
RUN scripts/setup && rm -rf /var/lib/apt/lists/*
COPY . .
# The program is copied out of the folder that is cached for the next build, because that is not part of the image.
RUN --mount=type=cache,target=/build/target,sharing=locked \
    --mount=type=cache,target=/root/.cargo/registry,sharing=locked \
    source scripts/setup && setup_build && \
    cargo build --release --locked --bin alerttrail && \
    cp target/release/alerttrail /usr/local/bin/alerttrail

FROM debian:trixie-slim
# OpenSSL, zlib and the C++ library are those of the system (docs/security.md): build again to get their updates.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libssl3t64 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 alerttrail && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/alerttrail --shell /usr/sbin/nologin alerttrail && \
    install --directory --mode 0700 --owner alerttrail --group alerttrail /var/lib/alerttrail
COPY --from=build /usr/local/bin/alerttrail /usr/local/bin/alerttrail
# Fails the build if a library is missing.
RUN alerttrail --version

# A number, so that Kubernetes can verify that the user is not root.
USER 10001:10001
WORKDIR /var/lib/alerttrail
# One volume for each container, because each instance needs its own state.
VOLUME /var/lib/alerttrail
EXPOSE 8686
# The program stops within 10 seconds after SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["alerttrail"]
CMD ["run", "--config", "/etc/alerttrail/alerttrail.toml"]
