//! The arguments of `gatepost approvals`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Running, lifetime};
use crate::output::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    /// Print requests for approval, newest first; who is neither approver nor auditor sees their own
    List(ListRequests),
    /// Print a request: what is to run, whole, what it touches, who asks, who has decided, and what you may do
    Show(OneRequest),
    /// Say yes to a request; needs a token in GATEPOST_TOKEN, since an approval is a person's
    Approve(Decide),
    /// Say no to a request; the reason is told to whoever asked
    Deny(Decide),
    /// Have a held statement run at once where the policy foresees it; recorded as such, and to be reviewed by somebody else
    BreakGlass(Decide),
    /// Look at a break-glass afterwards
    Review(Decide),
    /// Take back what you have asked for
    Withdraw(Decide),
    /// Print what waits, then each request as it comes, and what becomes of it, until Ctrl-C
    Watch {
        #[command(flatten)]
        gateway: Running,
    },
    /// Ask for approval of a statement before running it
    Request(Before),
    /// Lend your vote while you are away
    #[command(subcommand)]
    Delegations(Delegations),
}

#[derive(Debug, Args)]
pub(crate) struct ListRequests {
    #[command(flatten)]
    pub(crate) gateway: Running,
    /// Only those that are open, approved, denied, used or ended; several with commas between
    #[arg(long, value_name = "STATES")]
    pub(crate) state: Option<String>,
    /// Only those of a database, as clients name it
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Only those of somebody
    #[arg(long, value_name = "ISSUER:SUBJECT")]
    pub(crate) requester: Option<String>,
    /// Only those for which the glass was broken and nobody has reviewed it
    #[arg(long)]
    pub(crate) review_due: bool,
    /// Only those with a lower number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// How they are printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct OneRequest {
    #[command(flatten)]
    pub(crate) gateway: Running,
    /// The request's number
    #[arg(value_name = "NUMBER")]
    pub(crate) number: u64,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    pub(crate) gateway: Running,
    /// The request's number
    #[arg(value_name = "NUMBER")]
    pub(crate) number: u64,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How what has become of it is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Before {
    #[command(flatten)]
    pub(crate) gateway: Running,
    /// The database as clients name it
    #[arg(long, value_name = "NAME")]
    pub(crate) database: String,
    /// The statement
    #[arg(long, value_name = "TEXT")]
    pub(crate) sql: String,
    /// For any literals and parameters where these stand
    #[arg(long)]
    pub(crate) pattern: bool,
    /// How often it may be used
    #[arg(long, value_name = "COUNT", requires = "pattern")]
    pub(crate) uses: Option<u32>,
    /// For how long once it is approved (30s, 15m, 2h, 1d) [default: the policy's use_within]
    #[arg(long = "for", value_name = "TIME", value_parser = lifetime)]
    pub(crate) within: Option<Duration>,
    /// Why it is wanted; approvers read it
    #[arg(long, value_name = "TEXT")]
    pub(crate) purpose: Option<String>,
    /// How the request is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delegations {
    /// Print the votes that are lent
    List {
        #[command(flatten)]
        gateway: Running,
        /// How they are printed
        #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
        format: Format,
    },
    /// Let somebody vote in your place
    Add {
        #[command(flatten)]
        gateway: Running,
        /// Who
        #[arg(long, value_name = "ISSUER:SUBJECT")]
        to: String,
        /// With which of your groups; may be repeated [default: all]
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        /// For how long: 90 days at most
        #[arg(long = "for", value_name = "TIME", value_parser = lifetime)]
        within: Duration,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take it back
    End {
        #[command(flatten)]
        gateway: Running,
        /// Its id, as listed
        #[arg(value_name = "ID")]
        id: String,
    },
}
