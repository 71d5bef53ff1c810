//! `gatepost policy explain --grants`: the policy as PostgreSQL's own privileges. Runs none of what it prints.

use model::Identity;
use policy::Bundle;
use policy::grants::{self, Grants};
use serde_json::json;
use server::probe;

use crate::failure::{Failure, Status};
use crate::output::{Format, Out};

pub(super) async fn run(
    database: &config::Database,
    bundle: &Bundle,
    identity: &Identity,
    role: &str,
    format: Format,
) -> Result<Status, Failure> {
    let objects = probe::objects(database, bundle).await.map_err(|error| Failure::of(&error))?;
    let grants = grants::derive(bundle, identity, &objects);
    let open = grants::open_beyond(bundle, identity, &objects);
    let about = About { bundle, identity, role, scope: bundle.scope_key(identity).to_string() };
    let mut out = Out::new();
    match format {
        Format::Table => about.sql(&mut out, &grants, &open)?,
        Format::Json => {
            let json = serde_json::to_string_pretty(&about.json(&grants, &open))
                .map_err(|error| Failure::caused("can't write the grants", error))?;
            out.line(&json)?;
        }
    }
    out.flush()?;
    Ok(Status::Success)
}

struct About<'a> {
    bundle: &'a Bundle,
    identity: &'a Identity,
    role: &'a str,
    scope: String,
}

impl About<'_> {
    fn sql(&self, out: &mut Out, grants: &Grants, open: &Grants) -> Result<(), Failure> {
        let groups: Vec<&str> = self.identity.groups.iter().map(String::as_str).collect();
        let comment = |out: &mut Out, text: &str| out.line(&format!("-- {}", audit::render::cell(text)));
        comment(
            out,
            &format!("{} ({}) on database {}", self.identity, groups.join(", "), self.bundle.database()),
        )?;
        comment(
            out,
            &format!(
                "policy {} version {}, scope {:.12}",
                self.bundle.name(),
                self.bundle.version(),
                self.scope
            ),
        )?;
        for statement in grants.statements(self.role) {
            // SECURITY: a name can hold what forges lines or hides; as it is, it is in the JSON form.
            let shown = audit::render::cell(&statement);
            let mark = if shown == statement { "" } else { "-- names are escaped here, see --format json: " };
            out.line(&format!("{mark}{shown};"))?;
        }
        if grants.is_empty() {
            comment(out, "nothing: no statement could be allowed")?;
        }
        for beyond in grants.beyond() {
            let actions: Vec<&str> = beyond.actions.iter().map(|action| action.as_str()).collect();
            let others = match beyond.objects {
                0 | 1 => String::new(),
                more => format!(" and {} more", more - 1),
            };
            let text = format!(
                "not granted: {} on {}{others} takes {}",
                actions.join(", "),
                beyond.example,
                beyond.need
            );
            comment(out, &text)?;
        }
        for (_, grant) in open.iter() {
            comment(out, &format!("PUBLIC holds besides: {grant}"))?;
        }
        Ok(())
    }

    fn json(&self, grants: &Grants, open: &Grants) -> serde_json::Value {
        let list = |grants: &Grants| grants.iter().map(|(_, grant)| json!(grant)).collect::<Vec<_>>();
        json!({
            "identity": self.identity.to_string(),
            "groups": self.identity.groups,
            "database": self.bundle.database(),
            "policy": {
                "name": self.bundle.name(),
                "version": self.bundle.version(),
                "hash": super::table::hex(&self.bundle.hash()),
            },
            "scope": self.scope,
            "role": self.role,
            "grants": list(grants),
            "statements": grants.statements(self.role),
            "not_granted": grants.beyond(),
            "public": list(open),
        })
    }
}
