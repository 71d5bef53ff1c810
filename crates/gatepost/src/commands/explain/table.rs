//! An explanation for people. Knows what is told, not how it was found.

use model::Identity;
use policy::Bundle;
use server::probe::Told;

use crate::failure::Failure;
use crate::output::Out;

/// Who asks, and by which policy.
pub(super) struct About<'a> {
    pub(super) identity: &'a Identity,
    pub(super) bundle: &'a Bundle,
}

pub(super) fn print(out: &mut Out, about: &About<'_>, told: &Told) -> Result<(), Failure> {
    out.line(&format!("{} {} {:?}", about.identity, about.bundle.name(), told))
}
