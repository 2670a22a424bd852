use crate::generate::record::{COMPLIANCE, EXCHANGE, Facts, M365, SHAREPOINT, TEAMS};

/// The act of a user: the `ActionType` of an activity, which determines the shape of its `RawEventData`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Act {
    /// A file was opened.
    FileAccessed,
    /// A file was changed.
    FileModified,
    /// A file was downloaded.
    FileDownloaded,
    /// A file was uploaded.
    FileUploaded,
    /// A file was deleted.
    FileDeleted,
    /// A file was downloaded to a computer that synchronizes files.
    FileSyncDownloadedFull,
    /// The sensitivity label of a file was removed.
    FileSensitivityLabelRemoved,
    /// A file was shared with a person.
    SharingSet,
    /// A link that anyone can use was created.
    AnonymousLinkCreated,
    /// Mail was read.
    MailItemsAccessed,
    /// Mail was sent.
    Send,
    /// An inbox rule was created.
    NewInboxRule,
    /// A mailbox was configured.
    SetMailbox,
    /// Somebody received the right to open a mailbox.
    AddMailboxPermission,
    /// Somebody signed in.
    UserLoggedIn,
    /// A chat message was sent.
    MessageSent,
    /// A chat message was read.
    MessageReadReceiptReceived,
    /// A meeting was joined.
    MeetingParticipantDetail,
    /// A rule of a data loss prevention policy matched a file or a message.
    DlpRuleMatch,
    /// A new alert, as the audit repartition records it.
    AlertTriggered,
    /// One entity of an alert, as the audit repartition records it.
    AlertEntityGenerated,
    /// A change of an alert, as the audit repartition records it.
    AlertUpdated,
}

/// The family of an act. The `RawEventData` of all acts of a family has the same shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    File,
    MailAccess,
    MailSend,
    MailAdmin,
    SignIn,
    Teams,
    DlpMatch,
    Signal,
}

/// The acts of an ordinary day, with their relative frequencies.
pub(super) const ORDINARY: [(u64, Act); 17] = [
    (260, Act::FileAccessed),
    (90, Act::FileModified),
    (60, Act::FileDownloaded),
    (50, Act::FileUploaded),
    (40, Act::FileSyncDownloadedFull),
    (10, Act::FileDeleted),
    (20, Act::SharingSet),
    (8, Act::AnonymousLinkCreated),
    (230, Act::MailItemsAccessed),
    (60, Act::Send),
    (2, Act::NewInboxRule),
    (2, Act::SetMailbox),
    (60, Act::UserLoggedIn),
    (58, Act::MessageSent),
    (50, Act::MessageReadReceiptReceived),
    (10, Act::MeetingParticipantDetail),
    (10, Act::DlpRuleMatch),
];

impl Act {
    /// Returns the act that an alert policy watches, given the policy's name for it.
    pub fn watched(operation: &str) -> Self {
        match operation {
            "Send" => Self::Send,
            "New-InboxRule" => Self::NewInboxRule,
            "Add-MailboxPermission" => Self::AddMailboxPermission,
            "AnonymousLinkCreated" => Self::AnonymousLinkCreated,
            "FileDeleted" => Self::FileDeleted,
            "FileAccessed" => Self::FileAccessed,
            "FileSensitivityLabelRemoved" => Self::FileSensitivityLabelRemoved,
            _ => Self::FileDownloaded,
        }
    }

    /// Returns whether the act concerns a file.
    pub fn is_on_file(self) -> bool {
        self.facts().family == Family::File
    }

    pub(super) fn facts(self) -> Facts<Family> {
        use Family::{DlpMatch, File, MailAccess, MailAdmin, MailSend, SignIn, Signal, Teams};
        Facts::of(match self {
            Self::FileAccessed => ("FileAccessed", File, SHAREPOINT, "SharePoint", 6, "View", "File"),
            Self::FileModified => ("FileModified", File, SHAREPOINT, "SharePoint", 6, "Edit", "File"),
            Self::FileDownloaded => ("FileDownloaded", File, SHAREPOINT, "SharePoint", 6, "Download", "File"),
            Self::FileUploaded => ("FileUploaded", File, SHAREPOINT, "SharePoint", 6, "Upload", "File"),
            Self::FileDeleted => ("FileDeleted", File, SHAREPOINT, "SharePoint", 6, "Delete", "File"),
            Self::FileSyncDownloadedFull => (
                "FileSyncDownloadedFull",
                File,
                SHAREPOINT,
                "SharePoint",
                6,
                "Download",
                "File",
            ),
            Self::FileSensitivityLabelRemoved => (
                "FileSensitivityLabelRemoved",
                File,
                SHAREPOINT,
                "SharePoint",
                83,
                "Edit",
                "File",
            ),
            Self::SharingSet => ("SharingSet", File, SHAREPOINT, "SharePoint", 14, "Share", "File"),
            Self::AnonymousLinkCreated => ("AnonymousLinkCreated", File, SHAREPOINT, "SharePoint", 14, "Share", "File"),
            Self::MailItemsAccessed => ("MailItemsAccessed", MailAccess, EXCHANGE, "Exchange", 50, "Run", "Task"),
            Self::Send => ("Send", MailSend, EXCHANGE, "Exchange", 2, "Send", "Email"),
            Self::NewInboxRule => ("New-InboxRule", MailAdmin, EXCHANGE, "Exchange", 1, "Create", "Rule"),
            Self::SetMailbox => ("Set-Mailbox", MailAdmin, EXCHANGE, "Exchange", 1, "Edit", "Mailbox"),
            Self::AddMailboxPermission => ("Add-MailboxPermission", MailAdmin, EXCHANGE, "Exchange", 1, "Edit", "Mailbox"),
            Self::UserLoggedIn => ("UserLoggedIn", SignIn, M365, "AzureActiveDirectory", 15, "Logon", "Account"),
            Self::MessageSent => ("MessageSent", Teams, TEAMS, "MicrosoftTeams", 25, "Send", "Message"),
            Self::MessageReadReceiptReceived => (
                "MessageReadReceiptReceived",
                Teams,
                TEAMS,
                "MicrosoftTeams",
                25,
                "Basic",
                "Message",
            ),
            Self::MeetingParticipantDetail => (
                "MeetingParticipantDetail",
                Teams,
                TEAMS,
                "MicrosoftTeams",
                25,
                "Basic",
                "Meeting",
            ),
            Self::DlpRuleMatch => ("DLPRuleMatch", DlpMatch, M365, "SharePoint", 11, "Basic", "File"),
            Self::AlertTriggered => ("AlertTriggered", Signal, M365, COMPLIANCE, 40, "Run", "Alert"),
            Self::AlertEntityGenerated => ("AlertEntityGenerated", Signal, M365, COMPLIANCE, 40, "Run", "Alert"),
            Self::AlertUpdated => ("AlertUpdated", Signal, M365, COMPLIANCE, 40, "Edit", "Alert"),
        })
    }
}
