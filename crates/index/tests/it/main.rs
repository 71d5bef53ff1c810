//! The index finds what reading the whole journal finds, whatever happens to either.

mod crash;
mod damage;
mod find;
mod scene;
mod sessions;
