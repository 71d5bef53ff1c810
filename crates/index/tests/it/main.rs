//! The index finds what reading the whole journal finds, whatever happens to either.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod find;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod sessions;
