use crate::generate::random::{Purpose, Random};
use crate::generate::record::{EVERYDAY, Policy, Tenant};

use super::people::Account;

/// A file in SharePoint or OneDrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// The address of its site, with a slash at the end.
    pub site: String,
    /// Its folder, relative to the site.
    pub folder: &'static str,
    /// The workload that stores it.
    pub workload: &'static str,
}

/// Teams that have a SharePoint site.
const SITES: [&str; 8] = [
    "finance",
    "sales",
    "research",
    "people",
    "legal",
    "support",
    "purchasing",
    "board",
];
const FOLDERS: [&str; 5] = [
    "Shared Documents",
    "Shared Documents/2026",
    "Shared Documents/For review",
    "Shared Documents/R&D + plans",
    "Shared Documents/Zürich",
];

impl File {
    /// Returns file `number` of a seed's tenant. Its theme is what `policy` watches, or everyday work without a policy.
    /// Half of the everyday files are in the OneDrive of `owner`.
    pub fn of(seed: u64, number: u64, policy: Option<&Policy>, owner: &Account) -> Self {
        let mut random = Random::new(seed, Purpose::File, number);
        let (stem, extension) = match policy {
            Some(policy) => (policy.theme.file, policy.theme.extension),
            None => random.pick(&EVERYDAY),
        };
        // The number makes the names distinct.
        let name = match random.below(4) {
            0 => format!("{stem} {number:04}.{extension}"),
            1 => format!("{stem} 15% plan {number:04}.{extension}"),
            2 => format!("{stem}_v{}_{number:04}.{extension}", random.between(2, 30)),
            _ => format!("{stem} 2026-{:02} #{number:04}.{extension}", random.between(1, 12)),
        };
        let personal = match policy {
            Some(policy) => policy.theme.workload == "OneDrive",
            None => random.one_in(2),
        };
        if personal {
            let person: String = owner
                .user
                .upn
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            Self {
                name,
                site: format!("https://my.sharepoint.{}/personal/{person}/", Tenant::DOMAIN),
                folder: "Documents",
                workload: "OneDrive",
            }
        } else {
            Self {
                name,
                site: format!("https://sharepoint.{}/sites/{}/", Tenant::DOMAIN, random.pick(&SITES)),
                folder: random.pick(&FOLDERS),
                workload: "SharePoint",
            }
        }
    }

    /// Returns the address without percent-encoding, as people read it.
    pub fn plain_url(&self) -> String {
        format!("{}{}/{}", self.site, self.folder, self.name)
    }

    /// Returns the address with percent-encoding of every character that an address cannot contain.
    pub fn url(&self) -> String {
        format!("{}{}/{}", self.site, encoded(self.folder), encoded(&self.name))
    }

    /// Returns the extension of the name.
    pub(super) fn extension(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

/// Percent-encodes a path.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+&".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_has_an_address_of_its_own() {
        let owner = Account::of(1, 0);
        let files: Vec<File> = (0..2_000).map(|number| File::of(1, number, None, &owner)).collect();
        assert_eq!(files.iter().map(File::url).collect::<BTreeSet<_>>().len(), 2_000);
        assert!(files.iter().all(|file| !file.url().contains([' ', '#', 'ü'])));
        assert!(files.iter().any(|file| file.workload == "OneDrive"));
    }

    #[test]
    fn an_address_is_percent_encoded() {
        assert_eq!(
            encoded("R&D + plans/Zürich 15% #1.docx"),
            "R&D+plans".replace("+", "%20+%20") + "/Z%C3%BCrich%2015%25%20%231.docx"
        );
    }
}
