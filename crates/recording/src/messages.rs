//! The messages of [`What::Received`](crate::What::Received), one by one. Knows PostgreSQL's framing and no message's meaning.

/// One message of PostgreSQL's protocol 3.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its first byte.
    pub tag: u8,
    /// What follows its length.
    pub body: &'a [u8],
}

/// Walks whole messages; ends where there is none.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[tag, a, b, c, d], after) = rest.split_first_chunk::<5>()?;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d]).checked_sub(4)?).ok()?;
        let (body, next) = after.split_at_checked(length)?;
        rest = next;
        Some(Message { tag, body })
    })
}
