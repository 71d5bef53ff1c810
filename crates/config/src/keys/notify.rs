//! How approvers are told. Knows no Rust type of a setting.

use super::Default::{Absent, Required, Toml};
use super::{Section, key};

pub(crate) const NOTIFY: Section = Section {
    name: "notify",
    header: "[[notify]]",
    about: "Where approvers are told of requests; see [notifications](../guide/notifications.md). Keys that mean nothing for a kind are refused. `gatepost notify test` sends a message by each.",
    keys: &[
        key(
            "name",
            "string",
            Required,
            "Unique; lower-case letters, digits, `-` and `_`: it is part of the URL that answers come to.",
        ),
        key(
            "kind",
            "string",
            Required,
            "`slack`; `teams`: Microsoft Teams, by a webhook of Workflows; `email`; `webhook`: JSON, signed as Standard Webhooks says.",
        ),
        key(
            "databases",
            "string or list of strings",
            Toml("\"*\""),
            "Of which databases it tells; `*` stands for any characters.",
        ),
        key(
            "groups",
            "string or list of strings",
            Absent("whichever are asked"),
            "Of requests to which approver groups of a bundle it tells.",
        ),
        key(
            "events",
            "string or list of strings",
            Toml("[\"opened\", \"decided\", \"ended\", \"break_glass\", \"undelivered\"]"),
            "Of what it tells. `opened`: a request waits. `decided`: it is approved or denied. `ended`: it is over undecided: expired, cancelled, withdrawn, lost. `break_glass`: it was run without approval. `undelivered`: another channel could not be told.",
        ),
        key(
            "statement",
            "string",
            Toml("\"none\""),
            "What leaves by it of a statement. `full`: its text and its parameters, but for literals that the journal withholds too. `none`: neither. A statement can be approved in Slack only with `full`.",
        ),
        key(
            "ca",
            "path",
            Absent("only the system's"),
            "PEM file: authorities that are believed beside the system's.",
        ),
        key(
            "token",
            "secret reference",
            Absent("`webhook` is used"),
            "Slack: the bot's token, `xoxb-…`, with the scope `chat:write`. Messages are then replaced when the request is decided.",
        ),
        key(
            "channel",
            "string",
            Absent("that of `webhook`"),
            "Slack: the id of the channel for `token`, as `C0123456789`; the bot must be in it.",
        ),
        key(
            "webhook",
            "secret reference",
            Absent("`token` is used; Teams must have it"),
            "The webhook's URL, which is a secret. Slack: of an incoming webhook. Teams: of the workflow that posts to a channel when a webhook request is received.",
        ),
        key(
            "signing_secret",
            "secret reference",
            Absent("messages have a link, and no buttons"),
            "Slack: what Slack signs its calls with. Its interactivity must lead to `/notify/slack/NAME` below `listen.public_url`.",
        ),
        key(
            "workspace",
            "string",
            Absent("needed with `signing_secret`"),
            "Slack: the workspace's id, as `T0123456789`; users of others decide nothing.",
        ),
        key(
            "api",
            "URL",
            Toml("\"https://slack.com/api\""),
            "Slack: where its API is. `http:` only on loopback.",
        ),
        key(
            "people",
            "table",
            Absent("needed with `signing_secret` or `inbound_secret`"),
            "Who is who: from a Slack user's id, or the `person` of a webhook, to issuer and subject, as `{ U0123456789 = \"corp:alice\" }`. Nobody else decides anything there.",
        ),
        key(
            "login_age_max",
            "duration",
            Toml("\"24h\""),
            "Whoever decides by a channel has the groups of their last login at the console. If that is longer ago, they must log in first. From 1m to 90d.",
        ),
        key(
            "host",
            "string",
            Absent("e-mail must have it"),
            "E-mail: the mail server, as HOST or HOST:PORT. The port is 587 where it is left out, and 465 with `implicit`.",
        ),
        key(
            "tls",
            "string",
            Toml("\"starttls\""),
            "E-mail: `starttls`, without which nothing is sent; `implicit`: TLS from the first byte; `none`: on loopback only.",
        ),
        key("user", "secret reference", Absent("it does not log in"), "E-mail: whom to log in as."),
        key("password", "secret reference", Absent("it does not log in"), "E-mail: with what."),
        key(
            "from",
            "string",
            Absent("e-mail must have it"),
            "E-mail: the sender, as `Gatepost <gatepost@example.com>`.",
        ),
        key("to", "string or list of strings", Absent("e-mail must have it"), "E-mail: the recipients."),
        key(
            "url",
            "URL",
            Absent("a webhook must have it"),
            "Webhook: where events are sent. `http:` only on loopback; redirects are not followed.",
        ),
        key(
            "secret",
            "secret reference",
            Absent("a webhook must have it"),
            "Webhook: what events are signed with: `whsec_` and 24 to 64 bytes in base64.",
        ),
        key(
            "inbound_secret",
            "secret reference",
            Absent("nothing is decided by it"),
            "Webhook: what decisions are signed with that are sent to `/notify/webhook/NAME`, likewise; another than `secret`.",
        ),
    ],
    later: &[],
};
