//! Where audit events go. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const STREAM: Section = Section {
    name: "stream",
    header: "[[stream]]",
    about: "Where audit events are sent as they happen, each at least once; see [streams](../guide/streams.md). Keys that mean nothing for a kind are refused. `gatepost audit streams` says how far each has come.",
    keys: &[
        key(
            "name",
            "string",
            Required,
            "Unique; lower-case letters, digits, `-` and `_`. How far the stream has come is kept under this name in `state.path`.",
        ),
        key(
            "kind",
            "string",
            Required,
            "`file`; `syslog`: RFC 5424 over TLS; `http`: signed requests with a line of JSON for each event; `otlp`: OpenTelemetry logs over HTTP; `nats`: NATS JetStream; `parquet`: files in an object store, in folders by day.",
        ),
        key(
            "format",
            "string",
            Toml("\"gatepost\""),
            "`gatepost`: as in the journal ([the schema](audit-schema.md)). `ocsf`: classes of the Open Cybersecurity Schema Framework ([the mapping](ocsf.md)). Not for `otlp` and `parquet`, which have their own.",
        ),
        key(
            "events",
            "string or list of strings",
            Toml("\"*\""),
            "Which events go by it, by name; `*` stands for any characters.",
        ),
        key(
            "statement",
            "string",
            Toml("\"full\""),
            "`none`: texts and parameters of statements don't leave by it.",
        ),
        key(
            "required",
            "boolean",
            Toml("false"),
            "`true`: no statement is forwarded before its record has arrived there too; while the stream is down, statements are refused. Not for `syslog` and `parquet`.",
        ),
        key(
            "begin",
            "string",
            Toml("\"start\""),
            "Where a stream begins that has never run: with the oldest record (`start`), or the next (`now`).",
        ),
        key("timeout", "time", Toml("\"5s\""), "How long one delivery may take. From 100ms to 60s."),
        key("path", "path", Absent("a file must have it"), "File: what is written. Made with mode 0600."),
        key(
            "rotate",
            "size",
            Toml("\"64 MiB\""),
            "File: the size at which it is set aside as `PATH.1`, the one before as `PATH.2`, …",
        ),
        key("keep", "number", Toml("10"), "File: how many that were set aside are kept."),
        key(
            "host",
            "string",
            Absent("syslog must have it"),
            "Syslog: the server, as HOST or HOST:PORT. The port is 6514 where it is left out.",
        ),
        key(
            "tls",
            "string",
            Toml("\"tls\""),
            "Syslog: `tls`: from the first byte, as in RFC 5425; `none`: on loopback only, with the same framing.",
        ),
        key(
            "certificate",
            "path",
            Absent("none is shown"),
            "Syslog: the gateway's certificate, for servers that ask for one; PEM.",
        ),
        key("key", "secret reference", Absent("none is shown"), "Syslog: its key, in PEM."),
        key(
            "url",
            "URL",
            Absent("`http`, `otlp` and `nats` must have it"),
            "HTTP: where requests go. OTLP: likewise, whole: `https://HOST:4318/v1/logs`. NATS: `tls://HOST:PORT`. Without TLS only on loopback; redirects are not followed.",
        ),
        key(
            "secret",
            "secret reference",
            Absent("`http` must have it"),
            "HTTP: what requests are signed with: `whsec_` and 24 to 64 bytes in base64.",
        ),
        key(
            "headers",
            "table",
            Toml("{}"),
            "OTLP: headers that are sent, by name, each a secret reference, as `{ Authorization = \"env:OTLP_AUTH\" }`.",
        ),
        key(
            "subject",
            "string",
            Absent("`nats` must have it"),
            "NATS: the subject that is published to. A JetStream stream must take it in.",
        ),
        key("user", "secret reference", Absent("it does not log in"), "NATS: whom to log in as."),
        key("password", "secret reference", Absent("it does not log in"), "NATS: with what."),
        key("token", "secret reference", Absent("it does not log in"), "NATS: a token instead."),
        key(
            "credentials",
            "secret reference",
            Absent("it does not log in"),
            "NATS: what a `.creds` file holds, instead.",
        ),
        key(
            "object_store",
            "string",
            Absent("`parquet` must have it"),
            "Parquet: the name of an `[[object_store]]`.",
        ),
        key("prefix", "string", Toml("\"audit\""), "Parquet: what keys begin with; folders by day follow."),
        key(
            "interval",
            "time",
            Toml("\"5m\""),
            "Parquet: how long events are gathered for one file. From 1s to 24h.",
        ),
        key(
            "ca",
            "path",
            Absent("the system's authorities only"),
            "PEM file: authorities that are trusted besides.",
        ),
    ],
    later: &[],
};
