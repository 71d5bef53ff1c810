//! Values that are wiped when dropped and can't be printed.

use zeroize::{Zeroize, Zeroizing};

/// A secret: no `Debug`, no `Display`, no serialisation; wiped when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into care.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Lends the value to code that must use it; never to code that prints.
    pub fn expose(&self) -> &T {
        &self.0
    }
}
