//! What becomes of telling approvers, and of what they send back, as the audit says it.

#[cfg(doc)]
use crate::event;
use crate::json::Object;

/// See [`Event::Notified`](event::Event::Notified).
#[derive(Clone, Copy, Debug)]
pub struct Notified<'a> {
    /// The request's number.
    pub approval: u64,
    /// The name of the `[[notify]]`.
    pub channel: &'a str,
    /// `opened`, `decided`, `ended`, `break_glass`, `undelivered`.
    pub what: &'a str,
    /// What names the message to the other side; the same for each attempt.
    pub id: &'a str,
    /// How often it was tried.
    pub attempts: u64,
    /// Whether it came with others in one message.
    pub digest: bool,
}

/// See [`Event::NotificationFailed`](event::Event::NotificationFailed).
#[derive(Clone, Copy, Debug)]
pub struct NotificationFailed<'a> {
    /// The request's number.
    pub approval: u64,
    /// The name of the `[[notify]]`.
    pub channel: &'a str,
    /// As of [`Notified`].
    pub what: &'a str,
    /// How often it was tried.
    pub attempts: u64,
    /// `retried` or `given_up`.
    pub outcome: &'a str,
    /// Why the last attempt failed.
    pub detail: &'a str,
}

/// See [`Event::NotifyCallRefused`](event::Event::NotifyCallRefused).
#[derive(Clone, Copy, Debug)]
pub struct NotifyCallRefused<'a> {
    /// The name of the `[[notify]]`, as the caller says.
    pub channel: &'a str,
    /// The caller's address.
    pub client: Option<&'a str>,
    /// What was tried: `approve`, `deny`, or `call` where that is not known.
    pub act: &'a str,
    /// The request's number; `None` where none is believed.
    pub approval: Option<u64>,
    /// Who, as the channel names them; `None` where nothing is believed.
    pub by: Option<&'a str>,
    /// A stable word.
    pub reason: &'a str,
    /// The same in words.
    pub detail: &'a str,
}

impl Notified<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, channel, what, id, attempts, digest } = self;
        o.number("approval", *approval)
            .text("channel", channel)
            .text("what", what)
            .text("id", id)
            .number("attempts", *attempts)
            .word("as", if *digest { "digest" } else { "message" })
    }
}

impl NotificationFailed<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { approval, channel, what, attempts, outcome, detail } = self;
        o.number("approval", *approval)
            .text("channel", channel)
            .text("what", what)
            .number("attempts", *attempts)
            .text("outcome", outcome)
            .text("detail", detail)
    }
}

impl NotifyCallRefused<'_> {
    pub(crate) fn fields<'o, 'b>(&self, o: &'o mut Object<'b>) -> &'o mut Object<'b> {
        let Self { channel, client, act, approval, by, reason, detail } = self;
        o.text("channel", channel)
            .text_or_null("client", *client)
            .text("act", act)
            .number_or_null("approval", *approval)
            .text_or_null("by", *by)
            .text("reason", reason)
            .text("detail", detail)
    }
}
