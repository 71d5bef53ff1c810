//! What anybody may do to a request, alone and all at once.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod model;
#[cfg(test)]
mod people;
