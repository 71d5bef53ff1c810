//! The gateway's numbers. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const TELEMETRY: Section = Section {
    name: "telemetry",
    header: "[telemetry]",
    about: "The gateway's numbers and spans; see [monitoring](../guide/monitoring.md).",
    keys: &[
        key(
            "metrics",
            "string",
            Toml("\"viewer\""),
            "Who may read `/metrics`, beside whoever may use the local socket. `local`: nobody. `viewer`: whoever has the role viewer or more, at `http` of `[listen]`.",
        ),
        key(
            "otlp",
            "table",
            Absent("no spans are made"),
            "Where spans go; see `telemetry.otlp`. Read when the gateway starts.",
        ),
    ],
    later: &[],
};

pub(crate) const OTLP: Section = Section {
    name: "otlp",
    header: "telemetry.otlp",
    about: "A collector of OpenTelemetry that takes spans by OTLP over HTTP, in protobuf.",
    keys: &[
        key(
            "endpoint",
            "URL",
            Required,
            "Where spans are posted to. Without a path: `/v1/traces`. `http:` only on loopback.",
        ),
        key(
            "headers",
            "table of secret references",
            Toml("{}"),
            "What is sent with each request, as `{ authorization = \"file:/run/secrets/otlp\" }`. Fetched again every 5 minutes, and when the collector refuses it.",
        ),
        key(
            "sample",
            "share",
            Toml("1.0"),
            "How many of the sessions, and of the requests over HTTP, have spans: from 0, none, to 1, all.",
        ),
        key(
            "sample_statements",
            "share",
            Toml("1.0"),
            "How many of the statements of such sessions have spans.",
        ),
        key("timeout", "time", Toml("\"10s\""), "For one request. From 100ms to 1m."),
        key(
            "ca",
            "path",
            Absent("the system's authorities only"),
            "Certificates of authorities in PEM that the collector's certificate may come from, beside the system's.",
        ),
        key("service", "string", Toml("\"gatepost\""), "What the gateway is called there: `service.name`."),
    ],
    later: &[],
};
