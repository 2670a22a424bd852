use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::cast::{Account, CAST, Policy, Tenant};
use crate::generate::random::{Purpose, Random};

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

/// What is encoded in the path of a file's address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'+')
    .remove(b'&');

impl File {
    /// Returns file `number` of a seed's tenant. Its theme is what `policy` watches, or everyday work without a policy.
    /// Half of the everyday files are in the OneDrive of `owner`.
    pub fn new(seed: u64, number: u64, policy: Option<&Policy>, owner: &Account) -> Self {
        let random = Random::new(seed, Purpose::File, number);
        let (stem, extension) = match policy {
            Some(policy) => (&policy.theme.file, &policy.theme.extension),
            None => {
                let everyday = random.pick(&CAST.everyday);
                (&everyday.file, &everyday.extension)
            }
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
            let person = owner.upn.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
            Self {
                name,
                site: format!("https://my.sharepoint.{}/personal/{person}/", Tenant::DOMAIN),
                folder: "Documents",
                workload: "OneDrive",
            }
        } else {
            Self {
                name,
                site: format!("https://sharepoint.{}/sites/{}/", Tenant::DOMAIN, random.pick(&CAST.sites)),
                folder: random.pick::<String>(&CAST.folders),
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
        let encoded = |text| utf8_percent_encode(text, ENCODED);
        format!("{}{}/{}", self.site, encoded(self.folder), encoded(&self.name))
    }

    /// Returns the extension of the name.
    pub(super) fn extension(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_has_an_address_of_its_own() {
        let owner = Account::new(1, 0);
        let files: Vec<File> = (0..2_000).map(|number| File::new(1, number, None, &owner)).collect();
        assert_eq!(files.iter().map(File::url).collect::<BTreeSet<_>>().len(), 2_000);
        assert!(files.iter().all(|file| !file.url().contains([' ', '#', 'ü'])));
        assert!(files.iter().any(|file| file.workload == "OneDrive"));
    }

    #[test]
    fn an_address_is_percent_encoded() {
        let file = File {
            name: "Zürich 15% #1.docx".to_owned(),
            folder: "R&D + plans",
            ..File::new(1, 0, None, &Account::new(1, 0))
        };
        assert!(
            file.url().ends_with("/R&D%20+%20plans/Z%C3%BCrich%2015%25%20%231.docx"),
            "{}",
            file.url()
        );
    }
}
