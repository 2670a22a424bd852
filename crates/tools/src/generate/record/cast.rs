//! The subjects of the synthetic traffic: one tenant, its people and its alert policies.

use crate::generate::random::{Guid, Purpose, Random};

/// A tenant. It is invented: its domain is reserved for examples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// The Entra tenant id: `tenantId` of the streaming envelope, `OrganizationId` of a raw event.
    pub entra: Guid,
    /// The Log Analytics workspace id: `TenantId` of an exported row.
    pub workspace: Guid,
    /// The Azure subscription of the workspace.
    pub subscription: Guid,
}

impl Tenant {
    /// The domain of its people.
    pub const DOMAIN: &'static str = "contoso.example";

    /// Returns the tenant of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, Purpose::Tenant, 0);
        Self {
            entra: random.guid(),
            workspace: random.guid(),
            subscription: random.guid(),
        }
    }
}

/// A person in the tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Entra object id.
    pub id: Guid,
    /// Given and family name.
    pub name: String,
    /// User principal name, in the tenant's domain.
    pub upn: String,
}

impl User {
    /// Returns person `number` of a seed's tenant. Names repeat after 576 people, principal names never.
    pub fn of(seed: u64, number: usize) -> Self {
        let (given, family) = (GIVEN[number % 24], FAMILY[(number / 24 + number) % 24]);
        let again = number / 576;
        let plain = |name: &str| -> String { name.to_lowercase().chars().map(unaccented).collect() };
        let suffix = if again == 0 { String::new() } else { again.to_string() };
        Self {
            id: Random::new(seed, Purpose::User, number as u64).guid(),
            name: format!("{given} {family}"),
            upn: format!("{}.{}{suffix}@{}", plain(given), plain(family), Tenant::DOMAIN),
        }
    }
}

fn unaccented(character: char) -> char {
    match character {
        'é' | 'ë' => 'e',
        'ö' | 'ø' => 'o',
        'ü' => 'u',
        'ł' => 'l',
        'ñ' => 'n',
        other => other,
    }
}

const GIVEN: [&str; 24] = [
    "Amara", "Bastien", "Chiara", "Dmitri", "Elin", "Farid", "Greta", "Hiro", "Ines", "Jörg", "Katya", "Luka", "Maëlle", "Nadia",
    "Oskar", "Priya", "Quentin", "Renée", "Søren", "Tamsin", "Ulla", "Viktor", "Wanda", "Yusuf",
];
const FAMILY: [&str; 24] = [
    "Abara",
    "Bergström",
    "Castellan",
    "Dvorak",
    "Eriksen",
    "Fontaine",
    "Gundersen",
    "Halloran",
    "Ivanova",
    "Janssen",
    "Kowalska",
    "Lindqvist",
    "Müller",
    "Nakagawa",
    "Okonkwo",
    "Peñalver",
    "Quist",
    "Rahimi",
    "Sokołowski",
    "Tanaka",
    "Ueda",
    "Vasquez",
    "Whitlock",
    "Zeman",
];

/// An alert policy. Its id is the key that activities (`Data.cid`) and alerts (`AlertType`) have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The policy's id.
    pub id: Guid,
    /// Its name, which is also the name of its alerts.
    pub name: String,
    /// The theme that it watches.
    pub theme: &'static Theme,
}

impl Policy {
    /// Returns policy `number` of a seed's tenant. Each of the first sixteen has its own theme. Later ones repeat the
    /// themes, each for one department.
    pub fn of(seed: u64, number: usize) -> Self {
        let theme = &THEMES[number % THEMES.len()];
        let name = match number / THEMES.len() {
            0 => theme.name.to_owned(),
            turn if turn <= DEPARTMENTS.len() => format!("{} ({})", theme.name, DEPARTMENTS[turn - 1]),
            turn => format!("{} (unit {turn})", theme.name),
        };
        Self {
            id: Random::new(seed, Purpose::Policy, number as u64).guid(),
            name,
            theme,
        }
    }
}

const DEPARTMENTS: [&str; 8] = [
    "Finance",
    "Sales",
    "Research",
    "Human resources",
    "Legal",
    "Support",
    "Procurement",
    "Board",
];

/// A theme that an alert policy watches, and the words for it.
#[derive(PartialEq, Eq, Debug)]
pub struct Theme {
    /// The policy's name.
    pub name: &'static str,
    /// A description in one sentence.
    pub description: &'static str,
    /// `Informational`, `Low`, `Medium` or `High`.
    pub severity: &'static str,
    /// The alert's category, for example `DataLossPrevention`.
    pub category: &'static str,
    /// The workload in which it happens, for example `Exchange`.
    pub workload: &'static str,
    /// The operation that it watches.
    pub operation: &'static str,
    /// The sensitive information type, or whatever is found instead.
    pub finding: &'static str,
    /// The beginning of the names of its files.
    pub file: &'static str,
    /// The extension of its files.
    pub extension: &'static str,
    /// The attack tactic that it may indicate.
    pub tactic: &'static str,
}

impl Theme {
    /// Returns whether the policy is one of data loss prevention.
    pub fn is_dlp(&self) -> bool {
        self.category == DLP
    }
}

const DLP: &str = "DataLossPrevention";

macro_rules! theme {
    ($severity:literal $category:tt $workload:literal $operation:literal $tactic:literal, $name:literal, $description:literal, $finding:literal, $file:literal . $extension:literal) => {
        Theme {
            name: $name,
            description: $description,
            severity: $severity,
            category: $category,
            workload: $workload,
            operation: $operation,
            finding: $finding,
            file: $file,
            extension: $extension,
            tactic: $tactic,
        }
    };
}

#[rustfmt::skip]
const THEMES: [Theme; 16] = [
    theme!("High" DLP "SharePoint" "AnonymousLinkCreated" "Exfiltration", "Credit card numbers shared outside the company",
        "A file with credit card numbers was shared with people outside the company.", "Credit Card Number", "Card settlements"."xlsx"),
    theme!("Medium" DLP "Exchange" "Send" "Exfiltration", "Passport numbers mailed to external recipients",
        "A message with passport numbers left for a recipient outside the company.", "Passport Number", "Travel bookings"."docx"),
    theme!("High" DLP "Endpoint" "FileCopiedToRemovableMedia" "Exfiltration", "Bank account numbers copied to a removable drive",
        "A file with bank account numbers was copied to a USB drive.", "International Banking Account Number (IBAN)", "Supplier accounts"."csv"),
    theme!("Medium" DLP "OneDrive" "AnonymousLinkCreated" "Exfiltration", "Payroll files shared by anonymous link",
        "A payroll file can be opened by anyone who has the link.", "Payroll data", "Payroll run"."xlsx"),
    theme!("High" DLP "Endpoint" "FileUploadedToCloud" "Exfiltration", "Source code uploaded to personal cloud storage",
        "Source code was uploaded to a cloud service that the company does not manage.", "Source code", "Billing engine"."zip"),
    theme!("Medium" DLP "SharePoint" "FileDownloaded" "Collection", "Customer list downloaded in bulk",
        "Many customer records were downloaded in a short time.", "Customer records", "Customer master"."xlsx"),
    theme!("High" DLP "MicrosoftTeams" "MessageSent" "Exfiltration", "Health records shared with guests in Teams",
        "A message in a channel with guests holds health information.", "Health record identifier", "Ward handover"."pdf"),
    theme!("Low" DLP "Endpoint" "FilePrinted" "Exfiltration", "Contracts printed from an unmanaged device",
        "A confidential contract was printed from a device that is not managed.", "Confidential label", "Framework contract"."docx"),
    theme!("Medium" DLP "Exchange" "Send" "Exfiltration", "Tax identification numbers in an outgoing message",
        "A message with tax identification numbers left the company.", "Tax Identification Number", "Contractor list"."csv"),
    theme!("Medium" "ThreatManagement" "SharePoint" "FileDeleted" "Impact", "Unusual volume of files deleted",
        "A user deleted far more files than is usual.", "Mass deletion", "Project archive"."zip"),
    theme!("Low" "MailFlow" "Exchange" "New-InboxRule" "Collection", "Mail forwarding to an external address created",
        "An inbox rule forwards mail to an address outside the company.", "Forwarding rule", "Forwarding rule"."eml"),
    theme!("Low" DLP "SharePoint" "FileSensitivityLabelRemoved" "DefenseEvasion", "Confidential label removed from a document",
        "The sensitivity label of a document was removed without a reason.", "Confidential label", "Pricing model"."xlsx"),
    theme!("Informational" "AccessGovernance" "SharePoint" "FileAccessed" "Discovery", "Board papers opened outside the board group",
        "A document of the board was opened by an account that is not in its group.", "Board classification", "Board minutes"."pdf"),
    theme!("High" DLP "Endpoint" "FileCopiedToNetworkShare" "Collection", "Merger documents copied to a network share",
        "A document on a planned merger was copied to an open network share.", "Merger code name", "Project Larch term sheet"."docx"),
    theme!("High" DLP "MicrosoftTeams" "MessageSent" "CredentialAccess", "API keys posted in a channel",
        "A message in a channel holds what looks like an API key.", "Access key", "Deployment notes"."txt"),
    theme!("Informational" "AccessGovernance" "Exchange" "Add-MailboxPermission" "Persistence", "Elevated mailbox permission granted",
        "Somebody got full access to the mailbox of another person.", "Full access", "Permission report"."csv"),
];

/// Draws a file name on the theme of a policy. Without a policy, draws the name of an everyday file.
pub(super) fn file_name(policy: Option<&Policy>, random: &mut Random) -> String {
    let (stem, extension) = policy.map_or_else(
        || random.pick(&EVERYDAY),
        |policy| (policy.theme.file, policy.theme.extension),
    );
    let region = random.pick(&["north", "south", "east", "west", "Zürich", "group"]);
    match random.below(4) {
        0 => format!("{stem} 2026-{:02}.{extension}", random.between(1, 12)),
        1 => format!("{stem} Q{} {region}.{extension}", random.between(1, 4)),
        2 => format!("{stem} v{}.{extension}", random.between(2, 30)),
        _ => format!("{stem} {region} {}.{extension}", random.between(100, 999)),
    }
}

/// The beginnings and extensions of names of everyday files.
pub(in crate::generate) const EVERYDAY: [(&str, &str); 12] = [
    ("Weekly report", "docx"),
    ("Meeting notes", "docx"),
    ("Budget draft", "xlsx"),
    ("Roadmap", "pptx"),
    ("Onboarding checklist", "docx"),
    ("Invoice", "pdf"),
    ("Floor plan", "pdf"),
    ("Test protocol", "xlsx"),
    ("Team photo", "jpg"),
    ("Press release", "docx"),
    ("Résumé template", "docx"),
    ("Inventory", "csv"),
];

/// City, country code, provider.
pub(in crate::generate) const PLACES: [(&str, &str, &str); 10] = [
    ("Rotterdam", "NL", "Example Fibre"),
    ("Málaga", "ES", "Example Cable"),
    ("Leeds", "GB", "Northern Example Networks"),
    ("Lyon", "FR", "Example Télécom"),
    ("Gdańsk", "PL", "Baltic Example Net"),
    ("Denver", "US", "Example Mountain Broadband"),
    ("Graz", "AT", "Alpine Example Net"),
    ("Turku", "FI", "Example Nordic"),
    ("Osaka", "JP", "Example Kansai"),
    ("Recife", "BR", "Exemplo Nordeste"),
];

/// User agent, device type, platform.
pub(in crate::generate) const AGENTS: [(&str, &str, &str); 6] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36",
        "Desktop",
        "Windows 10",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
        "Desktop",
        "OS X",
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Desktop",
        "Linux",
    ),
    ("Microsoft Office Word/16.0 (Windows NT 10.0)", "Desktop", "Windows 10"),
    ("OneDriveSyncClient/25.1 (example build)", "Desktop", "Windows 10"),
    ("Outlook-iOS/2.0", "Mobile", "iOS"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn people_have_names_of_their_own() {
        let upns: BTreeSet<String> = (0..2_000).map(|number| User::of(1, number).upn).collect();
        assert_eq!(upns.len(), 2_000);
        assert!(upns.iter().all(|upn| upn.ends_with("@contoso.example")));
    }

    #[test]
    fn policies_have_names_and_ids_of_their_own() {
        let policies: Vec<Policy> = (0..400).map(|number| Policy::of(1, number)).collect();
        assert_eq!(policies.iter().map(|policy| &policy.name).collect::<BTreeSet<_>>().len(), 400);
        assert_eq!(policies.iter().map(|policy| policy.id).collect::<BTreeSet<_>>().len(), 400);
        assert_ne!(Policy::of(1, 0).id, Policy::of(2, 0).id);
    }
}
