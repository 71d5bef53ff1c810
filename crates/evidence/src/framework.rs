//! Which parts of a report belong to which controls of a framework: plain references, as those frameworks number them. Claims nothing.
//!
//! Sources: AICPA TSP section 100 (2017, points of focus 2022), ISO/IEC 27001:2022 Annex A, PCI DSS 4.0, 45 CFR 164.308 and 164.312,
//! Regulation (EU) 2016/679.

/// A part of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Who had access to what.
    Access,
    /// Versions of policy.
    Policy,
    /// Requests and decisions.
    Approvals,
    /// Emergency access.
    BreakGlass,
    /// What was refused.
    Refusals,
    /// Tagged and masked columns.
    Sensitive,
    /// Accounts with passwords.
    Legacy,
    /// What people did to the gateway.
    Administration,
    /// What went wrong.
    Incidents,
    /// Of the journal.
    Integrity,
}

impl Part {
    /// All, in the order of a report.
    pub const ALL: [Self; 10] = [
        Self::Access,
        Self::Policy,
        Self::Approvals,
        Self::BreakGlass,
        Self::Refusals,
        Self::Sensitive,
        Self::Legacy,
        Self::Administration,
        Self::Incidents,
        Self::Integrity,
    ];

    /// Returns its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Access => "Who had access to what",
            Self::Policy => "Policy versions",
            Self::Approvals => "Approvals",
            Self::BreakGlass => "Break-glass",
            Self::Refusals => "Refusals",
            Self::Sensitive => "Sensitive columns",
            Self::Legacy => "Legacy accounts",
            Self::Administration => "Administrative acts",
            Self::Incidents => "Incidents",
            Self::Integrity => "Integrity of the period",
        }
    }
}

/// A framework that a report is arranged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// Trust Services Criteria.
    Soc2,
    /// ISO/IEC 27001.
    Iso27001,
    /// PCI DSS.
    Pci,
    /// The Security Rule.
    Hipaa,
    /// Regulation (EU) 2016/679.
    Gdpr,
}

impl Framework {
    /// Returns what it is called, with its edition.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Soc2 => "SOC 2 (Trust Services Criteria, 2017)",
            Self::Iso27001 => "ISO/IEC 27001:2022, Annex A",
            Self::Pci => "PCI DSS 4.0",
            Self::Hipaa => "HIPAA Security Rule (45 CFR 164)",
            Self::Gdpr => "GDPR (Regulation (EU) 2016/679)",
        }
    }

    /// Returns the controls that a part may be evidence for.
    pub const fn controls(self, part: Part) -> &'static [&'static str] {
        match self {
            Self::Soc2 => soc2(part),
            Self::Iso27001 => iso27001(part),
            Self::Pci => pci(part),
            Self::Hipaa => hipaa(part),
            Self::Gdpr => gdpr(part),
        }
    }
}

const fn soc2(part: Part) -> &'static [&'static str] {
    match part {
        Part::Access => &["CC6.1", "CC6.2", "CC6.3"],
        Part::Policy => &["CC6.1", "CC8.1"],
        Part::Approvals => &["CC6.3", "CC8.1"],
        Part::BreakGlass | Part::Sensitive => &["CC6.1", "CC6.3"],
        Part::Refusals => &["CC6.1", "CC7.2"],
        Part::Legacy => &["CC6.1", "CC6.2"],
        Part::Administration => &["CC6.2", "CC6.3", "CC7.2"],
        Part::Incidents | Part::Integrity => &["CC7.2"],
    }
}

const fn iso27001(part: Part) -> &'static [&'static str] {
    match part {
        Part::Access | Part::Approvals | Part::Legacy => &["A.5.15", "A.5.18"],
        Part::Policy => &["A.5.15"],
        Part::BreakGlass => &["A.5.18", "A.8.2"],
        Part::Refusals => &["A.8.3", "A.8.16"],
        Part::Sensitive => &["A.8.3"],
        Part::Administration => &["A.8.2", "A.8.15"],
        Part::Incidents => &["A.8.16"],
        Part::Integrity => &["A.8.15"],
    }
}

const fn pci(part: Part) -> &'static [&'static str] {
    match part {
        Part::Access => &["Requirement 7", "Requirement 8", "Requirement 10"],
        Part::Policy | Part::Approvals => &["Requirement 7"],
        Part::BreakGlass | Part::Sensitive => &["Requirement 7", "Requirement 10"],
        Part::Refusals => &["Requirement 7", "Requirement 8", "Requirement 10"],
        Part::Legacy => &["Requirement 8"],
        Part::Administration | Part::Incidents | Part::Integrity => &["Requirement 10"],
    }
}

const fn hipaa(part: Part) -> &'static [&'static str] {
    match part {
        Part::Access => &["164.308(a)(1)(ii)(D)", "164.312(a)", "164.312(d)"],
        Part::Policy | Part::Approvals | Part::BreakGlass => &["164.312(a)"],
        Part::Refusals => &["164.308(a)(1)(ii)(D)", "164.312(a)", "164.312(d)"],
        Part::Sensitive => &["164.308(a)(1)(ii)(D)", "164.312(a)"],
        Part::Legacy => &["164.312(d)"],
        Part::Administration => &["164.308(a)(1)(ii)(D)", "164.312(b)"],
        Part::Incidents => &["164.308(a)(1)(ii)(D)"],
        Part::Integrity => &["164.312(b)", "164.312(c)"],
    }
}

const fn gdpr(part: Part) -> &'static [&'static str] {
    match part {
        Part::Access => &["Art. 5(1)(f)", "Art. 30", "Art. 32"],
        Part::Policy => &["Art. 25", "Art. 32"],
        Part::Sensitive => &["Art. 5(1)(f)", "Art. 25", "Art. 32"],
        Part::Refusals | Part::Integrity => &["Art. 5(1)(f)", "Art. 32"],
        Part::Approvals | Part::BreakGlass | Part::Legacy | Part::Administration | Part::Incidents => {
            &["Art. 32"]
        }
    }
}
