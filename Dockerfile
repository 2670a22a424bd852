# The program in an image that has nothing but what it runs with, under a user of its own.
#
#   docker build -t alerttrail .
#   docker run --rm alerttrail --help
#
# State goes to /var/lib/alerttrail; mount a configuration at /etc/alerttrail/alerttrail.toml. The first build takes about
# 15 minutes on two cores, nearly all of it for RocksDB's and librdkafka's C++; later builds reuse it. It needs BuildKit,
# which Docker has since version 23.

FROM debian:trixie-slim AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
# scripts/setup installs the packages that a build needs, and the Rust that rust-toolchain.toml pins.
COPY scripts/setup scripts/
COPY rust-toolchain.toml Cargo.toml ./
RUN scripts/setup && rm -rf /var/lib/apt/lists/*
COPY . .
# The mounted folders are no part of the image, so the root file system is laid out in the same step.
RUN --mount=type=cache,target=/build/target,sharing=locked \
    --mount=type=cache,target=/root/.cargo/registry,sharing=locked \
    source scripts/setup && setup_build && \
    cargo build --release --locked --bin alerttrail && \
    scripts/image-root target/release/alerttrail /image && \
    chroot --userspec=10001:10001 /image /usr/bin/alerttrail --version

# For docker-compose.yml: the same program on a system with a shell.
FROM debian:trixie-slim AS trial
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libssl3t64 libstdc++6 zlib1g && \
    rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 alerttrail && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/alerttrail --shell /usr/sbin/nologin alerttrail && \
    install --directory --mode 0700 --owner alerttrail --group alerttrail /var/lib/alerttrail
COPY --from=build /image/usr/bin/alerttrail /usr/bin/alerttrail
# Fails the build if a library is missing.
RUN alerttrail --version
USER 10001:10001
WORKDIR /var/lib/alerttrail
VOLUME /var/lib/alerttrail
EXPOSE 8686
STOPSIGNAL SIGTERM
ENTRYPOINT ["alerttrail"]
CMD ["run", "--config", "/etc/alerttrail/alerttrail.toml"]

# The program, its libraries and certificates, and nothing else: no shell, no package manager. OpenSSL, zlib and the C++
# library are the system's (docs/security.md): build again to have their updates.
FROM scratch
COPY --from=build /image /

# A number, so that Kubernetes can verify that the user is not root.
USER 10001:10001
WORKDIR /var/lib/alerttrail
# One volume for each container, because each instance needs its own state.
VOLUME /var/lib/alerttrail
EXPOSE 8686
# The program stops within 10 seconds after SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/alerttrail"]
CMD ["run", "--config", "/etc/alerttrail/alerttrail.toml"]
